"""What a policy says to training clips, by the generators' actors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from signdpo.data.actor_pool import on_actors
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.pipeline.actors import MineHypotheses
from signdpo.run_context import RunContext


def mine_hypotheses(
    context: RunContext, store: ClipStore, chosen: np.ndarray, policy: str, *, title: str = "mining"
) -> list[dict[str, Any]]:
    """`negatives.perturber.samples_per_clip` sentences that a policy says to each of these clips.

    Args:
        context: of the run.
        store: the training clips.
        chosen: `(clips,)` indices of those to be mined.
        policy: folder of the policy.
        title: of the progress.

    Returns:
        Rows of `HypothesisMiner`, in the order of their ids.
    """
    config = context.config
    schedule = Schedule(
        store.num_frames[chosen],
        epochs=1,
        batch_size=config.evaluation.batch_size,
        workers=1,
        seed=config.seed,
        shuffle=False,
    )
    blocks = [replace(block, rows=chosen[block.rows]) for block in schedule.blocks()]
    watchdog = Watchdog(context.console, config.resources)
    name = f"{context.name}-mining"
    mined = on_actors(store.stream(blocks), MineHypotheses, (config, policy), config, watchdog.attempts, name=name)
    rows: list[dict[str, Any]] = []
    with StageProgress(context.console, title, total=len(chosen), unit="clips", watchdog=watchdog) as meter:
        for batch in mined.iter_batches(batch_size=None, batch_format="pyarrow"):
            rows.extend(batch.to_pylist())
            meter.update(len(rows) // config.negatives.perturber.samples_per_clip)
    rows.sort(key=lambda row: row["id"])  # actors finish in any order; training should not depend on it
    return rows
