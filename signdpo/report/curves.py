"""Training curves from the rows that a run logged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from signdpo.levels import LEVELS
from signdpo.report.svg import ACCENT, INK, LEVEL_COLOURS, report_style

Row = Mapping[str, Any]

PANEL_SIZE: Final = (3.6, 2.45)  # inches
SMOOTH_ABOVE: Final = 40  # points; a shorter curve is drawn as it is
SMOOTH_SHARE: Final = 0.05  # of the curve, the width of its running mean


def pretraining_figure(rows: Sequence[Row]) -> Figure:
    """Loss, and development BLEU-4 and NLL, of the MLE training over optimizer steps.

    Args:
        rows: one mapping a logged step with `step` and any of `loss`, `eval_bleu4`, `eval_nll`;
            a row may hold only some of them.
    """
    return _panels(
        rows,
        [
            ("training loss (nats a token)", lambda axes: _plot(axes, rows, "loss")),
            ("development BLEU-4", lambda axes: _plot(axes, rows, "eval_bleu4", marker="o")),
            ("development NLL (nats a token)", lambda axes: _plot(axes, rows, "eval_nll", marker="o")),
        ],
    )


def alignment_figure(rows: Sequence[Row]) -> Figure:
    """Nine panels over the steps of the alignment; each level keeps one colour.

    Args:
        rows: one mapping a logged step with `step` and any of `loss`, `losses/<level>`, `grad_norm`,
            `rewards/margins/<level>`, `rewards/accuracies/<level>`, `logps/chosen`, `eval_bleu4`, `eval_nll`,
            `wait_share` (in [0, 1]).
    """
    return _panels(
        rows,
        [
            ("loss", lambda axes: _plot(axes, rows, "loss")),
            ("loss of each level", lambda axes: _plot_levels(axes, rows, "losses")),
            ("gradient norm", lambda axes: _plot(axes, rows, "grad_norm")),
            ("reward margin", lambda axes: _plot_levels(axes, rows, "rewards/margins", chance=0.0)),
            ("reward accuracy", lambda axes: _plot_levels(axes, rows, "rewards/accuracies", chance=0.5)),
            ("log p(chosen), nats", lambda axes: _plot_against_first(axes, rows, "logps/chosen")),
            ("development BLEU-4", lambda axes: _plot(axes, rows, "eval_bleu4", marker="o")),
            ("development NLL (nats a token)", lambda axes: _plot(axes, rows, "eval_nll", marker="o")),
            ("share of time waiting for data", lambda axes: _plot_share(axes, rows, "wait_share")),
        ],
        legend=True,
    )


def series(rows: Sequence[Row], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values `(points,)` float64 of one metric, without the rows that lack it or hold no finite value."""
    points = [(row["step"], row[key]) for row in rows if row.get(key) is not None and math.isfinite(row[key])]
    steps, values = zip(*points, strict=True) if points else ((), ())
    return np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Centred mean over `width` (odd) values `(points,)`; at the ends over those that there are."""
    kernel = np.ones(width)
    return np.convolve(values, kernel, mode="same") / np.convolve(np.ones_like(values), kernel, mode="same")


def _panels(rows: Sequence[Row], panels: Sequence[tuple[str, Callable[[Axes], None]]], legend: bool = False) -> Figure:
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    with report_style():
        figure = Figure(figsize=(PANEL_SIZE[0] * columns, PANEL_SIZE[1] * lines + 0.35 * legend), layout="constrained")
        for axes, (title, draw) in zip(figure.subplots(lines, columns, squeeze=False).flat, panels, strict=True):
            axes.set_title(title)
            draw(axes)
            if not axes.lines:
                axes.set(xticks=[], yticks=[])
                axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", va="center", alpha=0.6)
                continue
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.set_xlabel("step", loc="right")
            axes.set_xlim(*_span(rows))
        if legend:
            handles = [Line2D([], [], color=LEVEL_COLOURS[level], linewidth=3) for level in LEVELS]
            figure.legend(handles, [level.replace("_", " ") for level in LEVELS], loc="outside lower center", ncols=5)
    return figure


def _span(rows: Sequence[Row]) -> tuple[float, float]:
    """First and last step, shared by all panels so that they can be read against one another."""
    steps = [row["step"] for row in rows]
    return (min(steps), max(max(steps), min(steps) + 1)) if steps else (0, 1)


def _plot(axes: Axes, rows: Sequence[Row], key: str, colour: str = ACCENT, marker: str | None = None) -> None:
    steps, values = series(rows, key)
    if len(values) <= SMOOTH_ABOVE:
        if len(values):
            axes.plot(steps, values, color=colour, marker=marker, markersize=4, clip_on=marker is None)
        return
    width = 2 * int(len(values) * SMOOTH_SHARE / 2) + 1
    axes.plot(steps, values, color=colour, alpha=0.22, linewidth=0.8)
    axes.plot(steps, running_mean(values, width), color=colour)


def _plot_levels(axes: Axes, rows: Sequence[Row], prefix: str, chance: float | None = None) -> None:
    for level in LEVELS:
        _plot(axes, rows, f"{prefix}/{level}", LEVEL_COLOURS[level])
    if axes.lines and chance is not None:
        axes.axhline(chance, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)


def _plot_against_first(axes: Axes, rows: Sequence[Row], key: str) -> None:
    """A curve and, dashed, its value at step zero: preference training may lower what it should raise."""
    _plot(axes, rows, key)
    _, values = series(rows, key)
    if len(values):
        axes.axhline(values[0], color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)
        axes.annotate("step zero", (1, values[0]), (0, 3), ("axes fraction", "data"), "offset points", ha="right")


def _plot_share(axes: Axes, rows: Sequence[Row], key: str) -> None:
    _plot(axes, rows, key)
    if axes.lines:
        axes.set_ylim(0, 1)
