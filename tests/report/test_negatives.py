"""The picture of a negative shows what a perturbation changed, and when."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.offsetbox import TextArea
from matplotlib.text import Text
from PIL import Image
from support.report import negative_example, random_clip

from signdpo.levels import BY_NAME, SKELETON_LEVELS
from signdpo.report.animation import save_animation
from signdpo.report.negatives import NegativeExample, differs, moments, negative_figure
from signdpo.report.svg import to_svg
from signdpo.skeleton.layout import PARTS


def test_drawing_leaves_matplotlib_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    to_svg(negative_figure(negative_example()))
    assert dict(matplotlib.rcParams) == before


def test_moments_are_the_middles_of_equal_stretches() -> None:
    assert moments(100, 5).tolist() == [10, 30, 50, 70, 90]
    assert moments(2, 4).tolist() == [0, 0, 1, 1]


def test_a_joint_differs_when_it_moved_or_went_but_not_by_rounding() -> None:
    picture = np.zeros((1, 3, 2), dtype=np.float32)
    other = np.array([[[0.001, 0.0], [0.1, 0.0], [np.nan, np.nan]]], dtype=np.float32)
    assert differs(other, picture).tolist() == [[False, True, True]]


def test_the_bar_below_a_level_covers_the_changed_frames() -> None:
    figure = negative_figure(negative_example())
    # Frames 11 to 19 of 30 repeat frame 10; frame 10 itself is unchanged.
    bar = figure.axes[2 + SKELETON_LEVELS.index("temporal_local")].lines[-1]
    assert bar.get_xdata() == pytest.approx([11 / 30, 20 / 30])


def test_a_clip_without_a_single_joint_can_be_drawn() -> None:
    example = negative_example()
    empty = np.zeros_like(example.keypoints)
    blank = NegativeExample(**{**vars(example), "keypoints": empty, "perturbed": {"spatial_local": empty}})
    assert to_svg(negative_figure(blank)).startswith("<svg")


def test_a_picture_that_leaves_its_page_takes_its_sentences_along() -> None:
    figure = negative_figure(negative_example(), sentences=True)
    assert [text.get_text() for text in figure.texts] == ["chosen", "", "language", "margin +2.5"]
    pieces = [text for row in figure.findobj(TextArea) for text in row.findobj(Text)]
    assert [(text.get_text(), text.get_weight()) for text in pieces] == [
        *(("go", "normal"), (" home", "bold"), (" now", "normal")),
        *(("go", "normal"), (" away", "bold"), (" now", "normal")),
    ]


def test_a_counterfactual_is_drawn_below_with_the_sentence_that_is_right_there() -> None:
    other = random_clip(24, seed=2)  # signs of another length
    example = dataclasses.replace(negative_example(), counterfactual=other, counterfactual_text="go home today")
    without, figure = (negative_figure(each, sentences=True) for each in (negative_example(), example))
    assert len(figure.axes) == len(without.axes) + 1
    assert {line.get_color() for line in figure.axes[-1].lines} == {BY_NAME["counterfactual"].colour}
    pieces = [text for row in figure.findobj(TextArea) for text in row.findobj(Text)]
    assert [(text.get_text(), text.get_weight()) for text in pieces[-2:]] == [("go home", "normal"), (" today", "bold")]


def test_what_was_lost_is_dotted_where_it_was() -> None:
    example = negative_example()
    without_hand = example.keypoints.copy()
    without_hand[:, PARTS["right_hand"]] = 0.0
    figure = negative_figure(dataclasses.replace(example, perturbed={"spatial_local": without_hand}))
    dotted = [line for line in figure.axes[2].lines if line.get_linestyle() == ":"]
    drawn = [bool(np.isfinite(line.get_xdata()).any()) for line in dotted]  # a line per part
    assert drawn == [part == "right_hand" for part in PARTS]


def test_an_animation_has_a_picture_per_frame(tmp_path: Path) -> None:
    example = negative_example()
    save_animation(example, tmp_path / "clip.gif")
    with Image.open(tmp_path / "clip.gif") as animation:
        assert animation.n_frames == len(example.keypoints)
