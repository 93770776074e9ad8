"""The stage `evaluation`: the systems of a run beside each other, on dev and test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signdpo.config import Config
from signdpo.data.clips import read_clips
from signdpo.evaluation.metrics import Scores, score
from signdpo.evaluation.minimal_pairs import measure_pairs
from signdpo.evaluation.significance import (
    Estimate,
    Measurement,
    PairedBootstrap,
    compare,
    estimate,
    measure_translations,
)
from signdpo.evaluation.systems import comparisons_of, name_of, protocol_of, systems_of
from signdpo.evaluation.training_sentences import TrainingSentences
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.translation import (
    PROTOCOL,
    REFERENCES,
    Translation,
    read_pairs,
    read_sentences,
)
from signdpo.run_context import RunContext
from signdpo.storage.files import write_json


class EvaluationOutputs(StageOutputs):
    """The scores.

    Args:
        results: system -> split -> its scores.
        estimates: system -> split -> score that was resampled -> it and its interval.
        comparison: split -> the two systems, the headline first -> score that was resampled -> their difference.
    """

    results: dict[str, dict[str, Scores]]
    estimates: dict[str, dict[str, dict[str, Estimate]]]
    comparison: dict[str, dict[str, dict[str, PairedBootstrap]]]

    def scored(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Split -> system -> all its scores by name, and the `intervals` of those that were resampled."""
        found: dict[str, dict[str, dict[str, Any]]] = {split: {} for split in self.comparison}
        for system, splits in self.estimates.items():
            for split, estimates in splits.items():
                values = {name: each.value for name, each in estimates.items()}
                intervals = {name: [each.confidence_low, each.confidence_high] for name, each in estimates.items()}
                found[split][system] = values | self.results[system][split].to_dict() | {"intervals": intervals}
        return found


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
        config, how = context.config, protocol_of(context.config)
        resampling = {"samples": config.evaluation.bootstrap_samples, "seed": config.seed}
        systems = systems_of(config)
        training = TrainingSentences.of(read_clips(context.clips, "train", columns=["text"]).column("text").to_pylist())
        results: dict[str, dict[str, Scores]] = {system: {} for system in systems}
        estimates: dict[str, dict[str, dict[str, Estimate]]] = {system: {} for system in systems}
        comparison: dict[str, dict[str, dict[str, PairedBootstrap]]] = {}
        for split in config.evaluation.splits:
            references = read_sentences(context, split, REFERENCES)
            ids = read_clips(context.clips, split, columns=["id"]).column("id").to_pylist()
            pairs = read_pairs(context, split)
            measured: dict[str, dict[str, Measurement]] = {}
            for system in systems:
                hypotheses = read_sentences(context, split, system)
                results[system][split] = score(hypotheses, references, **how)
                measured[system] = measure_translations(hypotheses, references, **how)
                measured[system] |= training.measure(hypotheses, references) | measure_pairs(pairs, ids, system)
                estimates[system][split] = estimate(measured[system], **resampling)
            comparison[split] = {
                name_of((first, second)): compare([(measured[first], measured[second])], **resampling)
                for first, second in comparisons_of(systems)
            }
        outputs = EvaluationOutputs(results=results, estimates=estimates, comparison=comparison)
        for system in systems:
            write_json(
                context.path(self.name, f"{system}.json"),
                {split: scored[system] for split, scored in outputs.scored().items()},
            )
        write_json(context.path(self.name, "comparison.json"), outputs.model_dump(mode="json")["comparison"])
        return outputs
