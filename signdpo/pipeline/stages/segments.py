"""The stage `segments`: which frames of the training clips speak which units of their sentences."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, generators
from signdpo.config import Config
from signdpo.counterfactuals.maker import FILE, SEGMENT_SCHEMA
from signdpo.data.actor_pool import on_actors
from signdpo.data.clips import read_clips, write_parquet
from signdpo.data.rows import rows_of, table_of
from signdpo.data.schedule import Schedule
from signdpo.levels import COUNTERFACTUAL
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.pipeline.actors import FindSegments
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.clips import Clips, training_clips
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.run_context import RunContext
from signdpo.seeding import derive_seed


class SegmentsOutputs(StageOutputs):
    """What was found.

    Args:
        segments: number of them.
        units: of different ones.
        content_hash: hash of all of them.
    """

    segments: int
    units: int
    content_hash: str


class Segments(Stage[SegmentsOutputs]):
    """Writes `segments/segments.parquet`, with the frames of a few segments of each unit."""

    name = "segments"
    outputs = SegmentsOutputs
    builds_on = (Clips, Pretrain)
    shared = True

    def purpose(self, config: Config) -> str:
        return "which frames speak which words, by the policy's attention"

    def is_wanted(self, config: Config) -> bool:
        return COUNTERFACTUAL in config.dpo.levels

    def reads(self, config: Config) -> Sequence[str]:
        own = (f"negatives.counterfactual.{name}" for name in ("frames", "min_mass", "donors"))
        return "seed", "corpus.max_frames", "policy.max_text_tokens", "negatives.perturber.function_share", *own

    def results(self, before: Results) -> dict[str, Any]:
        return {
            "clips.content_hash": before[Clips].content_hash,
            "pretrain.policy_hash": before[Pretrain].policy_hash,
        }

    def demands(self, config: Config) -> list[Demand]:
        return [Demand(self.name, (generators(config.resources), DATA_TASK))]

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> SegmentsOutputs:
        config, store = context.config, training_clips(context)
        sentences = read_clips(context.clips, "train", columns=["text"]).column("text").to_pylist()
        schedule = Schedule(store.num_frames, epochs=1, batch_size=64, workers=1, seed=config.seed, shuffle=False)
        watchdog = Watchdog(context.console, config.resources)
        found = on_actors(
            store.stream(schedule.blocks()),
            FindSegments,
            (config, context.baseline, sentences),
            config,
            watchdog.attempts,
            name=f"{context.name}-segments",
        )
        rows: list[dict[str, Any]] = []
        clips = set[str]()
        with StageProgress(context.console, self.name, total=None, unit="segments", watchdog=watchdog) as progress:
            for batch in found.iter_batches(batch_size=None, batch_format="pyarrow"):
                rows += rows_of(batch)
                clips.update(batch["id"].to_pylist())
                progress.update(len(rows))
        rows.sort(key=lambda row: (row["id"], row["first"]))
        table = few_donors(rows, config.negatives.counterfactual.donors, config.seed)
        write_parquet(context.path(self.name, FILE), table)
        units = len({tuple(row["units"]) for row in rows})
        context.say(f"{len(rows)} segments of {units} units in {len(clips)} of {len(store)} clips")
        digest = hashlib.sha256()
        for column in table.drop_columns(["keypoints"]).to_pydict().values():
            digest.update(repr(column).encode())
        return SegmentsOutputs(segments=len(rows), units=units, content_hash=digest.hexdigest()[:16])


def few_donors(rows: list[dict[str, Any]], most: int, seed: int) -> pa.Table:
    """A table of `SEGMENT_SCHEMA` in which so many segments of each unit have their frames, drawn by seed."""
    kept: Counter[tuple[str, ...]] = Counter()
    order = np.argsort([derive_seed(seed, row["id"], row["first"]) for row in rows], kind="stable")
    for place in order.tolist():
        row = rows[place]
        kept[tuple(row["units"])] += 1
        if kept[tuple(row["units"])] > most:
            row["keypoints"] = []
    return table_of({name: [row[name] for row in rows] for name in SEGMENT_SCHEMA.names}, SEGMENT_SCHEMA)
