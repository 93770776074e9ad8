"""The stage `translation`: what baseline and aligned policy say to the clips of dev and test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, generators
from signdpo.config import Config
from signdpo.data.actor_pool import on_actors
from signdpo.data.clips import read_clips
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.pipeline.actors import Translate
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.align import Align
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.run_context import RunContext
from signdpo.storage.files import read_text, write_text

SPLITS: Final = ("dev", "test")
SYSTEMS: Final = ("baseline", "aligned")
REFERENCES: Final = "references"


class LostRowsError(RuntimeError):
    """Fewer, or other, translations than clips."""


class TranslationOutputs(StageOutputs):
    """The sentences.

    Args:
        content_hash: hash of all of them.
    """

    content_hash: str


class Translation(Stage[TranslationOutputs]):
    """Writes `translation/<split>.<system>.txt` and `.references.txt`, a sentence a line, in the order of the clips."""

    name = "translation"
    outputs = TranslationOutputs
    builds_on = (Clips, Pretrain, Align)

    def purpose(self, config: Config) -> str:
        return "beam search on dev and test, with both policies"

    def reads(self, config: Config) -> Sequence[str]:
        return "corpus.max_frames", "evaluation.num_beams", "evaluation.max_new_tokens"

    def results(self, before: Results) -> dict[str, Any]:
        return {
            "clips.content_hash": before[Clips].content_hash,
            "pretrain.policy_hash": before[Pretrain].policy_hash,
            "align.policy_hash": before[Align].policy_hash,
        }

    def demands(self, config: Config) -> list[Demand]:
        return [Demand(self.name, (generators(config.resources), DATA_TASK))]

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> TranslationOutputs:
        policies = {"baseline": context.baseline, "aligned": context.aligned}
        rows = translate(context, policies)
        texts = {}
        for split in SPLITS:
            ids = read_clips(context.clips, split, columns=["id"]).column("id").to_pylist()
            for name, column in ((REFERENCES, "text"), *((system, system) for system in policies)):
                texts[f"{split}.{name}"] = "".join(f"{' '.join(str(rows[clip][column]).split())}\n" for clip in ids)
        for name, text in texts.items():
            write_text(context.path(self.name, f"{name}.txt"), text)
        digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
        return TranslationOutputs(content_hash=digest.hexdigest()[:16])


def translate(context: RunContext, policies: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Clip id -> its `id`, `text` and a sentence for each policy.

    Raises:
        LostRowsError: unless there is exactly one translation of every clip.
    """
    config = context.config
    store = ClipStore.load(context.clips, *SPLITS, max_frames=config.corpus.max_frames)
    size = config.evaluation.batch_size
    schedule = Schedule(store.num_frames, epochs=1, batch_size=size, workers=1, seed=config.seed, shuffle=False)
    watchdog = Watchdog(context.console, config.resources)
    stream, name = store.stream(schedule.blocks()), f"{context.name}-translation"
    translated = on_actors(stream, Translate, (config, policies), config, watchdog.attempts, name=name)
    rows: dict[str, dict[str, Any]] = {}
    with StageProgress(
        context.console, Translation.name, total=len(store), unit="clips", watchdog=watchdog
    ) as progress:
        for batch in translated.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in batch.to_pylist():
                if row["id"] in rows:
                    raise LostRowsError(f"clip {row['id']} was translated twice")
                rows[row["id"]] = row
            progress.update(len(rows))
    if len(rows) != len(store):
        raise LostRowsError(f"{len(rows)} clips were translated, there are {len(store)}")
    return rows


def read_sentences(context: RunContext, split: str, name: str) -> list[str]:
    """The sentences of a system, or the references, in the order of the clips."""
    return read_text(context.path(Translation.name, f"{split}.{name}.txt")).removesuffix("\n").split("\n")
