"""Clips check themselves and are shortened evenly."""

from __future__ import annotations

import numpy as np
import pytest

from signdpo.skeleton.clip import BadClipError, Clip, draw_frames, sample_frames
from signdpo.skeleton.layout import NUM_JOINTS


def test_a_short_clip_keeps_every_frame() -> None:
    assert sample_frames(3, 5).tolist() == [0, 1, 2]


def test_sampled_frames_are_the_middles_of_equal_stretches() -> None:
    assert sample_frames(9, 3).tolist() == [1, 4, 7]
    assert sample_frames(10, 1).tolist() == [5]


def test_sampled_frames_are_distinct_and_inside() -> None:
    for num_frames in range(1, 60):
        for limit in range(1, num_frames + 1):
            frames = sample_frames(num_frames, limit)
            assert len(set(frames.tolist())) == limit
            assert frames[0] >= 0
            assert frames[-1] < num_frames


def test_drawn_frames_are_distinct_in_order_and_cover_the_clip() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_frames(20, 5, rng) for _ in range(200)]
    assert all((np.diff(draw) > 0).all() for draw in draws)
    assert {frame for draw in draws for frame in draw.tolist()} == set(range(20))
    assert draw_frames(3, 5, rng).tolist() == [0, 1, 2]


def test_gloss_spans_follow_the_sampled_frames() -> None:
    keypoints = np.arange(9, dtype=np.float32)[:, None, None] * np.ones((1, NUM_JOINTS, 3), np.float32)
    clip = Clip("a", "word", keypoints, ("X", "Y"), np.array([[0, 5], [5, 9]], np.int32)).sampled(3)
    assert clip.keypoints[:, 0, 0].tolist() == [1, 4, 7]
    assert clip.gloss_spans is not None
    assert clip.gloss_spans.tolist() == [[0, 2], [2, 3]]  # frames 1 and 4 belong to X, frame 7 to Y


@pytest.mark.parametrize(
    ("text", "shape", "reason"),
    [
        (" ", (2, 69, 3), "sentence is empty"),
        ("a\x1b[2J", (2, 69, 3), r"the sentence holds the control character \\x1b"),
        ("a", (0, 69, 3), "no frames"),
        ("a", (2, 68, 3), r"shape \(2, 68, 3\)"),
    ],
)
def test_a_clip_that_cannot_be_learned_from_says_why(text: str, shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(BadClipError, match=reason):
        Clip("a", text, np.zeros(shape, np.float32)).check()


def test_nan_is_reported_with_its_frame() -> None:
    keypoints = np.zeros((3, NUM_JOINTS, 3), np.float32)
    keypoints[1, 4, 0] = np.nan
    with pytest.raises(BadClipError, match="frame 1"):
        Clip("a", "word", keypoints).check()


@pytest.mark.parametrize(
    ("number", "reason"),
    [(np.nan, "hold NaN or infinity"), (-np.inf, "hold NaN or infinity"), (-3e38, "reach -3e[+]38")],
)
def test_a_clip_of_impossible_numbers_is_refused_before_they_spread(number: float, reason: str) -> None:
    keypoints = np.ones((5, NUM_JOINTS, 3), np.float32)
    Clip("a", "word", keypoints).check()
    keypoints[3, 2, 1] = number
    with pytest.raises(BadClipError, match=f"keypoints {reason}, first in frame 3"):
        Clip("a", "word", keypoints).check()
