"""One Ray Train run of a stage: started, resumed where it was cut off, followed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ray.data
from ray.train import CheckpointConfig, FailureConfig, Result, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer

from signdpo.pipeline.progress import Meter, TrainingLog
from signdpo.pipeline.stages import RunContext
from signdpo.pipeline.stream import ScheduledDataConfig
from signdpo.storage import join, put_folder
from signdpo.training.checkpoint import MODEL_FOLDER, better, read_step

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
    callbacks: Sequence[UserCallback] = (),
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
        score: metric to keep the best checkpoint by; None keeps the latest.
        stream: first step -> the dataset `train` from there on. Called anew whenever the worker group starts, so what a
            checkpoint has consumed is not made again.
        on_row: called with each reported row of metrics.
        callbacks: of Ray Train, beside the one that follows the run.
    """
    storage, name = context.path(stage), experiment_name(key)
    experiment = join(storage, name)
    resources = context.config.resources
    start = resumable_step(experiment)
    if start:
        context.console.print(f"  goes on from step {start}")
    with Meter(context.console, stage, total=total_steps, unit="steps") as meter:

        def follow(row: dict[str, Any]) -> None:
            meter.update(row["step"], f"loss {row['loss']:.3f}")
            if on_row is not None:
                on_row(row)

        log = TrainingLog(
            context.path(stage, "metrics.jsonl"),
            start_step=start,
            on_row=follow,
            stall_seconds=resources.stall_seconds,
            console=context.console,
        )
        with log:
            trainer = TorchTrainer(
                loop,
                train_loop_config=settings | {"threads": max(1, int(cpus))},
                datasets={"train": lambda: stream(resumable_step(experiment))} if stream is not None else {},
                dataset_config=ScheduledDataConfig(),
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
                    checkpoint_config=CheckpointConfig(
                        num_to_keep=2, checkpoint_score_attribute=score, checkpoint_score_order=better(score)
                    ),
                    callbacks=[log.callback(), *callbacks],
                ),
            )
            return trainer.fit()


def experiment_name(key: str) -> str:
    """The folder, in a stage's own, of the training with these inputs."""
    return f"training-{key}"


def resumable_step(experiment: str) -> int:
    """The step of the checkpoint that Ray Train will resume from; 0 where there is none."""
    result = earlier_result(experiment)
    return 0 if result is None or result.checkpoint is None else read_step(result.checkpoint)


def earlier_result(experiment: str) -> Result | None:
    """What a training has left so far; None before it has begun."""
    try:
        return Result.from_path(experiment)
    except RuntimeError:
        return None


def best_score(result: Result, score: str) -> float | None:
    """The best value of a dev score among the checkpoints kept; None where there is none."""
    scores = [float(metrics[score]) for _, metrics in result.best_checkpoints or ()]
    return (min if better(score) == "min" else max)(scores, default=None)


def keep_best(result: Result, uri: str, score: str | None) -> dict[str, Any]:
    """Copy the best checkpoint's model to `uri`; returns its metrics."""
    if score is None:
        checkpoint, metrics = result.checkpoint, result.metrics or {}
    else:
        best = best_score(result, score)
        checkpoint, metrics = next(pair for pair in result.best_checkpoints if pair[1][score] == best)
    with checkpoint.as_directory() as folder:
        put_folder(f"{folder}/{MODEL_FOLDER}", uri)
    return dict(metrics)
