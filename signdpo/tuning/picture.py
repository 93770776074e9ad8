"""A search as one picture: every trial a line across its settings to its score, and which keys mattered."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, MaxNLocator
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from ray.tune.search.optuna import OptunaSearch

from signdpo.report.svg import INK_ON_WHITE as INK
from signdpo.training.checkpoint import better
from signdpo.tuning.results import SCORE_NAMES, TrialResult, labels, number
from signdpo.tuning.settings import Range
from signdpo.tuning.space import Space

FEWEST_FOR_IMPORTANCE: Final = 10  # scored trials; of fewer it would be a guess
SOFT: Final = "#7b828d"
COLOURS: Final = "viridis_r"  # the better a trial, the darker its line
NEAREST_TICKS: Final = 0.09  # of an axis


@dataclass(frozen=True)
class Scale:
    """One vertical axis: values -> heights in [0, 1].

    Args:
        low, high: what is at the bottom and at the top.
        logarithmic: whether equal ratios are equal lengths.
        names: of an axis of names, from the bottom up; low and high count them.
        ends: whether both ends are written at it.
    """

    low: float
    high: float
    logarithmic: bool = False
    names: tuple[str, ...] = ()
    ends: bool = True

    @classmethod
    def of(cls, values: Range) -> Scale:
        if values.choice is not None:
            names = tuple(number(choice) for choice in values.choice)
            return cls(-0.5, len(names) - 0.5, names=names)
        low, high = (float(corner) for corner in values.corners)  # type: ignore[arg-type]
        return cls(low, high, logarithmic=values.loguniform is not None)

    def height(self, value: Any) -> float:
        place = self.names.index(number(value)) if self.names else value
        low, high, place = np.log([self.low, self.high, place]) if self.logarithmic else (self.low, self.high, place)
        return float((place - low) / (high - low))

    def ticks(self) -> list[tuple[float, str]]:
        """Heights and what is written there: names, or round numbers and maybe both ends."""
        if self.names:
            return [(self.height(name), name) for name in self.names]
        locator = LogLocator(subs=(1, 3)) if self.logarithmic else MaxNLocator(4)
        ticks = [(0.0, number(self.low)), (1.0, number(self.high))] if self.ends else []
        for value in locator.tick_values(min(self.low, self.high), max(self.low, self.high)):
            height = self.height(value)
            if 0 < height < 1 and all(abs(height - other) > NEAREST_TICKS for other, _ in ticks):
                ticks.append((height, number(float(value))))
        return ticks


def search_figure(results: Sequence[TrialResult], space: Space, baseline: float) -> Figure:
    """Parallel coordinates of all scored trials and, of ten or more, the importance of each key.

    Args:
        results: of the trials, the best first.
        space: that was searched.
        baseline: dev score of the policy that trials begin with.
    """
    metric = space.base.dpo.select_by
    scored = [result for result in results if result.score is not None]
    importance = importance_of(scored, space) if len(scored) >= FEWEST_FOR_IMPORTANCE else {}
    columns = len(space.ranges) + 1
    width = 1.45 * columns + 1.2
    with matplotlib.rc_context({"font.family": "sans-serif", "font.size": 10, "text.color": INK}):
        figure = Figure(figsize=(width + 4.2 * bool(importance), 6.0), layout="constrained", facecolor="white")
        ratios = {"width_ratios": [width, 4.2]} if importance else {}
        axes = figure.subplots(1, 1 + bool(importance), squeeze=False, gridspec_kw=ratios)[0]
        draw_trials(axes[0], scored, space, baseline)
        if importance:
            draw_importance(axes[1], importance)
        figure.suptitle(headline(results, metric, baseline), x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def headline(results: Sequence[TrialResult], metric: str, baseline: float) -> str:
    """What came out, in a line."""
    states = {state: sum(result.state == state for result in results) for state in ("finished", "stopped", "failed")}
    counts = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    best = results[0].score
    found = "none was scored" if best is None else f"best {SCORE_NAMES[metric]} {best:.2f}, baseline {baseline:.2f}"
    return f"{len(results)} trials ({counts}): {found}"


def draw_trials(axes: Axes, scored: Sequence[TrialResult], space: Space, baseline: float) -> None:
    """A line a trial, the darker the better; those stopped early are dashed, the best one is thick."""
    metric = space.base.dpo.select_by
    scores = [float(result.score) for result in scored if result.score is not None]
    low, high = min([*scores, baseline]), max([*scores, baseline])
    margin = 0.06 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    scales = [Scale.of(values) for values in space.ranges.values()]
    bottom, top = reversed(ends) if better(metric) == "min" else ends
    scales.append(Scale(bottom, top, ends=False))
    shade = Normalize(-0.15, 1.0)
    for place, result in reversed(list(enumerate(scored))):
        values = [*(result.settings[key] for key in space.ranges), result.score]
        heights = [scale.height(value) for scale, value in zip(scales, values, strict=True)]
        best, goodness = place == 0, (heights[-1] - 0.05) / 0.9
        axes.add_patch(
            PathPatch(
                curve(heights),
                fill=False,
                edgecolor=matplotlib.colormaps[COLOURS](shade(goodness)),
                linewidth=3.2 if best else 1.5,
                linestyle=(0, (4, 2)) if result.state == "stopped" else "-",
                alpha=1.0 if best else 0.8,
                zorder=3 if best else 2,
            )
        )
        if best:
            axes.plot(range(len(heights)), heights, "o", color=INK, markersize=5.5, zorder=5, clip_on=False)
    names = [*labels(space.ranges).values(), SCORE_NAMES[metric]]
    for x, (name, scale) in enumerate(zip(names, scales, strict=True)):
        draw_axis(axes, x, name, scale)
    height = scales[-1].height(baseline)
    axes.plot([len(scales) - 1.07, len(scales) - 0.93], [height, height], color="#b3261e", linewidth=2.5, zorder=6)
    axes.text(len(scales) - 0.88, height, "baseline", color="#b3261e", va="center", fontsize=9.5)
    if any(result.state == "stopped" for result in scored):
        axes.text(-0.4, -0.09, "dashed: stopped early", color=SOFT, fontsize=9.5)
    axes.set(xlim=(-0.45, len(scales) - 0.35), ylim=(-0.1, 1.17))
    axes.axis("off")


def curve(heights: Sequence[float]) -> Path:
    """A smooth line through one height an axis, level where it crosses them."""
    points, codes = [(0.0, heights[0])], [Path.MOVETO]
    for x, (here, there) in enumerate(itertools.pairwise(heights)):
        points += [(x + 0.4, here), (x + 0.6, there), (x + 1.0, there)]
        codes += [Path.CURVE4] * 3
    return Path(points, codes)


def draw_axis(axes: Axes, x: int, name: str, scale: Scale) -> None:
    axes.plot([x, x], [0, 1], color=INK, linewidth=1.1, zorder=4)
    section, _, key = name.replace("_", " ").rpartition(".")
    axes.text(x, 1.05, key, ha="center", va="bottom", fontweight="bold", fontsize=10.5)
    axes.text(x, 1.11, section, ha="center", va="bottom", color=SOFT, fontsize=9.5)
    for height, text in scale.ticks():
        axes.plot([x - 0.025, x], [height, height], color=INK, linewidth=1.0, zorder=4)
        box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
        axes.text(x - 0.05, height, text, ha="right", va="center", fontsize=9, color=INK, bbox=box, zorder=4)


def importance_of(scored: Sequence[TrialResult], space: Space) -> dict[str, float]:
    """Key -> its share of what tells the best trials from the others (PED-ANOVA, arXiv 2304.10255), largest first."""
    mode = better(space.base.dpo.select_by)
    study = optuna.create_study(direction="minimize" if mode == "min" else "maximize")
    distributions = OptunaSearch.convert_search_space(space.domains())
    for result in scored:
        study.add_trial(
            optuna.trial.create_trial(params=result.settings, distributions=distributions, value=result.score)
        )
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return dict(sorted(shares.items(), key=lambda share: -share[1]))


def draw_importance(axes: Axes, importance: dict[str, float]) -> None:
    names = [name.replace("_", " ") for name in labels(importance).values()]
    axes.barh(names, list(importance.values()), color="#5b6abf", height=0.62)
    axes.invert_yaxis()
    axes.set_title("what told the best trials apart", loc="left", fontsize=10.5, fontweight="bold")
    for place, share in enumerate(importance.values()):
        axes.text(share + 0.01, place, f"{100 * share:.0f} %", va="center", fontsize=9.5)
    axes.set_xlim(0, 1.15 * max(importance.values()))
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
