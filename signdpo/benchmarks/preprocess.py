"""One clip from image coordinates to what a policy sees: whole clips against a loop over parts and frames."""

from __future__ import annotations

from typing import Final

import numpy as np

from signdpo.benchmarks.measurement import SEED, Figures, make_pose, seconds_of
from signdpo.corpora.pose_pickle import people_of
from signdpo.skeleton.layout import PARTS
from signdpo.skeleton.normalisation import normalise

TOLERANCE: Final = 1e-5
BLOCK: Final = 50  # clips in memory at once
# part -> COCO-WholeBody joints, and which of them coordinates are relative to
JOINTS: Final[dict[str, tuple[list[int], int | None]]] = {
    "body": ([0, *range(3, 11)], None),
    "left_hand": ([*range(91, 112)], 0),
    "right_hand": ([*range(112, 133)], 0),
    "face": ([*range(23, 40, 2), *range(83, 91), 53], -1),
}


def preprocess(clips: int, frames: int) -> Figures:
    """`normalise` of whole clips against a loop over parts and frames, each given what its reader hands over.

    Raises:
        AssertionError: if the two differ by more than `TOLERANCE` anywhere.
    """
    generator = np.random.default_rng(SEED)
    looped, whole, picking, difference = 0.0, 0.0, 0.0, 0.0
    for begin in range(0, clips, BLOCK):
        poses = [make_pose(generator, frames) for _ in range(min(BLOCK, clips - begin))]
        read = [_read(pose) for pose in poses]
        looped += seconds_of(lambda pose: normalise_by_frames(**pose), poses)
        picking += seconds_of(_read, poses)
        whole += seconds_of(normalise, read)
        for pose, keypoints in zip(poses, read, strict=True):
            ours, theirs = normalise(keypoints), normalise_by_frames(**pose)
            difference = max(difference, *(float(np.abs(ours[:, PARTS[part]] - theirs[part]).max()) for part in PARTS))
    assert difference <= TOLERANCE, f"the two normalisations differ by {difference}"
    return {
        "clips": clips,
        "frames": frames,
        "loop over parts and frames, s": looped,
        "whole clips, s": whole,
        "ratio": looped / whole,
        "picking and stacking joints, s": picking,  # which the loop does as it goes
        "ratio, that included": looped / (whole + picking),
        "largest difference": difference,
    }


def _read(pose: dict[str, list[np.ndarray]]) -> np.ndarray:
    """The `(frames, 69, 3)` that the reader hands over."""
    return people_of(pose).signer("only")[0]


def normalise_by_frames(keypoints: list[np.ndarray], scores: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What the public Uni-Sign code does to a clip, frame by frame and part by part, written from its description.

    Args:
        keypoints: a frame `(1, 133, 2)`.
        scores: a frame `(1, 133)`.

    Returns:
        By part, `(frames, joints, 3)` float64.
    """
    parts = {}
    extent = 0.0
    for part, (chosen, root) in JOINTS.items():
        joints_of_frames, confidence_of_frames = [], []
        for people, confidence in zip(keypoints, scores, strict=True):
            joints = people[0][chosen]
            joints_of_frames.append(joints if root is None else joints - joints[root])
            confidence_of_frames.append(confidence[0][chosen])
        clip = np.concatenate([np.stack(joints_of_frames), np.stack(confidence_of_frames)[..., None]], axis=-1)
        if part == "body":
            left, top, extent = _box_of(clip)
            if extent:
                clip[..., :2] = ((clip[..., :2] - [left, top]) / extent - 0.5) * 2
        elif extent:
            clip[..., :2] = clip[..., :2] / extent
        if not extent:
            clip = np.zeros(clip.shape)
        clip = np.clip(clip, -1, 1)
        clip[clip[..., 2] <= 0.3] = 0
        parts[part] = clip
    return parts


def _box_of(clip: np.ndarray) -> tuple[float, float, float]:
    """Left and upper edge and side of the square around the confident joints; a side of 0 if there are too few."""
    points = clip[clip[..., 2] > 0.3][:, :2]
    if len(points) < 4:
        return 0.0, 0.0, 0.0
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    side = float(max(right - left, bottom - top))
    return float(left + right - side) / 2, float(top + bottom - side) / 2, side
