"""The stage `translation`: what the systems of a run say to the clips of dev and test, and what they tell apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, generators
from signdpo.config import Config
from signdpo.config.evaluation import TUNE
from signdpo.corpora.synthetic.lexicon import neighbouring_words
from signdpo.data.actor_pool import on_actors
from signdpo.data.clips import read_clips
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.evaluation.foils import Foils, foils_of
from signdpo.evaluation.judgement import SplitTranslations
from signdpo.evaluation.minimal_pairs import pair_lines
from signdpo.evaluation.systems import (
    candidate_penalties,
    choose_penalty,
    column_of,
    policies_of,
    protocol_of,
    systems_of,
)
from signdpo.evaluation.training_sentences import TrainingSentences
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.pipeline.actors import Translate
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.align import Align
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.control import Control
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.run_context import RunContext
from signdpo.storage.files import read_text, write_text

REFERENCES: Final = "references"
PAIRS: Final = "pairs.jsonl"
PROTOCOL: Final = ("evaluation.tokenize", "evaluation.protocol", "corpus.language")  # how sentences are scored

Rows = dict[str, dict[str, Any]]  # clip id -> what the actors made of it


class LostRowsError(RuntimeError):
    """Fewer, or other, translations than clips."""


class TranslationOutputs(StageOutputs):
    """The sentences and minimal pairs.

    Args:
        content_hash: hash of all of them.
        length_penalties: system -> exponent that its beams were ranked with.
    """

    content_hash: str
    length_penalties: dict[str, float]


class Translation(Stage[TranslationOutputs]):
    """Writes `translation/<split>.<system>.txt` and `.references.txt`, a sentence a line, in the order of the clips.

    And `translation/<split>.pairs.jsonl`, see `signdpo.evaluation.minimal_pairs`.
    """

    name = "translation"
    outputs = TranslationOutputs
    builds_on = (Clips, Pretrain, Control, Align)

    def purpose(self, config: Config) -> str:
        tuned = ", length tuned on dev" if config.evaluation.length_penalty == TUNE else ""
        return f"beam search on {' and '.join(config.evaluation.splits)}: {', '.join(systems_of(config))}{tuned}"

    def reads(self, config: Config) -> Sequence[str]:
        settings = ("splits", "num_beams", "max_new_tokens", "length_penalty", "no_repeat_ngram_size")
        tuned = PROTOCOL if config.evaluation.length_penalty == TUNE else ()
        return (
            "corpus.kind",
            "corpus.max_frames",
            "policy.max_text_tokens",
            *(f"evaluation.{name}" for name in settings),
            *tuned,
        )

    def results(self, before: Results) -> dict[str, Any]:
        control = {"control.policy_hash": before[Control].policy_hash} if Control in before else {}
        return {
            "clips.content_hash": before[Clips].content_hash,
            "pretrain.policy_hash": before[Pretrain].policy_hash,
            **control,
            "align.policy_hash": before[Align].policy_hash,
        }

    def demands(self, config: Config) -> list[Demand]:
        return [Demand(self.name, (generators(config.resources), DATA_TASK))]

    def policies(self, context: RunContext) -> dict[str, str]:
        """System -> folder of its policy."""
        return policies_of(context)

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> TranslationOutputs:
        config, policies, splits = context.config, self.policies(context), context.config.evaluation.splits
        clips = {split: read_clips(context.clips, split, columns=["id", "text"]).to_pylist() for split in splits}
        training = TrainingSentences.of(read_clips(context.clips, "train", columns=["text"]).column("text").to_pylist())
        signs = neighbouring_words() if config.corpus.kind == "synthetic" else []
        foils: Foils = {}
        for of_split in clips.values():
            foils |= foils_of({row["id"]: row["text"] for row in of_split}, training, signs)
        # What is chosen is chosen on dev, before anything is said to test.
        at_once = ("dev",) if config.evaluation.length_penalty == TUNE else splits
        rows = translate(context, at_once, policies, dict.fromkeys(policies, candidate_penalties(config)), foils)
        chosen = {name: _chosen(context, name, [rows[row["id"]] for row in clips["dev"]]) for name in policies}
        if later := [split for split in splits if split not in at_once]:
            rows |= translate(context, later, policies, {name: [penalty] for name, penalty in chosen.items()}, foils)
        columns = {REFERENCES: "text", **{name: column_of(name, penalty) for name, penalty in chosen.items()}}
        files = {}
        for split in splits:
            of_split = [rows[row["id"]] for row in clips[split]]
            for name, column in columns.items():
                files[f"{split}.{name}.txt"] = "".join(f"{' '.join(str(row[column]).split())}\n" for row in of_split)
            files[f"{split}.{PAIRS}"] = pair_lines(of_split, list(policies))
        for name, content in files.items():
            write_text(context.path(self.name, name), content)
        digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode())
        return TranslationOutputs(content_hash=digest.hexdigest()[:16], length_penalties=chosen)


def translate(
    context: RunContext,
    splits: Sequence[str],
    policies: Mapping[str, str],
    penalties: Mapping[str, Sequence[float]],
    foils: Foils,
) -> Rows:
    """The rows of `signdpo.evaluation.translation.Translator` for all clips of some splits, by clip id.

    Raises:
        LostRowsError: unless there is exactly one translation of every clip.
    """
    config = context.config
    store = ClipStore.load(context.clips, *splits, max_frames=config.corpus.max_frames)
    size = config.evaluation.batch_size
    schedule = Schedule(store.num_frames, epochs=1, batch_size=size, workers=1, seed=config.seed, shuffle=False)
    watchdog = Watchdog(context.console, config.resources)
    stream, name = store.stream(schedule.blocks()), f"{context.name}-translation"
    arguments = (config, policies, penalties, foils, context.clips)
    translated = on_actors(stream, Translate, arguments, config, watchdog.attempts, name=name)
    rows: Rows = {}
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


def read_split(context: RunContext, split: str, systems: Sequence[str] | None = None) -> SplitTranslations:
    """All that the stage left of a split: of the systems of the run, unless others are named."""
    systems = systems_of(context.config) if systems is None else systems
    return SplitTranslations(
        ids=read_clips(context.clips, split, columns=["id"]).column("id").to_pylist(),
        references=read_sentences(context, split, REFERENCES),
        hypotheses={system: read_sentences(context, split, system) for system in systems},
        pairs=read_text(context.path(Translation.name, f"{split}.{PAIRS}")),
    )


def _chosen(context: RunContext, system: str, dev: Sequence[Mapping[str, Any]]) -> float:
    """The length penalty that a system is to be judged with, from its translations of dev with all candidates."""
    candidates = candidate_penalties(context.config)
    if len(candidates) == 1:
        return candidates[0]
    hypotheses = {penalty: [row[column_of(system, penalty)] for row in dev] for penalty in candidates}
    chosen, found = choose_penalty(hypotheses, [row["text"] for row in dev], **protocol_of(context.config))
    scores = ", ".join(f"{penalty:g}: {bleu4:.2f}" for penalty, bleu4 in found.items())
    context.say(f"{system}: length penalty {chosen:g} (BLEU-4 on dev with {scores})")
    return chosen
