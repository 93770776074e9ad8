"""Pictures show what is there and highlight what changed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from signdpo.skeleton.drawing import CHANGED, HALO, PALETTE, draw_frame, draw_strip
from signdpo.skeleton.layout import BONES, NUM_JOINTS, PART_ROOTS, PARTS


def clip(frames: int) -> np.ndarray:
    keypoints = np.random.default_rng(0).uniform(-0.5, 0.5, (frames, NUM_JOINTS, 3)).astype(np.float32)
    keypoints[..., 2] = 1
    for root in PART_ROOTS.values():
        keypoints[:, root, :2] = 0
    return keypoints


def bones_drawn(axes: object) -> dict[str, int]:
    """Number of bones of each colour."""
    counts: dict[str, int] = {}
    for collection in axes.collections:  # type: ignore[attr-defined]
        if isinstance(collection, LineCollection):
            colour = to_hex(collection.get_color()[0])
            counts[colour] = counts.get(colour, 0) + len(collection.get_segments())
    return counts


def test_a_frame_shows_every_bone_of_a_hand_in_its_colour() -> None:
    axes = Figure().subplots()
    draw_frame(axes, clip(1)[0])
    assert bones_drawn(axes)[PALETTE["left_hand"]] == len(BONES["left_hand"])


def test_a_missing_hand_is_left_out() -> None:
    axes = Figure().subplots()
    frame = clip(1)[0]
    frame[PARTS["left_hand"]] = 0
    draw_frame(axes, frame)
    assert bones_drawn(axes)[PALETTE["left_hand"]] == 0
    assert bones_drawn(axes)[PALETTE["right_hand"]] == len(BONES["right_hand"])


def test_only_what_changed_is_highlighted() -> None:
    axes = Figure().subplots()
    highlight = np.zeros((5, len(PARTS)), bool)
    highlight[3, list(PARTS).index("right_hand")] = True
    draw_strip(axes, clip(5), highlight=highlight)
    assert bones_drawn(axes)[HALO] == len(BONES["right_hand"])
    assert [to_hex(patch.get_facecolor()) == CHANGED for patch in axes.patches] == [False, False, False, True, False]


def test_a_strip_numbers_its_frames_and_y_runs_downward() -> None:
    axes = Figure().subplots()
    draw_strip(axes, clip(30), frames=[0, 7, 29])
    assert [text.get_text() for text in axes.texts] == ["0", "7", "29"]
    bottom, top = axes.get_ylim()
    assert bottom > top


def test_a_clip_of_nothing_can_still_be_drawn() -> None:
    figure = Figure()
    draw_strip(figure.subplots(), np.zeros((2, NUM_JOINTS, 3), np.float32), title="nothing")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")


def test_a_highlight_of_another_clip_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 4\), expected \(5, 4\)"):
        draw_strip(Figure().subplots(), clip(5), highlight=np.zeros((4, 4), bool))
