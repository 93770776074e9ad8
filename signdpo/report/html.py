"""The report of a run: one self-contained HTML file, readable offline, in a light or a dark browser and on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from signdpo.levels import BY_NAME
from signdpo.report.curves import ALIGNMENT, PRETRAINING, Row, curves_figure, series
from signdpo.report.differences import Stretch, stretches
from signdpo.report.forest import forest_figure
from signdpo.report.negatives import NegativeExample, negative_figure
from signdpo.report.scores import LENGTH, MEANING, NO_CONTROL, QUALITY, SCORES, SPLITS, p_value
from signdpo.report.svg import to_svg
from signdpo.skeleton.layout import PARTS


@dataclass(frozen=True)
class SplitScores:
    """Scores of the systems on one split, and how they differ.

    Attributes:
        split: `dev` or `test`.
        sentences: number of sentences translated.
        systems: system -> its scores by name, with `intervals` and the `signature`.
        differences: two systems, the headline first -> score -> `PairedBootstrap.to_dict()`; empty for one system.
    """

    split: str
    sentences: int
    systems: Mapping[str, Mapping[str, Any]]
    differences: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def headline(self) -> tuple[str, Mapping[str, Mapping[str, Any]]] | None:
        """The first comparison and what it found."""
        return next(iter(self.differences.items()), None)

    @property
    def forest(self) -> Markup:
        """SVG of the differences."""
        return to_svg(forest_figure(self.differences))


@dataclass(frozen=True)
class TranslationExample:
    """One clip's reference and what each system said."""

    id: str
    reference: str
    hypotheses: Mapping[str, str]


@dataclass(frozen=True)
class ReportData:
    """All that a report shows; what is empty is left out of the page.

    Attributes:
        title: heading of the page.
        facts: short facts in reading order, for example `{"clips": "3000 train, 200 dev"}`.
        config: resolved configuration as YAML, folded away.
        quarantine: number of refused clips by reason.
        splits: scores on each, that of the headline first.
        pretraining, control, alignment: logged rows, see `signdpo.report.curves`.
        negatives: clips to draw.
        negative_statistics: what became of the negatives of each level, as `run_statistics` tells it.
        translations: examples of the dev or test split.
        warnings: sentences that the reader should see first.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    quarantine: Mapping[str, int] = field(default_factory=dict)
    splits: Sequence[SplitScores] = ()
    pretraining: Sequence[Row] = ()
    control: Sequence[Row] = ()
    alignment: Sequence[Row] = ()
    negatives: Sequence[NegativeExample] = ()
    negative_statistics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    translations: Sequence[TranslationExample] = ()
    warnings: Sequence[str] = ()


def render(data: ReportData) -> str:
    """The page as one string of HTML, without a script and without anything to fetch."""
    _, chosen = series(data.alignment, "logps/chosen")
    return fill_template(
        "report.html.j2",
        title=data.title,
        data=data,
        pretraining=to_svg(curves_figure(data.pretraining, PRETRAINING)) if data.pretraining else "",
        control=to_svg(curves_figure(data.control, PRETRAINING)) if data.control else "",
        alignment=to_svg(curves_figure(data.alignment, ALIGNMENT)) if data.alignment else "",
        chosen_logps=(chosen[0], chosen[-max(1, len(chosen) // 10) :].mean()) if len(chosen) > 1 else None,
        negatives=[NegativeView.of(example) for example in data.negatives],
    )


@dataclass(frozen=True)
class NegativeView:
    """A clip with its negatives as a page shows it.

    Attributes:
        example: the clip and its negatives.
        picture: SVG of the skeletons.
        part_shares: shares of the salience by part; they sum to 1.
        chosen, rejected: the two sentences, cut where they differ.
        animation: file beside the page, or empty.
    """

    example: NegativeExample
    picture: Markup
    part_shares: Mapping[str, float]
    chosen: Sequence[Stretch]
    rejected: Sequence[Stretch]
    animation: str

    @classmethod
    def of(cls, example: NegativeExample, animation: str = "") -> NegativeView:
        shares = example.part_salience / max(np.sum(example.part_salience), 1e-12)
        part_shares = dict(zip(PARTS, shares.tolist(), strict=True))
        return cls(example, to_svg(negative_figure(example)), part_shares, *example.sentences(), animation)


def fill_template(template: str, **values: Any) -> str:
    """A page as one string of HTML from a template of this package and the values that it names."""
    # Sentences, ids and facts are data: all that is not marked up by a template or drawn by `to_svg` is escaped.
    pages = Environment(
        loader=PackageLoader("signdpo.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters.update(signed=_signed, differing_from=stretches, p_value=p_value)
    style = Markup(Path(__file__).with_name("report.css").read_text(encoding="utf-8"))
    groups = {"Translation": QUALITY, "Length and repetition": LENGTH, "Meaning": MEANING}
    known = {"levels": BY_NAME, "groups": groups, "scores": SCORES, "split_names": SPLITS, "no_control": NO_CONTROL}
    return pages.get_template(template).render(style=style, **known, **values)


def _signed(value: float) -> str:
    """Two decimals and a sign, with the minus that is as wide as a plus."""
    return f"{value:+.2f}".replace("-", "\u2212")
