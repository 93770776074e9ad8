"""The report of a run: one self-contained HTML file, readable offline, in a light or a dark browser and on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from signdpo.report.curves import Row, alignment_figure, pretraining_figure, series
from signdpo.report.differences import mark_differences
from signdpo.report.examples import negatives_section
from signdpo.report.negatives import NegativeExample
from signdpo.report.page import facts_list, figure, page, section, signed
from signdpo.report.svg import to_svg

METRICS: Final = (
    ("BLEU-1", "bleu1"),
    ("BLEU-2", "bleu2"),
    ("BLEU-3", "bleu3"),
    ("BLEU-4", "bleu4"),
    ("chrF", "chrf"),
    ("ROUGE-L", "rouge_l"),
)


@dataclass(frozen=True)
class Comparison:
    """Scores of the baseline and of the aligned policy on one split.

    Attributes:
        split: its name, `dev` or `test`.
        sentences: how many were translated.
        baseline, aligned: `Scores.to_dict()` of each; `aligned` is None before the alignment.
        significance: `PairedBootstrap.to_dict()` of BLEU-4, where it was computed.
    """

    split: str
    sentences: int
    baseline: Mapping[str, Any]
    aligned: Mapping[str, Any] | None = None
    significance: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TranslationExample:
    """One clip's reference and what the baseline and the aligned policy said."""

    id: str
    reference: str
    baseline: str
    aligned: str


@dataclass(frozen=True)
class ReportData:
    """All that a report shows; what is empty is left out of the page.

    Attributes:
        title: of the page.
        facts: short facts of the run in reading order, for example `{"clips": "3000 train, 200 dev"}`.
        config: the resolved configuration as YAML, folded away.
        quarantine: number of refused clips by reason.
        comparisons: one a split.
        pretraining, alignment: logged rows, see `signdpo.report.curves`.
        negatives: clips to draw.
        negative_statistics: what became of the negatives of each level, see `signdpo.negatives.statistics`.
        translations: examples of the development or test split.
        warnings: sentences that the reader should see first.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    quarantine: Mapping[str, int] = field(default_factory=dict)
    comparisons: Sequence[Comparison] = ()
    pretraining: Sequence[Row] = ()
    alignment: Sequence[Row] = ()
    negatives: Sequence[NegativeExample] = ()
    negative_statistics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    translations: Sequence[TranslationExample] = ()
    warnings: Sequence[str] = ()


def render(data: ReportData) -> str:
    """The page as one string of HTML, without a script and without anything to fetch."""
    sections = [
        _facts(data),
        _scores(data.comparisons),
        _pretraining(data.pretraining),
        _alignment(data.alignment),
        negatives_section(data.negatives, data.negative_statistics),
        _translations(data.translations),
        _config(data.config),
    ]
    return page(data.title, sections, data.warnings)


def _facts(data: ReportData) -> str:
    body = facts_list(dict(data.facts))
    if data.quarantine:
        total = sum(data.quarantine.values())
        ordered = sorted(data.quarantine.items(), key=lambda item: (-item[1], item[0]))
        reasons = "".join(f'<li><span class="count">{count}</span> {escape(reason)}</li>' for reason, count in ordered)
        clips = "clip was" if total == 1 else "clips were"
        body += f'<h3>{total} {clips} refused</h3><ul class="reasons">{reasons}</ul>'
    return f"<section>{body}</section>" if body else ""


def _scores(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    heads = "".join(f"<th>{name}</th>" for name, _ in METRICS)
    bodies = "".join(_comparison_rows(comparison) for comparison in comparisons)
    signatures = dict.fromkeys(comparison.baseline["signature"] for comparison in comparisons)
    notes = "".join(f"<code>{escape(signature)}</code> " for signature in signatures)
    return section(
        "Translation quality",
        f'<div class="scroll"><table class="scores"><thead><tr><th></th><th></th>{heads}</tr></thead>{bodies}</table>'
        f'</div><p class="note">sacreBLEU {notes}</p>',
    )


def _comparison_rows(comparison: Comparison) -> str:
    systems = [("baseline (MLE)", comparison.baseline)]
    if comparison.aligned is not None:
        systems.append(("aligned", comparison.aligned))
    rows = [
        f"<th>{name}</th>" + "".join(f"<td>{scores[key]:.2f}</td>" for _, key in METRICS) for name, scores in systems
    ]
    if comparison.aligned is not None:
        deltas = [comparison.aligned[key] - comparison.baseline[key] for _, key in METRICS]
        rows.append("<th>difference</th>" + "".join(_delta_cell(delta) for delta in deltas))
    if comparison.significance is not None:
        rows.append(f'<td colspan="{len(METRICS) + 1}" class="significance">{_verdict(comparison.significance)}</td>')
    split = f"{escape(comparison.split)}<small>{comparison.sentences} sentences</small>"
    rows[0] = f'<th rowspan="{len(rows)}" class="split">{split}</th>{rows[0]}'
    return "<tbody>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</tbody>"


def _delta_cell(delta: float) -> str:
    kind = "same" if float(f"{delta:.2f}") == 0 else "better" if delta > 0 else "worse"
    return f'<td class="{kind}">{signed(delta)}</td>'


def _verdict(test: Mapping[str, Any]) -> str:
    p_value = f"{test['p_value']:.3f}" if test["p_value"] >= 0.001 else "below 0.001"
    interval = f"{signed(test['confidence_low'])} to {signed(test['confidence_high'])}"
    meaning = "significant" if test["p_value"] < 0.05 else "not significant"
    return (
        f"BLEU-4: p = {p_value}, {meaning} at 0.05; 95 % interval of the difference {interval} "
        f"(paired bootstrap, {test['samples']} samples)"
    )


def _pretraining(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    svg = to_svg(pretraining_figure(rows), "Curves of the pre-training: loss, development BLEU-4 and NLL")
    return section("Pre-training by maximum likelihood", figure(svg))


def _alignment(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    svg = to_svg(alignment_figure(rows), "Curves of the alignment: loss, margins, accuracies, log-probability, waiting")
    return section("Preference optimisation", figure(svg, _chosen_note(rows)))


def _chosen_note(rows: Sequence[Row]) -> str:
    """What preference training did to the text that it should prefer: it may lower the likelihood of both."""
    _, values = series(rows, "logps/chosen")
    if len(values) < 2:
        return ""
    last = values[-max(1, len(values) // 10) :].mean()
    change = "rose" if last > values[0] else "fell"
    return (
        f"The log-probability of the chosen text {change} from {signed(values[0])} at step zero to {signed(last)} "
        "nats (mean of the last tenth of the steps)."
    )


def _translations(examples: Sequence[TranslationExample]) -> str:
    if not examples:
        return ""
    rows = "".join(
        f'<dl class="pair"><dt>reference</dt><dd>{escape(example.reference)}</dd>'
        f"<dt>baseline</dt><dd>{mark_differences(example.baseline, example.reference)}</dd>"
        f"<dt>aligned</dt><dd>{mark_differences(example.aligned, example.reference)}</dd>"
        f"<dt>clip</dt><dd><code>{escape(example.id)}</code></dd></dl>"
        for example in examples
    )
    note = "Marked: words that the reference does not have there; a thin mark stands where words are missing."
    return section("Translations", f'<p class="note">{note}</p>{rows}')


def _config(config: str) -> str:
    if not config:
        return ""
    return f"<details><summary>Configuration</summary><pre>{escape(config)}</pre></details>"
