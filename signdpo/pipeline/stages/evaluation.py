"""The stage `evaluation`: the systems of a run beside each other, on dev and test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signdpo.config import Config
from signdpo.data.clips import read_clips
from signdpo.evaluation.judgement import Judgement
from signdpo.evaluation.systems import comparisons_of, protocol_of, systems_of
from signdpo.evaluation.training_sentences import TrainingSentences
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.translation import PROTOCOL, Translation, read_split
from signdpo.run_context import RunContext
from signdpo.storage.files import write_json


class EvaluationOutputs(StageOutputs):
    """The scores.

    Args:
        splits: split -> what was found on it.
    """

    splits: dict[str, Judgement]


class Evaluation(Stage[EvaluationOutputs]):
    """Scores the sentences, and writes `evaluation/<system>.json` and `comparison.json`."""

    name = "evaluation"
    outputs = EvaluationOutputs
    builds_on = (Clips, Translation)

    def purpose(self, config: Config) -> str:
        first, second = comparisons_of(systems_of(config))[0]
        return f"{first} beside {second} on {' and '.join(config.evaluation.splits)}"

    def reads(self, config: Config) -> Sequence[str]:
        return "seed", "evaluation.splits", "evaluation.bootstrap_samples", *PROTOCOL

    def results(self, before: Results) -> dict[str, Any]:
        return {
            "clips.content_hash": before[Clips].content_hash,
            "translation.content_hash": before[Translation].content_hash,
        }

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> EvaluationOutputs:
        config = context.config
        how = protocol_of(config) | {"samples": config.evaluation.bootstrap_samples, "seed": config.seed}
        training = TrainingSentences.of(read_clips(context.clips, "train", columns=["text"]).column("text").to_pylist())
        found: dict[str, Judgement] = {}
        for split in config.evaluation.splits:
            found[split] = Judgement.of(read_split(context, split), training, **how)
        for system in systems_of(config):
            scores = {split: judged.by_system()[system] for split, judged in found.items()}
            write_json(context.path(self.name, f"{system}.json"), scores)
        outputs = EvaluationOutputs(splits=found)
        written = outputs.model_dump(mode="json")["splits"]
        comparison = {split: judged["comparison"] for split, judged in written.items()}
        write_json(context.path(self.name, "comparison.json"), comparison)
        return outputs
