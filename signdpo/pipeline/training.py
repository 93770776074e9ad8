"""One Ray Train run of a stage: started, resumed where it was cut off, followed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import ray.data
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer

from signdpo.config import ResourcesConfig
from signdpo.pipeline.progress import Meter, TrainingLog
from signdpo.pipeline.stages import RunContext
from signdpo.pipeline.stream import ScheduledDataConfig
from signdpo.storage import put_folder
from signdpo.training.checkpoint import MODEL_FOLDER, CheckpointStore

logger = logging.getLogger(__name__)


class DamagedCheckpointsError(RuntimeError):
    """Training has ended and no checkpoint of it is sound."""


class KeepCheckpoints(UserCallback):
    """Deletes, whenever a checkpoint is committed, those that are neither the best nor among the last."""

    def __init__(self, store: CheckpointStore, *, keep: int, score: str | None) -> None:
        self.store, self.keep, self.score = store, keep, score

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        if checkpoint is None:
            return
        try:
            self.store.prune(keep=self.keep, score=self.score)
        except OSError as error:  # raised from here, it would end the training
            logger.warning("old checkpoints in %s stay until the next one is committed: %s", self.store.folder, error)


def fit(
    context: RunContext,
    *,
    stage: str,
    key: str,
    loop: Callable[[dict[str, Any]], None],
    settings: dict[str, Any],
    identity: dict[str, str],
    total_steps: int,
    workers: int,
    cpus: float,
    score: str | None,
    stream: Callable[[int], ray.data.Dataset] | None = None,
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> CheckpointStore:
    """Run a per-worker loop to its end.

    Args:
        context: of the run.
        stage: its name; checkpoints lie in a folder of it named after `key`, so other inputs never resume from them.
        key: of the stage's inputs.
        loop: the per-worker function.
        settings: what it is given, beside `config`, `threads`, `steps`, `identity` and `checkpoints`, which are added.
        identity: what a checkpoint must agree on to be resumed.
        total_steps: of the whole training.
        workers: in the training group.
        cpus: of each worker; also its threads.
        score: metric to keep the best checkpoint by, higher is better; None keeps the latest.
        stream: first step -> the dataset `train` from there on. Called anew whenever the worker group starts, so what a
            checkpoint has consumed is not made again.
        on_row: called with each reported row of metrics.

    Returns:
        Where the checkpoints are.

    Raises:
        CheckpointMismatchError: if there is a checkpoint of another training under this key.
    """
    store = CheckpointStore(context.path(stage, f"training-{key}")).examined(context.warn)
    store.check_identity(identity)
    start = store.newest_step()
    if start:
        context.console.print(f"  goes on from step {start}")
    with Meter(context.console, stage, total=total_steps, unit="steps") as meter:

        def follow(row: dict[str, Any]) -> None:
            meter.update(row["step"], f"loss {row['loss']:.3f}")
            if on_row is not None:
                on_row(row)

        log = TrainingLog(
            context.path(stage, "metrics.jsonl"),
            rows=store.read_metrics(start),
            on_row=follow,
            stall_seconds=context.config.resources.stall_seconds,
            console=context.console,
        )
        added = {"config": context.config, "threads": max(1, int(cpus)), "steps": total_steps}
        with log:
            if start < total_steps:
                TorchTrainer(
                    loop,
                    train_loop_config=settings | added | {"identity": identity, "checkpoints": store},
                    datasets={} if stream is None else {"train": lambda: _rest(stream, store, total_steps)},
                    dataset_config=ScheduledDataConfig(),
                    scaling_config=_scaling(context.config.resources, workers, cpus),
                    run_config=RunConfig(
                        name=store.next_attempt(stage),
                        storage_path=store.folder,
                        failure_config=FailureConfig(max_failures=context.config.resources.max_failures),
                        callbacks=[
                            log.callback(),
                            KeepCheckpoints(store, keep=context.config.resources.keep_checkpoints, score=score),
                        ],
                    ),
                ).fit()
            # What workers wrote before each checkpoint; reports of a group that died may have been lost on their way.
            log.replace(store.read_metrics(total_steps))
    return store


def _rest(stream: Callable[[int], ray.data.Dataset], store: CheckpointStore, total_steps: int) -> ray.data.Dataset:
    """What the newest checkpoint has not consumed; nothing, if the workers died after the last one."""
    step = store.newest_step()
    return stream(step) if step < total_steps else ray.data.range(0)


def _scaling(resources: ResourcesConfig, workers: int, cpus: float) -> ScalingConfig:
    gpus = {"GPU": resources.gpus_per_worker} if resources.use_gpu else {}
    return ScalingConfig(num_workers=workers, use_gpu=resources.use_gpu, resources_per_worker={"CPU": cpus, **gpus})


def keep_best(context: RunContext, store: CheckpointStore, uri: str, score: str | None) -> dict[str, Any]:
    """Copy the best sound checkpoint's model to `uri`; returns its metrics. A damaged one is skipped with a warning.

    Raises:
        DamagedCheckpointsError: if none is sound.
    """
    for checkpoint in store.best(score):
        if (reason := checkpoint.damage()) is None:
            with ray.train.Checkpoint(checkpoint.uri).as_directory() as folder:
                put_folder(f"{folder}/{MODEL_FOLDER}", uri)
            return dict(checkpoint.progress()["metrics"])
        context.warn(f"{checkpoint.uri} is skipped: {reason}")
    raise DamagedCheckpointsError(f"no checkpoint in {store.folder} is sound: remove it, and the stage trains again")
