"""The stage `report`: one HTML page with curves, negatives and translations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from signdpo.data.clips import read_clips, read_quarantine
from signdpo.monitoring.drift import REMEDY, REPORTS
from signdpo.monitoring.progress import read_metrics
from signdpo.pipeline.negative_examples import picture
from signdpo.pipeline.stage import Outputs, RunContext
from signdpo.pipeline.stages.evaluation import SPLITS, SYSTEMS
from signdpo.report.html import Comparison, ReportData, TranslationExample, render
from signdpo.storage.files import read_text, write_text

PICTURED_CLIPS = 3
LISTED_TRANSLATIONS = 12


def report(context: RunContext, before: dict[str, Outputs], key: str) -> Outputs:
    """Write `report.html`; the outputs carry a few example translations for the terminal."""
    translations = examples(context, before, LISTED_TRANSLATIONS)
    alignment = read_metrics(context.path("align", "metrics.jsonl"))
    warning = likelihood_warning(alignment)
    data = ReportData(
        title="SignDPO run",
        facts=_facts(context, before),
        config=context.config.to_yaml(),
        quarantine=Counter(record.reason for record in read_quarantine(context.path("clips"))),
        comparisons=_comparisons(before),
        pretraining=read_metrics(context.path("pretrain", "metrics.jsonl")),
        alignment=alignment,
        negatives=picture(context, before["pretrain"]["policy_hash"], count=PICTURED_CLIPS),
        negative_statistics=before["align"]["negatives"],
        translations=translations,
        warnings=[warning] if warning else [],
    )
    write_text(context.path("report.html"), render(data))
    shown = [{"reference": t.reference, "baseline": t.baseline, "aligned": t.aligned} for t in translations[:3]]
    return {"examples": shown, "warning": warning}


def likelihood_warning(rows: Sequence[dict[str, Any]]) -> str:
    """A warning if the chosen sentences became less likely than under the reference, else ""."""
    drifts = [row["logps/chosen_drift"] for row in rows[-REPORTS:]]
    drift = float(np.mean(drifts)) if drifts else 0.0
    if drift >= 0:
        return ""
    return (
        f"The log-probability of the chosen sentences fell {-drift:.2f} nats below the reference's: the "
        f"preferences are winning over the translator. {REMEDY}"
    )


def examples(context: RunContext, before: dict[str, Outputs], count: int) -> list[TranslationExample]:
    """Dev sentences on which baseline and aligned differ, then others, evenly spaced from short clips to long ones."""
    ids = read_clips(context.path("clips"), "dev", columns=["id"])["id"].to_pylist()
    columns = [
        read_text(context.path("evaluation", f"dev.{name}.txt")).split("\n")[: len(ids)]
        for name in ("references", *SYSTEMS)
    ]
    rows = [TranslationExample(*row) for row in zip(ids, *columns, strict=True)]
    differing = [row for row in rows if row.baseline != row.aligned]
    pool = differing if len(differing) >= count else sorted(rows, key=lambda row: row.baseline == row.aligned)[:count]
    return [pool[place] for place in np.linspace(0, len(pool) - 1, min(count, len(pool))).astype(int)]


def _facts(context: RunContext, before: dict[str, Outputs]) -> dict[str, str]:
    config, clips = context.config, before["clips"]
    return {
        "corpus": config.corpus.kind,
        "clips": ", ".join(f"{count} {split}" for split, count in clips["clips"].items()),
        "refused": str(clips["quarantined"]),
        "reference policy": before["pretrain"]["policy_hash"],
        "aligned policy": before["align"]["policy_hash"],
        "aligned at step": str(before["align"]["step"]),
        "perturber pairs": str(before["perturber"]["pairs"]),
        "seed": str(config.seed),
    }


def _comparisons(before: dict[str, Outputs]) -> list[Comparison]:
    evaluation = before["evaluation"]
    return [
        Comparison(
            split=split,
            sentences=before["clips"]["clips"][split],
            baseline=evaluation["results"]["baseline"][split],
            aligned=evaluation["results"]["aligned"][split],
            significance=evaluation["comparison"][split],
        )
        for split in SPLITS
    ]
