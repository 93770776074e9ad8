"""The stage `report`: one HTML page with curves, negatives and translations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signdpo.config import Config
from signdpo.config.evaluation import TUNE
from signdpo.data.clips import read_quarantine
from signdpo.monitoring.drift import LOWEST_DRIFT, REMEDY, REPORTS
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.align import Align, AlignOutputs
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.control import Control, ControlOutputs
from signdpo.pipeline.stages.evaluation import Evaluation
from signdpo.pipeline.stages.perturber import Perturber
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.pipeline.stages.translation import Translation, read_split
from signdpo.report.scores import SPLITS
from signdpo.run_context import RunContext
from signdpo.storage.files import CARD, write_text
from signdpo.training.step_metrics import read_metrics

if TYPE_CHECKING:  # brings matplotlib
    from signdpo.report.html import SplitScores, TranslationExample

PICTURED_CLIPS = 3
LISTED_TRANSLATIONS = 12
TOLD_TRANSLATIONS = 3


class ReportOutputs(StageOutputs):
    """What the terminal shows of the page.

    Args:
        examples: a few translations, each a sentence by `reference` and system.
        warning: what a person should know of the alignment; "" if nothing.
    """

    examples: list[dict[str, str]]
    warning: str


class Report(Stage[ReportOutputs]):
    """Writes `report.html`, and the card of the aligned policy."""

    name = "report"
    outputs = ReportOutputs
    builds_on = (Clips, Pretrain, Control, Perturber, Align, Translation, Evaluation)

    def purpose(self, config: Config) -> str:
        return "report.html"

    def reads(self, config: Config) -> Sequence[str]:
        return ()

    def results(self, before: Results) -> dict[str, Any]:
        return {stage.name: before.of(stage).model_dump(mode="json") for stage in self.builds_on if stage in before}

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> ReportOutputs:
        from signdpo.pipeline.negative_examples import negative_examples
        from signdpo.report.html import ReportData, render
        from signdpo.report.model_card import model_card

        translations = examples(context, LISTED_TRANSLATIONS)
        alignment = read_metrics(context.path(Align.name, "metrics.jsonl"))
        warning = likelihood_warning(alignment, dropout=context.config.dpo.dropout)
        data = ReportData(
            title="SignDPO run",
            facts=_facts(context, before),
            config=context.config.to_yaml(),
            quarantine=Counter(record.reason for record in read_quarantine(context.clips)),
            splits=_splits(before),
            pretraining=read_metrics(context.path(Pretrain.name, "metrics.jsonl")),
            control=read_metrics(context.path(Control.name, "metrics.jsonl")) if Control in before else [],
            alignment=alignment,
            negatives=negative_examples(context, before[Pretrain].policy_hash, count=PICTURED_CLIPS),
            negative_statistics={
                level: row.model_dump(exclude_none=True) for level, row in before[Align].negatives.items()
            },
            translations=translations,
            warnings=[warning] if warning else [],
        )
        write_text(context.path("report.html"), render(data))
        card = model_card(data, language=context.config.corpus.language)
        write_text(context.path(Align.name, "policy", CARD), card)
        told = [{"reference": each.reference, **each.hypotheses} for each in translations[:TOLD_TRANSLATIONS]]
        return ReportOutputs(examples=told, warning=warning)


def likelihood_warning(rows: Sequence[Mapping[str, Any]], *, dropout: bool = False) -> str:
    """A warning if the chosen sentences became far less likely than under the reference, else "".

    With dropout in training, which lowers what the policy scores from the start, than they were in the first steps.
    """
    drifts = [row["logps/chosen_drift"] for row in rows if "logps/chosen_drift" in row]
    drift = float(np.mean(drifts[-REPORTS:])) if drifts else 0.0
    drift -= float(np.mean(drifts[:REPORTS])) if drifts and dropout else 0.0
    if drift >= LOWEST_DRIFT:
        return ""
    return (
        f"The log-probability of the chosen sentences fell {-drift:.2f} nats below the reference's: the "
        f"preferences are winning over the translator. {REMEDY}"
    )


def examples(context: RunContext, count: int) -> list[TranslationExample]:
    """Dev sentences on which the systems differ, then others, evenly spaced from short clips to long ones."""
    from signdpo.report.html import TranslationExample

    dev = read_split(context, "dev")
    rows = [
        TranslationExample(clip, reference, dict(zip(dev.hypotheses, sentences, strict=True)))
        for clip, reference, *sentences in zip(dev.ids, dev.references, *dev.hypotheses.values(), strict=True)
    ]
    differing = [row for row in rows if len(set(row.hypotheses.values())) > 1]
    agreeing = [row for row in rows if row not in differing]
    pool = differing if len(differing) >= count else [*differing, *agreeing][:count]
    return [pool[place] for place in np.linspace(0, len(pool) - 1, min(count, len(pool))).astype(int)]


def _facts(context: RunContext, before: Results) -> dict[str, str]:
    clips, penalties = before[Clips], before[Translation].length_penalties
    tuned = ", tuned on dev" if context.config.evaluation.length_penalty == TUNE else ""
    return {
        "corpus": context.config.corpus.kind,
        "clips": ", ".join(f"{count} {split}" for split, count in clips.clips.items()),
        "refused": str(clips.quarantined),
        "reference policy": before[Pretrain].policy_hash,
        **({"control policy": _policy(before[Control])} if Control in before else {}),
        "aligned policy": _policy(before[Align]),
        **({"perturber pairs": str(before[Perturber].pairs)} if Perturber in before else {}),
        "seed": str(context.config.seed),
        "length penalty": ", ".join(f"{system} {value:g}" for system, value in penalties.items()) + tuned,
    }


def _policy(trained: ControlOutputs | AlignOutputs) -> str:
    """A policy's hash and the step it is of; step 0 is the baseline, where dev found nothing better."""
    return f"{trained.policy_hash}, " + (f"step {trained.step}" if trained.step else "the baseline, kept")


def _splits(before: Results) -> list[SplitScores]:
    from signdpo.report.html import SplitScores

    found = before[Evaluation].splits
    return [
        SplitScores(
            split=split,
            sentences=before[Clips].clips[split],
            systems=found[split].by_system(),
            differences={
                name: {key: test.to_dict() for key, test in tests.items()}
                for name, tests in found[split].comparison.items()
            },
        )
        for split in SPLITS
        if split in found
    ]
