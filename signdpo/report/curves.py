"""Training curves from the rows that a run logged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from signdpo.levels import BY_NAME
from signdpo.report.svg import ACCENT, INK, report_style

Row = Mapping[str, Any]

PANEL_SIZE: Final = (3.6, 2.45)  # inches
SMOOTH_ABOVE: Final = 40  # points; a shorter curve is drawn as it is
SMOOTH_SHARE: Final = 0.05  # of the curve, the width of its running mean
GUIDE: Final[dict[str, Any]] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (4, 3)), "alpha": 0.6}


@dataclass(frozen=True)
class Panel:
    """One plot of a figure: a metric over the steps.

    Attributes:
        title: heading of the plot.
        metric: key of the logged rows.
        by_level: whether there is a curve per level, of `<metric>/<level>`.
        chance: value of a policy that has learned nothing, drawn as a dashed line.
        from_first: whether the first value is drawn as a dashed line: preference training may lower what it should
            raise.
        limits: ends of the vertical axis.
    """

    title: str
    metric: str
    by_level: bool = False
    chance: float | None = None
    from_first: bool = False
    limits: tuple[float, float] | None = None


DEVELOPMENT: Final = (
    Panel("development BLEU-4", "eval_bleu4"),
    Panel("development NLL (nats per token)", "eval_nll"),
)
PRETRAINING: Final = (Panel("training loss (nats per token)", "loss"), *DEVELOPMENT)
ALIGNMENT: Final = (
    Panel("loss", "loss"),
    Panel("loss of each level", "losses", by_level=True),
    Panel("gradient norm", "grad_norm"),
    Panel("reward margin", "rewards/margins", by_level=True, chance=0.0),
    Panel("reward accuracy", "rewards/accuracies", by_level=True, chance=0.5),
    Panel("log p(chosen), nats", "logps/chosen", from_first=True),
    *DEVELOPMENT,
    Panel("share of time waiting for data", "wait_share", limits=(0, 1)),
)


def curves_figure(rows: Sequence[Row], panels: Sequence[Panel]) -> Figure:
    """The panels in up to three columns, over the same steps; each level keeps one colour.

    Args:
        rows: one mapping per logged step with `step` and any of the metrics.
        panels: plots of the figure.
    """
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    legend = any(panel.by_level for panel in panels)
    first, last = min(row["step"] for row in rows), max(row["step"] for row in rows)
    with report_style():
        figure = Figure(figsize=(PANEL_SIZE[0] * columns, PANEL_SIZE[1] * lines + 0.35 * legend), layout="constrained")
        for axes, panel in zip(figure.subplots(lines, columns, squeeze=False).flat, panels, strict=True):
            axes.set_title(panel.title)
            _draw(axes, rows, panel)
            if not axes.lines:
                axes.set(xticks=[], yticks=[])
                axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", va="center", alpha=0.6)
                continue
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.set_xlabel("step", loc="right")
            axes.set(xlim=(first, max(last, first + 1)), ylim=panel.limits)
        if legend:
            handles = [Line2D([], [], color=level.colour, linewidth=3) for level in BY_NAME.values()]
            figure.legend(handles, [name.replace("_", " ") for name in BY_NAME], loc="outside lower center", ncols=5)
    return figure


def series(rows: Sequence[Row], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values `(points,)` float64 of one metric, without the rows that lack it or hold no finite value."""
    steps = np.array([row["step"] for row in rows], dtype=np.float64)
    values = np.array([row.get(key) for row in rows], dtype=np.float64)  # None becomes NaN
    return steps[np.isfinite(values)], values[np.isfinite(values)]


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Centred mean over `width` (odd) values `(points,)`; at the ends over those that there are."""
    kernel = np.ones(width)
    return np.convolve(values, kernel, mode="same") / np.convolve(np.ones_like(values), kernel, mode="same")


def _draw(axes: Axes, rows: Sequence[Row], panel: Panel) -> None:
    if panel.by_level:
        for name, level in BY_NAME.items():
            _plot(axes, *series(rows, f"{panel.metric}/{name}"), level.colour)
    else:
        steps, values = series(rows, panel.metric)
        _plot(axes, steps, values, ACCENT, marker="o" if panel.metric.startswith("eval_") else None)
        if panel.from_first and len(values):
            axes.axhline(values[0], **GUIDE)
            axes.annotate("step zero", (1, values[0]), (0, 3), ("axes fraction", "data"), "offset points", ha="right")
    if axes.lines and panel.chance is not None:
        axes.axhline(panel.chance, **GUIDE)


def _plot(axes: Axes, steps: np.ndarray, values: np.ndarray, colour: str, marker: str | None = None) -> None:
    if len(values) > SMOOTH_ABOVE:
        axes.plot(steps, values, color=colour, alpha=0.22, linewidth=0.8)
        values, marker = running_mean(values, 2 * int(len(values) * SMOOTH_SHARE / 2) + 1), None
    if len(values):
        axes.plot(steps, values, color=colour, marker=marker, markersize=4, clip_on=marker is None)
