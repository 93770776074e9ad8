"""The stage `evaluation`: the aligned policy beside its MLE baseline, on dev and test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signdpo.config import Config
from signdpo.evaluation.metrics import Scores, score
from signdpo.evaluation.significance import PairedBootstrap, paired_bootstrap
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.translation import REFERENCES, SPLITS, SYSTEMS, Translation, read_sentences
from signdpo.run_context import RunContext
from signdpo.storage.files import write_json


class EvaluationOutputs(StageOutputs):
    """The scores.

    Args:
        results: system -> split -> its scores.
        comparison: split -> aligned against baseline.
    """

    results: dict[str, dict[str, Scores]]
    comparison: dict[str, PairedBootstrap]


class Evaluation(Stage[EvaluationOutputs]):
    """Scores the sentences, and writes `evaluation/<system>.json` and `comparison.json`."""

    name = "evaluation"
    outputs = EvaluationOutputs
    builds_on = (Translation,)

    def purpose(self, config: Config) -> str:
        return "aligned beside baseline on dev and test"

    def reads(self, config: Config) -> Sequence[str]:
        keys = ("evaluation.tokenize", "evaluation.protocol", "evaluation.bootstrap_samples")
        return "seed", "corpus.language", *keys

    def results(self, before: Results) -> dict[str, Any]:
        return {"translation.content_hash": before[Translation].content_hash}

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> EvaluationOutputs:
        config = context.config
        protocol: dict[str, Any] = {
            "language": config.corpus.language,
            "tokenize": config.evaluation.tokenize,
            "protocol": config.evaluation.protocol,
        }
        results: dict[str, dict[str, Scores]] = {name: {} for name in SYSTEMS}
        comparison = {}
        for split in SPLITS:
            references = read_sentences(context, split, REFERENCES)
            hypotheses = {name: read_sentences(context, split, name) for name in SYSTEMS}
            for name, sentences in hypotheses.items():
                results[name][split] = score(sentences, references, **protocol)
            comparison[split] = paired_bootstrap(
                hypotheses["baseline"],
                hypotheses["aligned"],
                references,
                samples=config.evaluation.bootstrap_samples,
                seed=config.seed,
                **protocol,
            )["bleu4"]
        outputs = EvaluationOutputs(results=results, comparison=comparison)
        written = outputs.model_dump(mode="json")
        for name in SYSTEMS:
            write_json(context.path(self.name, f"{name}.json"), written["results"][name])
        write_json(context.path(self.name, "comparison.json"), written["comparison"])
        return outputs
