"""Curves show what was logged, each level in its colour, and smooth long ones."""

from __future__ import annotations

import math

import numpy as np
from support.report import logged_rows

from signdpo.levels import BY_NAME, LEVELS
from signdpo.report.curves import ALIGNMENT, curves_figure, running_mean, series
from signdpo.report.svg import INK, to_svg


def test_a_series_leaves_out_rows_without_a_finite_value() -> None:
    logged = [{"step": 1, "loss": 2.0}, {"step": 2}, {"step": 3, "loss": math.nan}, {"step": 4, "loss": 1.0}]
    steps, values = series(logged, "loss")
    assert steps.tolist() == [1, 4]
    assert values.tolist() == [2.0, 1.0]


def test_the_running_mean_at_the_ends_is_over_what_is_there() -> None:
    assert running_mean(np.array([1.0, 2.0, 6.0]), 3).tolist() == [1.5, 3.0, 4.0]


def test_every_level_keeps_its_colour_in_every_panel() -> None:
    figure = curves_figure(logged_rows(10), ALIGNMENT)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    for title in ("reward margin", "reward accuracy"):
        colours = [line.get_color() for line in panels[title].lines]
        assert colours[: len(LEVELS)] == [level.colour for level in BY_NAME.values()]


def test_metrics_that_were_not_logged_leave_a_note_in_their_panel() -> None:
    svg = to_svg(curves_figure([{"step": 0, "loss": 1.0}], ALIGNMENT))
    assert "not logged" in svg


def test_svg_takes_its_ink_from_the_page() -> None:
    svg = to_svg(curves_figure(logged_rows(3), ALIGNMENT))
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert INK not in svg
