"""The stage `perturber`: mine the policy's failures, fine-tune the language perturber on them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from signdpo.config import PerturberConfig
from signdpo.data.actor_pool import on_actors
from signdpo.data.clips import read_clips
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.negatives.sentence.perturber_batches import count_steps
from signdpo.negatives.sentence.rules import RULES_FILE, RulePerturber
from signdpo.negatives.sentence.selection import TEXT_FILE, TrainingText
from signdpo.pipeline.actors import MineHypotheses, perturber_worker
from signdpo.pipeline.stage import Outputs, RunContext
from signdpo.pipeline.stages.pretrain import held_out_rows
from signdpo.storage.files import exists, fetch_folder, join, put_folder, read_json, write_json, write_text
from signdpo.text.units import folded
from signdpo.training.fit import fit, keep_best

FEWEST_FAILURES = 10


class NoFailuresError(RuntimeError):
    """The policy makes too few mistakes to learn them from."""


def make_perturber(context: RunContext, before: dict[str, Outputs], key: str) -> Outputs:
    """Write `perturber/model`: what the generators write wrong sentences with, and what they choose among them by."""
    settings = context.config.negatives.perturber
    clips = read_clips(context.path("clips"), "train", columns=["text", "gloss"]).to_pydict()
    pairs = 0
    if settings.kind == "rules":
        rules = RulePerturber.of(clips["text"], edit_share=settings.edit_share)
        write_text(join(context.perturber, RULES_FILE), rules.to_json())
    elif settings.kind == "learned":
        pairs = learn_failures(context, before, key, clips["text"])
    text = TrainingText.of(clips["text"], clips["gloss"], function_share=settings.function_share)
    write_text(join(context.perturber, TEXT_FILE), text.to_json())
    return {"pairs": pairs}


def learn_failures(context: RunContext, before: dict[str, Outputs], key: str, texts: list[str]) -> int:
    """Mine `perturber/pairs` from the policy and train `perturber/model` on it; returns the number of pairs."""
    config = context.config
    failures = mined_failures(context, key, texts)
    checkpoints = fit(
        context,
        stage="perturber",
        key=key,
        loop=perturber_worker,
        settings={
            "policy": context.baseline,
            "pairs": context.path("perturber", "pairs"),
        },
        identity={"policy": before["pretrain"]["policy_hash"], "failures": hash_failures(failures)},
        total_steps=count_steps(config.negatives.perturber, failures=len(failures), texts=len(texts)),
        workers=1,
        cpus=config.resources.cpus_per_worker,
        score=None,
    )
    keep_best(context, checkpoints, context.perturber, None)
    return len(failures)


def mined_failures(context: RunContext, key: str, texts: list[str]) -> list[dict[str, Any]]:
    """Rows of `perturber/pairs`, mined unless an earlier, interrupted run with the same key has done so.

    What a policy says on a GPU may differ from time to time; a fine-tuning that goes on needs the same lessons.
    """
    folder, done = context.path("perturber", "pairs"), context.path("perturber", "mined.json")
    if exists(done) and read_json(done)["key"] == key:
        return list(pq.read_table(f"{fetch_folder(folder)}/pairs.parquet").to_pylist())
    mined = mine_hypotheses(context, context.baseline)
    failures = failures_among(mined, context.config.negatives.perturber)
    context.console.print(f"  {len(failures)} of {len(mined)} mined sentences are wrong")
    with tempfile.TemporaryDirectory(prefix="signdpo-") as local:
        pq.write_table(pa.Table.from_pylist(failures), f"{local}/pairs.parquet")
        pq.write_table(pa.table({"text": texts}), f"{local}/texts.parquet")
        put_folder(local, folder)
    write_json(done, {"key": key})
    return failures


def hash_failures(failures: list[dict[str, Any]]) -> str:
    """A short hash of the references and hypotheses, in their order."""
    pairs = [(row["reference"], row["hypothesis"]) for row in failures]
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]


def failures_among(mined: list[dict[str, Any]], settings: PerturberConfig) -> list[dict[str, Any]]:
    """The rows whose hypothesis is a sentence that reads otherwise than its reference.

    Raises:
        NoFailuresError: if they are too few to learn from; it says what the other hypotheses were and what helps.
    """
    spoken = [row for row in mined if folded(row["hypothesis"])]
    wrong = [row for row in spoken if folded(row["hypothesis"]) != folded(row["reference"])]
    if len(wrong) >= FEWEST_FAILURES:
        return wrong
    empty, right = len(mined) - len(spoken), len(spoken) - len(wrong)
    remedy = (
        "the policy says nothing yet: train it longer (pretrain.epochs)"
        if empty > right
        else "the policy has memorised these clips: hold some out of its training "
        f"(negatives.perturber.held_out_share={settings.held_out_share}), mine more of them "
        f"(mine_clips={settings.mine_clips}), raise the temperature ({settings.temperature}) or the share of distorted "
        "clips (mining.perturbed), or use kind=rules"
    )
    raise NoFailuresError(
        f"of {len(mined)} sentences mined from the policy {empty} were empty, {right} right and {len(wrong)} wrong, "
        f"and a perturber needs {FEWEST_FAILURES} wrong ones: {remedy}"
    )


def mine_hypotheses(context: RunContext, policy: str) -> list[dict[str, Any]]:
    """What the policy says to `mine_clips` training clips, first those it was not trained on.

    Returns:
        Rows of `id`, `reference`, `hypothesis` and `source` (how it was made to speak), in the order of their ids.
    """
    config = context.config
    settings = config.negatives.perturber
    store = ClipStore.load(context.path("clips"), "train", max_frames=config.corpus.max_frames)
    drawn = np.random.default_rng(config.seed).permutation(len(store))
    unseen = held_out_rows(store.ids, settings.held_out_share, config.seed)
    chosen = drawn[np.argsort(~unseen[drawn], kind="stable")][: settings.mine_clips]
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
    stream, name = store.stream(blocks), f"{context.name}-mining"
    mined = on_actors(stream, MineHypotheses, (config, policy), config, watchdog.attempts, name=name)
    rows: list[dict[str, Any]] = []
    with StageProgress(context.console, "mining", total=len(chosen), unit="clips", watchdog=watchdog) as meter:
        for batch in mined.iter_batches(batch_size=None, batch_format="pyarrow"):
            rows.extend(batch.to_pylist())
            meter.update(len(rows) // settings.samples_per_clip)
    rows.sort(key=lambda row: row["id"])  # actors finish in any order; training should not depend on it
    return rows
