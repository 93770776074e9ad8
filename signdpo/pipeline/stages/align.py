"""The stage `align`: negatives made in parallel stream into the trainer that does DPO."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ray
import ray.data
from ray.train import UserCallback
from rich.table import Table

from signdpo.cluster.nodes import on_this_node
from signdpo.config import Config
from signdpo.data.actor_pool import on_actors
from signdpo.data.cache import CachedNegatives, cached_negatives, decided_by
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.levels import SKELETON_LEVELS
from signdpo.models.policy import Policy
from signdpo.monitoring.drift import DriftWatch
from signdpo.monitoring.progress import read_metrics
from signdpo.monitoring.stalls import Watchdog
from signdpo.negatives.statistics import run_statistics
from signdpo.pipeline.actors import FollowPolicy, GenerateNegatives, align_worker
from signdpo.pipeline.stage import Outputs, RunContext
from signdpo.storage.files import fetch_folder
from signdpo.training.fit import fit, keep_best
from signdpo.training.ledger import check_ledger
from signdpo.training.versions import Follower, WeightStore

BLOCKS_AHEAD = 4  # of each generator that follows the policy: one in the making, the rest for uneven steps
WARM_STEPS = 3  # first batches, which wait for the generators to load their models


def align(
    context: RunContext,
    before: dict[str, Outputs],
    key: str,
    *,
    store: ClipStore | None = None,
    callbacks: Sequence[UserCallback] = (),
) -> Outputs:
    """Align on the train split, keep the checkpoint with the best dev score as `align/policy`.

    Args:
        context: of the run.
        before: outputs of the stages before.
        key: of the stage's inputs.
        store: the training clips, where they are in the object store already.
        callbacks: of Ray Train.
    """
    config, reference_hash = context.config, before["pretrain"]["policy_hash"]
    store = store or training_clips(context)
    schedule = alignment_schedule(config, store)
    made = (context.name, *_generator_arguments(context, before))
    watchdog = Watchdog(context.console, config.resources)
    hangs, cache, board, ledger = watchdog.attempts, None, None, context.path("align", f"ledger-{key}")
    if config.negatives.mode == "cached":
        cache = alignment_cache(context, before, store)
    if config.negatives.policy == "current":
        board = WeightStore.options(scheduling_strategy=on_this_node()).remote()  # type: ignore[attr-defined]

    def stream(step: int) -> ray.data.Dataset:
        blocks = schedule.blocks(step)
        if cache is not None:
            return cache.stream(blocks)
        if board is not None:
            return on_actors(store.stream(blocks), FollowPolicy, (follower(board, config), *made), config, hangs)
        return on_actors(store.stream(blocks), GenerateNegatives, made, config, hangs)

    drift = DriftWatch(context.console)

    def on_row(row: dict[str, Any]) -> None:
        drift.see(row)
        _tell_epoch(context, row, schedule.epoch_steps)

    checkpoints = fit(
        context,
        stage="align",
        key=key,
        loop=align_worker,
        settings={
            "reference": context.baseline,
            "reference_hash": reference_hash,
            "clips": context.path("clips"),
            "warm_steps": WARM_STEPS,
            "epoch_steps": schedule.epoch_steps,
            "board": board,
            "ledger": ledger,
        },
        identity={"reference": reference_hash, **schedule.identity(store.ids)},
        total_steps=schedule.steps,
        workers=config.resources.workers,
        cpus=config.resources.cpus_per_worker,
        score=config.dpo.select_by,
        watchdog=watchdog,
        stream=stream,
        on_row=on_row,
        callbacks=callbacks,
    )
    context.console.print(f"  {check_ledger(ledger, store.ids, epochs=config.dpo.epochs)}")
    best = keep_best(context, checkpoints, context.aligned, config.dpo.select_by)
    context.console.print(f"  dev BLEU-4 {best['eval_bleu4']:.2f} (greedy) after step {best['step']}")
    negatives = run_statistics(read_metrics(context.path("align", "metrics.jsonl")))
    show_negatives(context, negatives)
    policy_hash = Policy.load(fetch_folder(context.aligned)).hash()
    return {"policy_hash": policy_hash, "step": best["step"], "negatives": negatives}


def training_clips(context: RunContext) -> ClipStore:
    """The train split, in the object store."""
    return ClipStore.load(context.path("clips"), "train", max_frames=context.config.corpus.max_frames)


def alignment_schedule(config: Config, store: ClipStore) -> Schedule:
    return Schedule(
        store.num_frames,
        epochs=config.dpo.epochs,
        batch_size=config.dpo.batch_size,
        workers=config.resources.workers,
        seed=config.seed,
    )


def alignment_cache(context: RunContext, before: dict[str, Outputs], store: ClipStore) -> CachedNegatives:
    """The cached negatives of an alignment, made as far as they are lacking; see `cached_negatives`."""
    decided = decided_by(context.config, before, context.perturber)
    schedule = alignment_schedule(context.config, store)
    return cached_negatives(context, decided, store, schedule, _generator_arguments(context, before))


def _generator_arguments(context: RunContext, before: dict[str, Outputs]) -> tuple[Any, ...]:
    reference_hash = before["pretrain"]["policy_hash"]
    return context.config, context.baseline, reference_hash, context.perturber, context.path("clips")


def show_negatives(context: RunContext, statistics: dict[str, dict[str, float]]) -> None:
    """How the negatives of the run came out."""
    hardness = context.config.negatives.hardness
    band = f"reference margins from {hardness.min_margin:g} to {hardness.max_margin:g} nats"
    table = Table(title=f"Negatives, skeletons with {band}", title_justify="left")
    table.add_column("level")
    for column in ("accepted", "redrawn", "masked", "mean margin", "mean strength"):
        table.add_column(column, justify="right")
    for level, row in statistics.items():
        shares = [f"{100 * row[name]:.1f} %" if name in row else "" for name in ("accepted", "redrawn", "masked")]
        means = [f"{row[name]:.2f}" if name in row else "" for name in ("margin", "strength")]
        table.add_row(level, *shares, *means)
    context.console.print(table)
    masked = [level for level, row in statistics.items() if level in SKELETON_LEVELS and not row["accepted"]]
    if masked:
        context.console.print(
            f"  nothing was learned from {', '.join(masked)}: no negative's margin lay in that band. Where margins are "
            "below it the policy hardly looks at the clip: train it longer (pretrain.epochs), or lower "
            "negatives.hardness.min_margin",
            style="yellow",
            soft_wrap=True,
        )


def follower(board: Any, config: Config) -> Follower:
    """How generators follow a trainer that is about to begin."""
    ray.get(board.clear.remote())
    resources = config.resources
    return Follower(board, ahead=math.ceil(BLOCKS_AHEAD * resources.generators[1] / resources.workers))


def _tell_epoch(context: RunContext, row: dict[str, Any], epoch_steps: list[int]) -> None:
    if row["step"] in epoch_steps:
        margins = "  ".join(
            f"{name.rsplit('/', 1)[1]} {value:.2f}"
            for name, value in row.items()
            if name.startswith("rewards/accuracies/")
        )
        context.console.print(
            f"  epoch {row['epoch'] + 1}: {100 * row['wait_share']:.1f} % of the trainer's time went on waiting for "
            f"negatives ({row['generators']} generators so far); reward accuracies {margins}"
        )
