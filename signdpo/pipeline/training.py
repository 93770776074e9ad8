"""One Ray Train run of a stage: started, resumed where it was cut off, followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray.data
from ray.train import CheckpointConfig, FailureConfig, Result, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from signdpo.monitoring.following import follow
from signdpo.monitoring.recorders import CountRestarts
from signdpo.monitoring.trackers import Training
from signdpo.pipeline.progress import Meter, TrainingLog
from signdpo.pipeline.stages import RunContext
from signdpo.pipeline.stream import ScheduledDataConfig
from signdpo.storage import join, put_folder
from signdpo.training.checkpoint import MODEL_FOLDER, read_step

MAX_FAILURES = 3  # restarts of the worker group before a stage gives up


def fit(
    context: RunContext,
    *,
    stage: str,
    key: str,
    loop: Callable[[dict[str, Any]], None],
    settings: dict[str, Any],
    total_steps: int,
    workers: int,
    cpus: float,
    score: str | None,
    stream: Callable[[int], ray.data.Dataset] | None = None,
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> Result:
    """Run a per-worker loop to its end.

    Args:
        context: of the run.
        stage: its name; checkpoints lie in a folder of it named after `key`, so other inputs never resume from them.
        key: of the stage's inputs.
        loop: the per-worker function.
        settings: what it is given.
        total_steps: for the progress bar.
        workers: in the training group.
        cpus: of each worker; also its threads.
        score: metric to keep the best checkpoint by, higher is better; None keeps the latest.
        stream: first step -> the dataset `train` from there on. Called anew whenever the worker group starts, so what a
            checkpoint has consumed is not made again.
        on_row: called with each reported row of metrics.
    """
    storage, name = context.path(stage), f"training-{key}"
    experiment = join(storage, name)
    resources = context.config.resources
    start = resumable_step(experiment)
    if start:
        context.console.print(f"  goes on from step {start}")
    training = Training(context.config, context.directory, context.name, stage, key, start, total_steps)
    with (
        Meter(context.console, stage, total=total_steps, unit="steps") as meter,
        follow(training, context.console) as trackers,
    ):

        def show(row: dict[str, Any]) -> None:
            meter.update(row["step"], f"loss {row['loss']:.3f}")
            trackers.log(row)
            if on_row is not None:
                on_row(row)

        log = TrainingLog(
            context.path(stage, "metrics.jsonl"),
            start_step=start,
            on_row=show,
            stall_seconds=resources.stall_seconds,
            console=context.console,
        )
        with log:
            trainer = TorchTrainer(
                loop,
                train_loop_config=settings | {"threads": max(1, int(cpus)), "labels": training.labels},
                datasets={"train": lambda: stream(resumable_step(experiment))} if stream is not None else {},
                dataset_config=ScheduledDataConfig(f"{context.name}-{stage}"),
                scaling_config=ScalingConfig(
                    num_workers=workers,
                    use_gpu=resources.use_gpu,
                    resources_per_worker={
                        "CPU": cpus,
                        **({"GPU": resources.gpus_per_worker} if resources.use_gpu else {}),
                    },
                ),
                run_config=RunConfig(
                    name=name,
                    storage_path=storage,
                    failure_config=FailureConfig(max_failures=MAX_FAILURES),
                    checkpoint_config=CheckpointConfig(num_to_keep=2, checkpoint_score_attribute=score),
                    callbacks=[log.callback(), CountRestarts(training.labels)],
                ),
            )
            return trainer.fit()


def resumable_step(experiment: str) -> int:
    """The step of the checkpoint that Ray Train will resume from; 0 where there is none."""
    try:
        checkpoint = Result.from_path(experiment).checkpoint
    except RuntimeError:
        return 0
    return 0 if checkpoint is None else read_step(checkpoint)


def keep_best(result: Result, uri: str, score: str | None) -> dict[str, Any]:
    """Copy the best checkpoint's model to `uri`; returns its metrics."""
    if score is None:
        checkpoint, metrics = result.checkpoint, result.metrics or {}
    else:
        checkpoint, metrics = max(result.best_checkpoints, key=lambda pair: pair[1][score])
    with checkpoint.as_directory() as folder:
        put_folder(f"{folder}/{MODEL_FOLDER}", uri)
    return dict(metrics)
