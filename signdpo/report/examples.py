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


def gallery(title: str, examples: Sequence[NegativeExample], facts: Mapping[str, str]) -> str:
    """A page of its own for negatives, as one string of HTML."""
    articles = "".join(_negative(example) for example in examples)
    return page(title, [facts_list(dict(facts)), f'<p class="note">{_NEGATIVES_NOTE}</p>{articles}'])


def negatives_section(examples: Sequence[NegativeExample]) -> str:
    """The negatives of a run as a section of its report; empty without examples."""
    if not examples:
        return ""
    return section(
        "Negatives", '<p class="note">' + _NEGATIVES_NOTE + "</p>" + "".join(_negative(example) for example in examples)
    )


_NEGATIVES_NOTE: Final = (
    "Above, the clip as it was recorded, its parts the more violet the more the translation hangs on them (salience), "
    "and how much hangs on each moment. Below, the non-preferred clip of each level at the same moments: in colour the "
    "bones that moved, in grey where they were, and a bar under the frames that were changed. A margin is the "
    "reference policy's log p(chosen) minus log p(rejected), in nats: small where it hardly notices the change, "
    "large where little of the sentence is left. Levels outside the band that was set are left out of the loss and "
    "drawn faintly."
)


def _negative(example: NegativeExample) -> str:
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
    picture = to_svg(negative_figure(example), f"Skeletons of {example.id}, clean and perturbed")
    return (
        f"<article><h3>{escape(example.id)}</h3>"
        f"{figure(picture, f'Salience by part: {parts}.')}"
        f'<dl class="pair"><dt>chosen</dt><dd>{chosen}</dd>'
        f'<dt style="color:{LEVEL_COLOURS["language"]}">language negative</dt>'
        f"<dd>{rejected}</dd></dl>"
        f'<ul class="margins">{margins}</ul></article>'
    )
