"""The stage `perturber`: mine the policy's failures, fine-tune the language perturber on them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from signdpo.pipeline.actors import MineHypotheses, on_actors, perturber_worker
from signdpo.pipeline.progress import Meter
from signdpo.pipeline.schedule import Schedule
from signdpo.pipeline.stages import Outputs, RunContext
from signdpo.pipeline.stream import ClipStore
from signdpo.pipeline.training import fit, keep_best
from signdpo.storage import put_folder


class NoFailuresError(RuntimeError):
    """The policy makes no mistakes on its training clips, so there is nothing to learn them from."""


def make_perturber(context: RunContext, before: dict[str, Outputs], key: str) -> Outputs:
    """Mine `perturber/pairs/pairs.parquet` from the policy and train `perturber/model` on it."""
    config = context.config
    pairs = mine_failures(context, context.baseline)
    if len(pairs) < 10:
        raise NoFailuresError(
            f"only {len(pairs)} of the policy's sampled sentences differ from the references: raise "
            "negatives.perturber.temperature or negatives.perturber.mine_clips"
        )
    with tempfile.TemporaryDirectory(prefix="signdpo-") as folder:
        pq.write_table(pa.Table.from_pylist(pairs), f"{folder}/pairs.parquet")
        put_folder(folder, context.path("perturber", "pairs"))
    settings = config.negatives.perturber
    steps = (settings.copy_epochs + settings.epochs) * max(1, len(pairs) // settings.batch_size)
    result = fit(
        context,
        stage="perturber",
        key=key,
        loop=perturber_worker,
        settings={
            "config": config,
            "policy": context.baseline,
            "policy_hash": before["pretrain"]["policy_hash"],
            "pairs": context.path("perturber", "pairs"),
        },
        total_steps=steps,
        workers=1,
        cpus=config.resources.cpus_per_worker,
        score=None,
    )
    keep_best(result, context.perturber, None)
    return {"pairs": len(pairs)}


def mine_failures(context: RunContext, policy: str) -> list[dict[str, Any]]:
    """Sampled hypotheses that differ from their references, as rows of `id`, `reference` and `hypothesis`."""
    config = context.config
    store = ClipStore.load(context.path("clips"), "train", max_frames=config.corpus.max_frames)
    chosen = np.random.default_rng(config.seed).permutation(len(store))[: config.negatives.perturber.mine_clips]
    schedule = Schedule(
        store.num_frames[chosen],
        epochs=1,
        batch_size=config.evaluation.batch_size,
        workers=1,
        seed=config.seed,
        shuffle=False,
    )
    blocks = [replace(block, rows=chosen[block.rows]) for block in schedule.blocks()]
    mined = on_actors(store.stream(blocks), MineHypotheses, (config, policy), config)
    rows: list[dict[str, Any]] = []
    done = 0
    with Meter(context.console, "mining", total=len(chosen), unit="clips") as meter:
        for batch in mined.iter_batches(batch_size=None, batch_format="pyarrow"):
            rows.extend(batch.to_pylist())
            done += batch.num_rows // config.negatives.perturber.samples_per_clip
            meter.update(done)
    rows.sort(key=lambda row: row["id"])  # actors finish in any order; training should not depend on it
    wrong = [row for row in rows if row["hypothesis"] and row["hypothesis"] != row["reference"]]
    context.console.print(f"  {len(wrong)} of {len(rows)} sampled sentences are wrong")
    return wrong
