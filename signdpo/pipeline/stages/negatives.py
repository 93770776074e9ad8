"""The stage `negatives`: the preference rows of all epochs as Parquet, made before the training that reads them.

Every run of the same clips, policies, settings and seed finds them under the same key, whatever its beta, weights or
learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, generators
from signdpo.config import Config, ConfigError
from signdpo.data.actor_pool import on_actors
from signdpo.data.cache import (
    MANIFEST,
    CachedNegatives,
    IncompleteCacheError,
    part_name,
    why_stale,
)
from signdpo.data.schedule import Block
from signdpo.data.stream import ClipStore
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.pipeline.actors import CacheNegatives, GeneratorArguments
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.clips import Clips, alignment_schedule, training_clips
from signdpo.pipeline.stages.perturber import Perturber
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.pipeline.stages.segments import Segments
from signdpo.run_context import RunContext
from signdpo.storage.files import absolute, exists, join, list_folder, write_json

FORMAT = 4  # of the rows; raise it when the same settings come to make other rows

# Keys of `negatives.perturber` that choose among its sentences.
CHOOSING = ("candidates", "max_chrf", "min_chrf", "max_length_ratio", "min_fluency", "function_share", "known_words")


class NegativesOutputs(StageOutputs):
    """Where the rows are.

    Args:
        key: folder's name in the run's `negatives/`, or in the place that `negatives.cache` names.
    """

    key: str


class Negatives(Stage[NegativesOutputs]):
    """Writes `negatives/<key>`, unless `negatives.cache` names a place that has it."""

    name = "negatives"
    outputs = NegativesOutputs
    builds_on = (Clips, Pretrain, Perturber, Segments)
    shared = True

    def purpose(self, config: Config) -> str:
        return "the negatives of all epochs, as Parquet"

    def is_wanted(self, config: Config) -> bool:
        return config.negatives.mode == "cached"

    def reads(self, config: Config) -> Sequence[str]:
        """Batches and devices are left out: they move reference log-probabilities by rounding alone (1e-5 nats)."""
        choosing = tuple(f"negatives.perturber.{name}" for name in CHOOSING)
        own = ("levels", "operations", "strength", "donors", "hardness", "guidance", "salience", "counterfactual")
        sampling: tuple[str, ...] = ()
        if config.negatives.perturber.kind == "policy":
            sampling = ("negatives.perturber.temperature", "evaluation.max_new_tokens")
        return (
            "dpo.seed",
            "corpus.max_frames",
            "corpus.shard_rows",  # donors are drawn shard by shard
            "policy.max_text_tokens",
            "dpo.precision",
            "dpo.epochs",
            *(f"negatives.{name}" for name in (*own, "perturber.kind")),
            *choosing,
            *sampling,
        )

    def results(self, before: Results) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "clips.content_hash": before[Clips].content_hash,
            "pretrain.policy_hash": before[Pretrain].policy_hash,
            # Without the language level there is none.
            **({"perturber.content_hash": before[Perturber].content_hash} if Perturber in before else {}),
            **({"segments.content_hash": before[Segments].content_hash} if Segments in before else {}),
        }

    def demands(self, config: Config) -> list[Demand]:
        return [Demand(self.name, (generators(config.resources), DATA_TASK))]

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> NegativesOutputs:
        """Make the rows as far as they are lacking.

        Raises:
            ConfigError: if the named cache has nothing for this run, with what differs.
        """
        folder, named = cache_folder(context, inputs.key), context.config.negatives.cache
        if not exists(join(folder, MANIFEST)):
            if named is not None:
                raise ConfigError(why_stale(named, inputs.to_json()))
            store = training_clips(context)
            blocks = alignment_schedule(context.config, store).blocks()
            parts = generate(context, folder, store, blocks, generator_arguments(context, before))
            write_json(join(folder, MANIFEST), {"decided": inputs.to_json(), "parts": parts})
        return NegativesOutputs(key=inputs.key)


def cache_folder(context: RunContext, key: str) -> str:
    """Where the cached negatives of a key are, or are to be."""
    named = context.config.negatives.cache
    return join(context.path(Negatives.name) if named is None else absolute(named), key)


def open_cache(context: RunContext, before: Results, store: ClipStore) -> CachedNegatives:
    """The cached negatives of a run whose stage `negatives` is done."""
    folder = cache_folder(context, before[Negatives].key)
    context.say(f"negatives are read from {folder}")
    return CachedNegatives.load(folder, store, context.config.dpo.epochs)


def generator_arguments(context: RunContext, before: Results) -> GeneratorArguments:
    return GeneratorArguments(
        config=context.config,
        reference=context.baseline,
        reference_hash=before[Pretrain].policy_hash,
        perturber=context.perturber,
        clips=context.clips,
        segments=context.segments,
    )


def generate(
    context: RunContext, folder: str, store: ClipStore, blocks: Sequence[Block], arguments: GeneratorArguments
) -> list[str]:
    """Write the parts that are not there yet; returns the names of all, in order."""
    names = [part_name(block.epochs, block.steps, [store.ids[row] for row in block.rows]) for block in blocks]
    there = set(list_folder(folder))
    missing = [block for block, name in zip(blocks, names, strict=True) if name not in there]
    if missing:
        if len(missing) < len(blocks):
            context.say(f"goes on after {len(blocks) - len(missing)} of {len(blocks)} parts")
        watchdog, done = Watchdog(context.console, context.config.resources), 0
        stream, total = store.stream(missing), sum(len(block.rows) for block in missing)
        given, name = (folder, context.name, arguments), f"{context.name}-negatives"
        made = on_actors(stream, CacheNegatives, given, context.config, watchdog.attempts, name=name)
        with StageProgress(context.console, "negatives", total=total, unit="clips", watchdog=watchdog) as progress:
            for batch in made.iter_batches(batch_size=None):
                done += int(np.sum(batch["rows"]))
                progress.update(done)
    lacking = set(names) - set(list_folder(folder))
    if lacking:
        raise IncompleteCacheError(f"{len(lacking)} parts were not written to {folder}, such as {min(lacking)}")
    return names
