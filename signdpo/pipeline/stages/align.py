"""The stage `align`: negatives made in parallel stream into the trainer that does DPO."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import ray.data
from ray.train import UserCallback
from rich.table import Table

from signdpo.cluster.nodes import on_this_node
from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, generators, trainers
from signdpo.config import Config
from signdpo.data.actor_pool import on_actors
from signdpo.data.schedule import Schedule
from signdpo.data.statistics import ACCEPTED, LevelStatistics, run_statistics
from signdpo.data.stream import ClipStore
from signdpo.levels import SKELETON_LEVELS
from signdpo.monitoring.drift import DriftWatch
from signdpo.monitoring.stalls import Watchdog
from signdpo.monitoring.teaching import TeachingWatch
from signdpo.pipeline.actors import FollowPolicy, GenerateNegatives, align_worker
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.clips import Clips, alignment_schedule, training_clips
from signdpo.pipeline.stages.control import tell_best
from signdpo.pipeline.stages.negatives import (
    Negatives,
    generator_arguments,
    open_cache,
)
from signdpo.pipeline.stages.perturber import Perturber
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.pipeline.stages.segments import Segments
from signdpo.run_context import RunContext
from signdpo.storage.files import fetch_folder
from signdpo.training.fit import checkpoints_of, fit, keep_best
from signdpo.training.ledger import check_ledger, forget_ledger
from signdpo.training.plan import DpoSettings, TrainingPlan
from signdpo.training.step_metrics import Row, read_metrics
from signdpo.training.versions import Follower, WeightStore

BLOCKS_AHEAD = 4  # of each generator that follows the policy: one in the making, the rest for uneven steps
WARM_STEPS = 3  # first batches, which wait for the generators to load their models

# Keys of `dpo` that decide the alignment; those of the negatives come with them.
OWN = (
    *("batch_size", "loss", "beta", "betas", "weights", "mle_weight", "counterfactual_mle_weight", "anchor_weight"),
    *("label_smoothing", "length_normalize", "dropout", "lr", "warmup_steps", "weight_decay", "clip_grad_norm"),
    *("augmentation", "select_by", "checkpoint_every"),
)


class AlignOutputs(StageOutputs):
    """The aligned policy, and what it learned from.

    Args:
        policy_hash: hash of its weights.
        step: step of the checkpoint that was kept.
        negatives: level -> what became of its negatives.
    """

    policy_hash: str
    step: int
    negatives: dict[str, LevelStatistics]


class Align(Stage[AlignOutputs]):
    """Aligns on the train split, keeps the checkpoint with the best dev score as `align/policy`.

    Args:
        shared: what it shares with other alignments.
    """

    name = "align"
    outputs = AlignOutputs
    builds_on = (Clips, Pretrain, Perturber, Segments)
    resumable = frozenset({"dpo.checkpoint_every"})

    def __init__(self, shared: Alignment | None = None) -> None:
        self.beside = shared

    def purpose(self, config: Config) -> str:
        if config.negatives.mode == "cached":
            return "negatives stream from their cache into DPO"
        return "negatives stream from the generators into DPO"

    def reads(self, config: Config) -> Sequence[str]:
        """The same negatives decide it, whether cached or streamed."""
        following = ("negatives.policy", "negatives.refresh_every") if config.negatives.policy == "current" else ()
        scoring = ("corpus.language", "evaluation.tokenize", "evaluation.max_new_tokens")  # a checkpoint on dev
        return (*Negatives().reads(config), *(f"dpo.{name}" for name in OWN), *following, *scoring)

    def results(self, before: Results) -> dict[str, Any]:
        return Negatives().results(before)

    def demands(self, config: Config) -> list[Demand]:
        workers = trainers(config.resources, "worker", config.resources.workers)
        if config.negatives.mode == "cached":
            return [Demand(self.name, (workers, DATA_TASK))]
        return [Demand(self.name, (workers, generators(config.resources), DATA_TASK))]

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> AlignOutputs:
        return align(context, before, inputs, self.beside)


@dataclass(frozen=True)
class Alignment:
    """What an alignment shares with others that run beside it, and tells them.

    Args:
        store: training clips, where they are in the object store already.
        callbacks: callbacks of Ray Train.
    """

    store: ClipStore | None = None
    callbacks: Sequence[UserCallback] = ()


def align(context: RunContext, before: Results, inputs: Inputs, shared: Alignment | None = None) -> AlignOutputs:
    """The work of the stage; `shared`: what trials of a search have in common."""
    from signdpo.models.policy import Policy

    shared = shared or Alignment()
    config, ledger = context.config, ledger_folder(context, inputs)
    store = shared.store or training_clips(context)
    schedule, watchdog = alignment_schedule(config, store), Watchdog(context.console, config.resources)
    weights = None
    if config.negatives.policy == "current":
        weights = WeightStore.options(scheduling_strategy=on_this_node()).remote()  # type: ignore[attr-defined]
    plan = TrainingPlan(
        stage=Align.name,
        key=inputs.training_key,
        section="dpo",
        loop=align_worker,
        settings=DpoSettings(
            reference=context.baseline,
            reference_hash=before[Pretrain].policy_hash,
            clips=context.clips,
            warm_steps=WARM_STEPS,
            epoch_steps=schedule.epoch_steps,
            weights=weights,
            ledger=ledger,
        ),
        identity={"reference": before[Pretrain].policy_hash, **schedule.identity(store.ids)},
        total_steps=schedule.steps,
        workers=config.resources.workers,
        cpus=config.resources.cpus_per_worker,
        score=config.dpo.select_by,
        stream=preference_stream(context, before, store, schedule, watchdog.attempts, weights),
    )
    forget_ledger(ledger, after=checkpoints_of(context, plan.stage, plan.key).newest_step())
    drift = DriftWatch(context.console, dropout=config.dpo.dropout)
    teaching = TeachingWatch(context.console, config.dpo.levels, plan.total_steps)
    epoch: list[Row] = []

    def on_row(row: Row) -> None:
        drift.see(row)
        teaching.see(row)
        epoch.append(row)
        if row["step"] in schedule.epoch_steps:
            _tell_epoch(context, epoch)
            epoch.clear()

    checkpoints = fit(context, plan, watchdog=watchdog, on_row=on_row, callbacks=shared.callbacks)
    context.say(check_ledger(ledger, store.ids, epochs=config.dpo.epochs))
    negatives = run_statistics(read_metrics(context.path(Align.name, "metrics.jsonl")))
    show_negatives(context, negatives)
    teaching.conclude({level: row.accepted for level, row in negatives.items()})
    best = keep_best(context, checkpoints, context.aligned, config.dpo.select_by)
    tell_best(context, best)
    policy_hash = Policy.load(fetch_folder(context.aligned)).hash()
    return AlignOutputs(policy_hash=policy_hash, step=best["step"], negatives=negatives)


def ledger_folder(context: RunContext, inputs: Inputs) -> str:
    return context.path(Align.name, f"ledger-{inputs.training_key}")


def preference_stream(
    context: RunContext, before: Results, store: ClipStore, schedule: Schedule, attempts: Any, weights: Any
) -> Callable[[int], ray.data.Dataset]:
    """First step -> the preference rows from there on: from the cache, or from generators that a policy may guide.

    Args:
        context: of the run.
        before: outputs of the stages before.
        store: the training clips.
        schedule: which clips make up which step.
        attempts: `BatchAttempts` of the driver.
        weights: `WeightStore` that generators follow; None: the reference guides them.
    """
    config = context.config
    if config.negatives.mode == "cached":
        cache = open_cache(context, before, store)
        return lambda step: cache.stream(schedule.blocks(step))
    made = (context.name, generator_arguments(context, before))

    def stream(step: int) -> ray.data.Dataset:
        clips = store.stream(schedule.blocks(step))
        if weights is not None:
            return on_actors(clips, FollowPolicy, (follower(weights, config), *made), config, attempts)
        return on_actors(clips, GenerateNegatives, made, config, attempts)

    return stream


def follower(weights: Any, config: Config) -> Follower:
    """How generators follow a trainer that is about to begin."""
    ray.get(weights.clear.remote())
    resources = config.resources
    return Follower(weights, ahead=math.ceil(BLOCKS_AHEAD * resources.generators[1] / resources.workers))


def show_negatives(context: RunContext, statistics: Mapping[str, LevelStatistics]) -> None:
    """How the negatives of the run came out."""
    hardness = context.config.negatives.hardness
    band = f", skeletons with reference margins {hardness.skeleton.describe()} nats a {hardness.unit}"
    skeletons = any(level in SKELETON_LEVELS for level in statistics)
    table = Table(title=f"Negatives{band if skeletons else ''}", title_justify="left")
    table.add_column("level")
    for column in ("accepted", "masked", "mean margin", *(("redrawn", "mean strength") if skeletons else ())):
        table.add_column(column, justify="right")
    for level, row in statistics.items():
        cells = [_percent(row.accepted), _percent(row.masked), _number(row.margin)]
        table.add_row(level, *cells, *((_percent(row.redrawn), _number(row.strength)) if skeletons else ()))
    context.console.print(table)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _tell_epoch(context: RunContext, rows: Sequence[Row]) -> None:
    """A line of an epoch, from the rows of its steps: the accuracies are over all its pairs."""
    accuracies = []
    for level in context.config.dpo.levels:
        name = f"rewards/accuracies/{level}"
        counted = [(row[name], row["rows"] * row[f"{ACCEPTED}/{level}"]) for row in rows if name in row]
        if counted:
            values, pairs = np.array(counted).T
            accuracies.append(f"{level} {np.average(values, weights=pairs):.2f}")
    last = rows[-1]
    context.say(
        f"epoch {last['epoch'] + 1}: {100 * last['wait_share']:.1f} % of the trainer's time went on waiting for "
        f"negatives ({last['generators']} generators so far); reward accuracies {'  '.join(accuracies)}"
    )
