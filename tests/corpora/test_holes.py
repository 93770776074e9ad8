"""Joints that are missing, as pose estimators and their users write it: one rule, whatever the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import crowds
from support.crowds import WRITERS, Somebody, write_crowd

from signdpo.data.clips import prepare_clip
from signdpo.skeleton.clip import BadClipError, Clip

pytest.importorskip("pose_format", reason="the group poses is not installed")
every_format = pytest.mark.parametrize("kind", WRITERS)
SIGNER = Somebody(100)
SHOULDER = {"openpose": 5, "pose": 1}  # the left one, in the layout of the format
OURS = 3


def read(kind: str, root: Path, monkeypatch: pytest.MonkeyPatch, joint: tuple[float, float, float]) -> Clip:
    """A clip of three frames whose left shoulder is this, as the ingest would store it."""
    place = SHOULDER.get(kind.partition(" ")[0], 5)
    joints = Somebody.joints

    def with_hole(self: Somebody, count: int) -> np.ndarray:
        keypoints = joints(self, count)
        keypoints[place] = joint
        return keypoints

    monkeypatch.setattr(crowds.Somebody, "joints", with_hole)
    source = write_crowd(kind, root, [[SIGNER]] * 3)
    return prepare_clip(source.read(source.entries("train")[0]), 256)


@every_format
@pytest.mark.parametrize(
    "joint",
    [
        (np.nan, np.nan, 0.0),
        (np.nan, np.nan, np.nan),
        (150.0, 20.0, np.nan),
        (-1.0, -1.0, -1.0),
        (150.0, 20.0, -0.5),
        (np.inf, 5.0, 0.0),
        (0.0, 0.0, 0.0),
    ],
)
def test_a_missing_joint_is_a_hole(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joint: tuple[float, float, float]
) -> None:
    keypoints = read(kind, tmp_path, monkeypatch, joint).keypoints
    assert not keypoints[:, OURS].any()
    assert keypoints[:, [0, 4, 7, 8], 2].all()


@every_format
@pytest.mark.parametrize(
    ("joint", "reason"),
    [
        ((np.nan, 5.0, 0.8), "hold NaN or infinity, first in frame 0"),
        ((5.0, np.inf, 0.8), "hold NaN or infinity, first in frame 0"),
        ((5.0, 5.0, np.inf), "hold NaN or infinity, first in frame 0"),
        ((5.0, 5.0, 98.0), "confidences reach 98, expected 0 to 1: if they are percent, divide them by 100"),
    ],
)
def test_a_joint_that_contradicts_itself_refuses_the_clip(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joint: tuple[float, float, float], reason: str
) -> None:
    with pytest.raises(BadClipError, match=reason):
        read(kind, tmp_path, monkeypatch, joint)


def test_a_hand_whose_root_is_missing_is_a_hole() -> None:
    keypoints = np.ones((2, 69, 3), np.float32)
    keypoints[:, :9, :2] = np.random.default_rng(1).random((2, 9, 2))
    keypoints[0, 9] = np.nan
    prepared = prepare_clip(Clip("a", "word", keypoints), 256).keypoints
    assert not prepared[0, 9:30].any()
    assert prepared[1, 9:30, 2].all()
    assert prepared[:, 30:, 2].all()


@pytest.mark.parametrize(
    ("part", "name"), [(slice(9, 30), "left hand"), (slice(30, 51), "right hand"), (slice(51, 69), "face")]
)
def test_a_part_that_is_never_seen_is_noted(part: slice, name: str) -> None:
    keypoints = np.ones((2, 69, 3), np.float32)
    keypoints[:, :9, :2] = np.random.default_rng(1).random((2, 9, 2))
    assert prepare_clip(Clip("a", "word", keypoints), 256).notes == ()
    keypoints[:, part, 2] = 0.2
    assert prepare_clip(Clip("a", "word", keypoints), 256).notes == (f"the {name} is never seen",)


def test_a_clip_without_holes_is_left_as_it_is() -> None:
    clip = Clip("a", "word", np.ones((2, 69, 3), np.float32))
    assert clip.without_holes() is clip
