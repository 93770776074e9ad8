"""One Ray Train run of a stage: started, resumed where it was cut off, followed."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray.data
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback

from signdpo.data.stream import ScheduledDataConfig
from signdpo.monitoring.following import follow
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.recorders import CountRestarts
from signdpo.monitoring.stalls import Watchdog
from signdpo.monitoring.trackers import Training
from signdpo.run_context import RunContext
from signdpo.storage.files import put_folder
from signdpo.training.checkpoint import MODEL_FOLDER, CheckpointStore
from signdpo.training.plan import TrainingPlan, WorkerRun
from signdpo.training.step_metrics import Row, StepFollower, write_metrics

logger = logging.getLogger(__name__)


class DamagedCheckpointsError(RuntimeError):
    """Training has ended and no checkpoint of it is sound."""


class DivergedError(RuntimeError):
    """Training came to a point from where no step was finite."""


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
    plan: TrainingPlan,
    *,
    watchdog: Watchdog | None = None,
    on_row: Callable[[Row], None] | None = None,
    callbacks: Sequence[UserCallback] = (),
) -> CheckpointStore:
    """Run a per-worker loop to its end.

    Args:
        context: run that the training is part of.
        plan: what is to be trained.
        watchdog: watchdog over the stage; a new one by default.
        on_row: function that is called with the metrics of each step.
        callbacks: callbacks of Ray Train, beside those that keep checkpoints and count.

    Returns:
        Where the checkpoints are.

    Raises:
        CheckpointMismatchError: if there is a checkpoint of another training under this key.
        DivergedError: if several steps in a row were not finite, or the weights are not.
    """
    store = checkpoints_of(context, plan.stage, plan.key).examined(context.warn)
    store.check_identity(plan.identity)
    start = store.newest_step()
    if start:
        context.say(f"goes on from step {start}")
    training = Training(context.config, context.directory, context.name, plan.stage, plan.key, start, plan.total_steps)
    progress = StageProgress(
        context.console,
        plan.stage,
        total=plan.total_steps,
        unit="steps",
        watchdog=watchdog or Watchdog(context.console, context.config.resources),
    )
    with progress, follow(training, context.console) as trackers:

        def show(row: Row) -> None:
            if "fault" in row:
                context.warn(f"step {row['step']} was skipped, since this was not finite: {row['fault']}")
            progress.update(row["step"], f"loss {row['loss']:.3f}" if "loss" in row else "")
            trackers.log(row)
            if on_row is not None:
                on_row(row)

        keeper = KeepCheckpoints(store, keep=context.config.resources.keep_checkpoints, score=plan.score)
        with StepFollower(store.metrics, start=start, on_row=show, warn=context.warn), _interrupts_restored():
            if start < plan.total_steps:
                _train(context, plan, store, [CountRestarts(training.labels), *callbacks, keeper])
        keeper.prune()  # a worker that dies right after the last checkpoint leaves it untold
    rows = store.metrics.read(last=plan.total_steps)
    write_metrics(context.path(plan.stage, "metrics.jsonl"), rows)
    _tell_faults(context, plan, store, rows)
    return store


def _tell_faults(context: RunContext, plan: TrainingPlan, store: CheckpointStore, rows: Sequence[Row]) -> None:
    """Say how many steps were skipped. Raises `DivergedError` if training ended with them."""
    skipped = [row for row in rows if "fault" in row]
    newest = store.newest()
    if skipped and skipped[-1] is rows[-1] and (newest is None or newest.step < plan.total_steps):
        last = skipped[-1]
        kept = "there is no sound checkpoint" if newest is None else f"the last sound checkpoint is {newest.uri}"
        raise DivergedError(
            f"the stage {plan.stage} has diverged: up to step {last['step']}, step after step was not finite (at last "
            f"{last['fault']}); {kept}. Lower {plan.section}.lr, or raise {plan.section}.warmup_steps where it has them"
        )
    if skipped:
        context.warn(f"{len(skipped)} of {plan.total_steps} steps were skipped, since they were not finite")


def _train(context: RunContext, plan: TrainingPlan, store: CheckpointStore, callbacks: list[UserCallback]) -> None:
    """The rest of a training, by Ray Train: as a new experiment, which its own checkpoint manager knows nothing of."""
    from ray.train.torch import TorchTrainer  # brings torch

    resources = context.config.resources
    run = WorkerRun(
        config=context.config,
        threads=max(1, int(plan.cpus)),
        total_steps=plan.total_steps,
        labels={"run": context.name, "stage": plan.stage},
        identity=plan.identity,
        checkpoints=store,
    )
    name = f"{context.name}-{plan.stage}".replace("/", "-")
    stream = plan.stream
    trainer = TorchTrainer(
        plan.loop,
        train_loop_config={"settings": plan.settings, "run": run},
        datasets={} if stream is None else {"train": lambda: _rest(stream, store, plan.total_steps)},
        dataset_config=ScheduledDataConfig(name),
        scaling_config=ScalingConfig(
            num_workers=plan.workers,
            use_gpu=resources.use_gpu,
            resources_per_worker=resources.of_worker(plan.cpus),
        ),
        run_config=RunConfig(
            name=store.next_attempt(name),
            storage_path=store.folder,
            failure_config=FailureConfig(max_failures=resources.max_failures),
            callbacks=callbacks,
        ),
    )
    trainer.fit()


def checkpoints_of(context: RunContext, stage: str, key: str) -> CheckpointStore:
    """The checkpoints of the training of a stage with these inputs."""
    return CheckpointStore(context.path(stage, f"training-{key}"))


@contextmanager
def _interrupts_restored() -> Iterator[None]:
    """Ctrl-C ends the job, too, once Ray Train's own handler has aborted the training; then it means what it did.

    That handler ends the process with 0, as if all were done, and would go on aborting a training that is over.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as ended:
        raise KeyboardInterrupt from ended
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _rest(stream: Callable[[int], ray.data.Dataset], store: CheckpointStore, total_steps: int) -> ray.data.Dataset:
    """What the newest checkpoint has not consumed; nothing, if the workers died after the last one."""
    step = store.newest_step()
    return stream(step) if step < total_steps else ray.data.range(0)


def keep_best(context: RunContext, store: CheckpointStore, uri: str, score: str | None) -> Row:
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
