"""One Ray Train run of a stage: started, resumed where it was cut off, followed."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
import ray.data
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer

from signdpo.data.stream import ScheduledDataConfig
from signdpo.monitoring.following import follow
from signdpo.monitoring.progress import StageProgress, TrainingLog
from signdpo.monitoring.recorders import CountRestarts
from signdpo.monitoring.stalls import Watchdog
from signdpo.monitoring.trackers import Training
from signdpo.pipeline.stage import RunContext
from signdpo.storage.files import put_folder
from signdpo.training.checkpoint import MODEL_FOLDER, CheckpointStore

MAX_CONTROLLERS = 4  # one after the other, before a stage gives up
logger = logging.getLogger(__name__)


class DamagedCheckpointsError(RuntimeError):
    """Training has ended and no checkpoint of it is sound."""


class KeepCheckpoints(UserCallback):
    """Deletes, whenever a checkpoint is committed, those that are neither the best nor among the last."""

    def __init__(self, store: CheckpointStore, *, keep: int, score: str | None) -> None:
        self.store, self.keep, self.score = store, keep, score

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        if checkpoint is not None:
            self.prune()

    def prune(self) -> None:
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
    watchdog: Watchdog | None = None,
    stream: Callable[[int], ray.data.Dataset] | None = None,
    on_row: Callable[[dict[str, Any]], None] | None = None,
    callbacks: Sequence[UserCallback] = (),
) -> CheckpointStore:
    """Run a per-worker loop to its end.

    Args:
        context: of the run.
        stage: its name; checkpoints lie in a folder of it named after `key`, so other inputs never resume from them.
        key: of the stage's inputs.
        loop: the per-worker function.
        settings: what it is given, beside `config`, `threads`, `steps`, `labels`, `identity` and `checkpoints`, which
            are added.
        identity: what a checkpoint must agree on to be resumed.
        total_steps: of the whole training.
        workers: in the training group.
        cpus: of each worker; also its threads.
        score: metric to keep the best checkpoint by; None keeps the latest.
        watchdog: over the stage; a new one by default.
        stream: first step -> the dataset `train` from there on. Called anew whenever the worker group starts, so what a
            checkpoint has consumed is not made again.
        on_row: called with each reported row of metrics.
        callbacks: of Ray Train, beside those that follow the run.

    Returns:
        Where the checkpoints are.

    Raises:
        CheckpointMismatchError: if there is a checkpoint of another training under this key.
    """
    store = checkpoints_of(context, stage, key).examined(context.warn)
    store.check_identity(identity)
    start = store.newest_step()
    if start:
        context.console.print(f"  goes on from step {start}")
    resources = context.config.resources
    watchdog = watchdog or Watchdog(context.console, resources)
    training = Training(context.config, context.directory, context.name, stage, key, start, total_steps)
    with (
        StageProgress(context.console, stage, total=total_steps, unit="steps", watchdog=watchdog) as meter,
        follow(training, context.console) as trackers,
    ):

        def show(row: dict[str, Any]) -> None:
            meter.update(row["step"], f"loss {row['loss']:.3f}")
            trackers.log(row)
            if on_row is not None:
                on_row(row)

        log = TrainingLog(
            context.path(stage, "metrics.jsonl"), rows=store.read_metrics(start), on_row=show, warn=context.warn
        )
        added = {"config": context.config, "threads": max(1, int(cpus)), "steps": total_steps}
        added["labels"] = training.labels
        keeper = KeepCheckpoints(store, keep=resources.keep_checkpoints, score=score)

        def new_trainer() -> TorchTrainer:
            return TorchTrainer(
                loop,
                train_loop_config=settings | added | {"identity": identity, "checkpoints": store},
                datasets={} if stream is None else {"train": lambda: _rest(stream, store, total_steps)},
                dataset_config=ScheduledDataConfig(f"{context.name}-{stage}"),
                scaling_config=ScalingConfig(
                    num_workers=workers,
                    use_gpu=resources.use_gpu,
                    resources_per_worker=resources.of_worker(cpus),
                ),
                run_config=RunConfig(
                    name=store.next_attempt(f"{context.name}-{stage}"),
                    storage_path=store.folder,
                    failure_config=FailureConfig(max_failures=resources.max_failures),
                    callbacks=[CountRestarts(training.labels), *log.callbacks(), *callbacks, keeper],
                ),
            )

        with log, _interrupts_restored():
            _outlive_controllers(context, new_trainer, store, log, watchdog, total_steps)
            # What workers wrote before each checkpoint; reports of a group that died may have been lost on their way.
            log.replace(store.read_metrics(total_steps))
        keeper.prune()  # a worker that dies right after the last checkpoint leaves it untold
    return store


def checkpoints_of(context: RunContext, stage: str, key: str) -> CheckpointStore:
    """The checkpoints of the training of a stage with these inputs."""
    return CheckpointStore(context.path(stage, f"training-{key}"))


@contextmanager
def _interrupts_restored() -> Iterator[None]:
    """Ctrl-C means what it meant before: Ray Train's handler would go on aborting a training that is over."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _outlive_controllers(
    context: RunContext,
    new_trainer: Callable[[], TorchTrainer],
    store: CheckpointStore,
    log: TrainingLog,
    watchdog: Watchdog,
    total_steps: int,
) -> None:
    """Train with one controller after the other: Ray restarts workers, but not the actor that controls them."""
    for left in reversed(range(MAX_CONTROLLERS)):
        if store.newest_step() >= total_steps:
            return
        try:
            new_trainer().fit()
            return
        except ray.exceptions.RayActorError as error:
            if left == 0 or watchdog.given_up is not None:
                raise
            log.free()
            cause = str(error).strip().splitlines()[0]
            context.warn(
                f"the controller of the training died ({cause}); a new one goes on from step {store.newest_step()}"
            )


def _rest(stream: Callable[[int], ray.data.Dataset], store: CheckpointStore, total_steps: int) -> ray.data.Dataset:
    """What the newest checkpoint has not consumed; nothing, if the workers died after the last one."""
    step = store.newest_step()
    return stream(step) if step < total_steps else ray.data.range(0)


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
