"""Negatives on a page: the picture of a clip with its negatives, the two sentences, the margins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

import numpy as np

from signdpo.levels import LEVELS
from signdpo.report.differences import mark_differences
from signdpo.report.negatives import NO_SENTENCE, NegativeExample, negative_figure
from signdpo.report.page import facts_list, figure, page, section, signed
from signdpo.report.svg import LEVEL_COLOURS, to_svg
from signdpo.skeleton.layout import PARTS


def gallery(
    title: str, examples: Sequence[NegativeExample], facts: Mapping[str, str], animations: Mapping[str, str]
) -> str:
    """A page of its own for negatives, as one string of HTML.

    Args:
        title: of the page.
        examples: what it shows.
        facts: put above them.
        animations: id of a clip -> file beside the page that moves; for any of the clips.
    """
    articles = "".join(_negative(example, animations.get(example.id, "")) for example in examples)
    return page(title, [facts_list(dict(facts)), f'<p class="note">{_NEGATIVES_NOTE}</p>{articles}'])


def negatives_section(examples: Sequence[NegativeExample], statistics: Mapping[str, Mapping[str, float]]) -> str:
    """The negatives of a run as a section of its report: what became of them, and examples; empty without either.

    Args:
        examples: clips to draw.
        statistics: of `signdpo.negatives.statistics.run_statistics`.
    """
    body = _table(statistics) if statistics else ""
    if examples:
        body += f'<p class="note">{_NEGATIVES_NOTE}</p>' + "".join(_negative(example) for example in examples)
    return section("Negatives", body) if body else ""


_COLUMNS: Final = (  # what is shown of a level, and how
    ("accepted", "accepted", "{:.1%}"),
    ("redrawn", "redrawn", "{:.1%}"),
    ("masked", "masked", "{:.1%}"),
    ("margin", "mean margin, nats", "{:.2f}"),
    ("strength", "mean strength", "{:.2f}"),
)


def _table(statistics: Mapping[str, Mapping[str, float]]) -> str:
    heads = "".join(f"<th>{title}</th>" for _, title, _ in _COLUMNS)
    rows = "".join(
        f"<tr><th>{level.replace('_', ' ')}</th>"
        + "".join(f"<td>{form.format(values[name]) if name in values else ''}</td>" for name, _, form in _COLUMNS)
        + "</tr>"
        for level, values in statistics.items()
    )
    table = f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll">{table}</div><p class="note">{_TABLE_NOTE}</p>'


_TABLE_NOTE: Final = (
    "Shares of the clips trained on. Redrawn: at least once, since the reference margin lay outside the band that was "
    "set; masked: left out of the loss, since it still did, or since no candidate was a usable wrong sentence."
)


_NEGATIVES_NOTE: Final = (
    "Above, the clip as it was recorded, its parts the more violet the more the translation hangs on them (salience), "
    "and how much hangs on each moment. Below, the non-preferred clip of each level at the same moments: in colour the "
    "bones that moved, in grey where they were, dotted what was lost, and a bar under the frames that were changed. A "
    "margin is the "
    "reference policy's log p(chosen) minus log p(rejected), in nats: small where it hardly notices the change, "
    "large where little of the sentence is left. Levels outside the band that was set are left out of the loss and "
    "drawn faintly."
)


def _negative(example: NegativeExample, animation: str = "") -> str:
    margins = "".join(
        f'<li><i style="background:{LEVEL_COLOURS[level]}"></i>{level.replace("_", " ")} '
        f"<b>{signed(example.reference_margins[level])}</b>{' left out' if level in example.left_out else ''}</li>"
        for level in LEVELS
        if level in example.reference_margins
    )
    parts = ", ".join(
        f"{part.replace('_', ' ')} {share:.0%}"
        for part, share in zip(PARTS, example.part_salience / max(np.sum(example.part_salience), 1e-12), strict=True)
    )
    chosen, rejected = escape(example.text), f"<i>{NO_SENTENCE}</i>"
    if example.rejected_text:
        chosen = mark_differences(example.text, example.rejected_text)
        rejected = mark_differences(example.rejected_text, example.text)
    moving = f'<img src="{escape(animation)}" alt="{escape(example.id)}, moving" loading="lazy">' if animation else ""
    picture = to_svg(negative_figure(example), f"Skeletons of {example.id}, clean and perturbed")
    return (
        f"<article><h3>{escape(example.id)}</h3>"
        f"{figure(picture, f'Salience by part: {parts}.')}"
        f'<dl class="pair"><dt>chosen</dt><dd>{chosen}</dd>'
        f'<dt style="color:{LEVEL_COLOURS["language"]}">language negative</dt>'
        f"<dd>{rejected}</dd></dl>"
        f'<ul class="margins">{margins}</ul>{moving}</article>'
    )
