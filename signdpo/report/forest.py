"""Differences between systems with their intervals, as a forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from signdpo.report.scores import SCORES
from signdpo.report.svg import ACCENT, INK, report_style

WIDTH: Final = 10.8  # inches
ROW: Final = 0.2  # inches a line of the plot
PANELS: Final = {
    "translation, points": ("bleu4", "chrf"),
    "meaning, percentage points": ("content_precision", "content_recall", "pairs_words", "pairs_signs", "pairs_clips"),
}


def forest_figure(differences: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Each difference as a point on its 95 % interval; the first comparison, the headline, in colour.

    Args:
        differences: two systems, the headline first -> score -> `PairedBootstrap.to_dict()`.
    """
    headline = next(iter(differences.values()))
    panels = {title: [name for name in names if name in headline] for title, names in PANELS.items()}
    panels = {title: names for title, names in panels.items() if names}
    lines = max(map(len, panels.values())) * (len(differences) + 1)
    with report_style():
        figure = Figure(figsize=(WIDTH, ROW * lines + 1.2), layout="constrained")
        places = figure.subplots(1, len(panels), squeeze=False).flat
        for axes, (title, names) in zip(places, panels.items(), strict=True):
            axes.set_title(title)
            _draw(axes, differences, names)
        handles = [Line2D([], [], marker="o", markersize=5, **_style(place)) for place in range(len(differences))]
        figure.legend(handles, list(differences), loc="outside lower center", ncols=len(differences))
    return figure


def _style(place: int) -> dict[str, Any]:
    """The headline stands out; the others fade."""
    return {"color": ACCENT, "alpha": 1.0} if place == 0 else {"color": INK, "alpha": 0.75 / place}


def _draw(axes: Axes, differences: Mapping[str, Mapping[str, Mapping[str, Any]]], names: list[str]) -> None:
    spacing = len(differences) + 1  # lines a score, one of them empty
    for place, tests in enumerate(differences.values()):
        heights = [row * spacing + place for row in range(len(names))]
        low, middle, high = (
            [SCORES[name].points(tests[name][end]) for name in names]
            for end in ("confidence_low", "delta", "confidence_high")
        )
        axes.hlines(heights, low, high, linewidth=2.2 if place == 0 else 1.4, **_style(place))
        axes.scatter(middle, heights, s=34 if place == 0 else 20, zorder=3, **_style(place))
    axes.axvline(0, color=INK, linewidth=0.8, alpha=0.6)
    middles = [row * spacing + (spacing - 2) / 2 for row in range(len(names))]
    axes.set_yticks(middles, [SCORES[name].title for name in names])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(names) * spacing - 1, -1)


def arms_figure(differences: Mapping[str, Mapping[str, Mapping[str, Any]]], names: Sequence[str]) -> Figure:
    """A row for each difference and a panel for each score: a point on its 95 % interval.

    Args:
        differences: name of the row -> score -> `PairedBootstrap.to_dict()`.
        names: scores that all of them have.
    """
    heights = list(range(len(differences)))
    with report_style():
        figure = Figure(figsize=(2.4 + 2.1 * len(names), 1.0 + 1.6 * ROW * len(heights)), layout="constrained")
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            tests, points = [found[name] for found in differences.values()], SCORES[name].points
            lows, highs = ([points(test[f"confidence_{end}"]) for test in tests] for end in ("low", "high"))
            axes.hlines(heights, lows, highs, color=ACCENT, linewidth=2.2)
            axes.scatter([points(test["delta"]) for test in tests], heights, s=30, color=ACCENT, zorder=3)
            axes.axvline(0, color=INK, linewidth=0.8, alpha=0.6)
            axes.set_title(f"{SCORES[name].title}, points")
            axes.tick_params(axis="y", length=0)
            axes.grid(visible=False, axis="y")
        panels[0].set_yticks(heights, list(differences))
        panels[0].set_ylim(len(heights) - 0.4, -0.6)
    return figure
