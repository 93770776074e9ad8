"""The stage `clips`: the corpus as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signdpo.cluster.placement import Demand, Part
from signdpo.config import Config, ConfigError
from signdpo.corpora.ingest import CPUS_PER_SHARD, commonest_reasons, ingest
from signdpo.corpora.planning import list_entries
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import fingerprint
from signdpo.data.clips import read_quarantine
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.run_context import RunContext


class ClipsOutputs(StageOutputs):
    """What came of the corpus.

    Args:
        content_hash: hash of all stored rows.
        clips: split -> number of clips.
        quarantined: inputs that were refused.
        reasons: the commonest reasons for that, in words.
    """

    content_hash: str
    clips: dict[str, int]
    quarantined: int
    reasons: list[str]


class Clips(Stage[ClipsOutputs]):
    """Ingests the corpus into `clips/`."""

    name = "clips"
    outputs = ClipsOutputs
    shared = True

    def purpose(self, config: Config) -> str:
        return f"{config.corpus.kind} corpus to Parquet shards"

    def reads(self, config: Config) -> Sequence[str]:
        return ("corpus",)

    def files(self, config: Config) -> dict[str, Any]:
        corpus = open_source(config.corpus)
        entries = list_entries(corpus, config.corpus.limit).whole()
        return {"the corpus": fingerprint(corpus, (entry for split in entries.values() for entry in split))}

    def demands(self, config: Config) -> list[Demand]:
        return [Demand(self.name, (Part("reader", {"CPU": CPUS_PER_SHARD}),))]

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> ClipsOutputs:
        corpus, directory = context.config.corpus, context.clips
        watchdog = Watchdog(context.console, context.config.resources)
        with StageProgress(context.console, self.name, total=None, unit="clips", watchdog=watchdog) as progress:
            manifest = ingest(
                open_source(corpus), directory, corpus, progress=lambda done, total: progress.update(done, total=total)
            )
        quarantined = read_quarantine(directory)
        counts = {split: summary.clips for split, summary in manifest.splits.items()}
        context.say(
            f"{', '.join(f'{split} {count}' for split, count in counts.items())}; quarantined {len(quarantined)}"
        )
        for note in manifest.notes_in_words():
            context.say(note)
        if empty := [split for split, count in counts.items() if not count]:
            raise ConfigError(
                f"the corpus has no clip in split {' and '.join(empty)}, and training needs all three: take more "
                "clips, or hold some out of the training split with corpus.hold_out"
            )
        reasons = commonest_reasons(quarantined)
        for reason in reasons:
            context.warn(reason)
        return ClipsOutputs(
            content_hash=manifest.content_hash, clips=counts, quarantined=len(quarantined), reasons=reasons
        )


def training_clips(context: RunContext) -> ClipStore:
    """The train split, in the object store."""
    return ClipStore.load(context.clips, "train", max_frames=context.config.corpus.max_frames)


def alignment_schedule(config: Config, store: ClipStore) -> Schedule:
    """The blocks of an alignment: cached rows are made as it would stream them, so that both agree to the bit."""
    return Schedule(
        store.num_frames,
        epochs=config.dpo.epochs,
        batch_size=config.dpo.batch_size,
        workers=config.resources.workers,
        seed=config.alignment_seed,
    )
