"""Poses as the public Uni-Sign release (Li et al., ICLR 2025) pickles them, one file a clip.

A file holds a dict of `keypoints` (per frame an array `(1, 133, 2)` of COCO-WholeBody joints, mostly as shares of the
picture's width and height), `scores` (per frame `(1, 133)`) and, where it is longer than the clip, the first and
past-the-last frame `start` and `end`. Some users' files have nested lists instead of arrays. Other keys are ignored.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np

from signdpo.corpora.restricted_pickle import load_pickle
from signdpo.corpora.source import MAX_CLIP_BYTES, MAX_CLIP_FRAMES, clip_file
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.layout import CHANNELS, COCO_WHOLEBODY_133

NUM_SOURCE_JOINTS: Final = 133


def read_pose(folder: str, name: str) -> np.ndarray:
    """Read the keypoints of one clip.

    Args:
        folder: local or any fsspec URI.
        name: of the file, relative to the folder.

    Returns:
        `(frames, 69, 3)` float32: x, y in whatever unit the file has, and confidence.

    Raises:
        BadClipError: naming what is wrong with the file, or that there is none.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BadClipError(f"{name} leads out of the corpus")
    with clip_file(f"{folder}/{name}"):
        pose = load_pickle(f"{folder}/{name}", MAX_CLIP_BYTES)
    return keypoints_of(pose)


def keypoints_of(pose: Any) -> np.ndarray:
    """`(frames, 69, 3)` float32 of an unpickled file. Raises `BadClipError` like `read_pose`."""
    if not isinstance(pose, dict) or not {"keypoints", "scores"} <= pose.keys():
        raise BadClipError("the pickle is not a dict of keypoints and scores")
    keypoints, scores = pose["keypoints"], pose["scores"]
    for name, frames in (("keypoints", keypoints), ("scores", scores)):
        if not isinstance(frames, (list, tuple, np.ndarray)) or (isinstance(frames, np.ndarray) and not frames.ndim):
            raise BadClipError(f"{name} is a {type(frames).__name__}, expected a list of one array a frame")
    if len(keypoints) != len(scores):
        raise BadClipError(f"there are {len(keypoints)} frames of keypoints but {len(scores)} of scores")
    first, last = _stretch(pose, len(keypoints))
    if not 0 < last - first <= MAX_CLIP_FRAMES:
        raise BadClipError(f"the clip has {last - first} frames, expected 1 to {MAX_CLIP_FRAMES}")
    positions = _stacked(keypoints[first:last], "keypoints", 2)  # (frames, 133, 2)
    confidence = _stacked(scores[first:last], "scores", 1)  # (frames, 133, 1)
    joints = list(COCO_WHOLEBODY_133)
    clip = np.empty((CHANNELS, len(joints), last - first), dtype=np.float32)  # as normalisation wants it
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and `Clip.check` names it
        clip[:2] = positions.transpose(2, 1, 0)[:, joints]
        clip[2:] = confidence.transpose(2, 1, 0)[:, joints]
    return clip.transpose(2, 1, 0)


def _stretch(pose: dict[str, Any], num_frames: int) -> tuple[int, int]:
    """First and past-the-last frame of the clip in its file."""
    if "start" not in pose:
        return 0, num_frames
    start, end = pose["start"], pose.get("end")
    if not isinstance(start, (int, np.integer)) or not isinstance(end, (int, np.integer)):
        raise BadClipError(f"start and end are {type(start).__name__} and {type(end).__name__}, expected frame numbers")
    if not 0 <= start < end <= num_frames:
        raise BadClipError(f"start {start} and end {end} do not lie in the {num_frames} frames of the file")
    return int(start), int(end)


def _stacked(frames: Any, name: str, channels: int) -> np.ndarray:
    """The one person of all frames, `(frames, 133, channels)`."""
    usual = (1, NUM_SOURCE_JOINTS, channels) if channels > 1 else (1, NUM_SOURCE_JOINTS)
    people = [
        frame
        if isinstance(frame, np.ndarray) and frame.shape == usual
        else _person(frame, f"{name} of frame {index}", usual)
        for index, frame in enumerate(frames)
    ]
    return np.concatenate(people).reshape(-1, NUM_SOURCE_JOINTS, channels)


def _person(frame: Any, name: str, usual: tuple[int, ...]) -> np.ndarray:
    """An unusual frame, an array or nested lists, in the usual shape. Raises `BadClipError` if it is not one person."""
    shape = frame.shape if isinstance(frame, np.ndarray) else _listed_shape(frame)
    if len(shape) < 2:
        raise BadClipError(f"{name} are no array of (people, joints)")
    if shape[0] != 1:
        raise BadClipError(f"{name} have {shape[0]} people, expected exactly one")
    if shape[1] != NUM_SOURCE_JOINTS:
        raise BadClipError(f"{name} have {shape[1]} joints, expected {NUM_SOURCE_JOINTS}")
    if shape not in (usual, (1, NUM_SOURCE_JOINTS, math.prod(usual) // NUM_SOURCE_JOINTS)):
        raise BadClipError(f"{name} have shape {shape}")
    try:
        array = np.array(frame)
    except ValueError:  # so numpy says that lists are of unequal length
        array = np.empty(0)
    if array.shape != shape or array.dtype.kind not in "biuf":
        raise BadClipError(f"{name} are lists of unequal length, or hold something that is not a number")
    return array.reshape(usual)


def _listed_shape(part: Any) -> tuple[int, ...]:
    """The shape of nested lists, as their first items tell; at most 4 lengths, since a list may hold itself."""
    shape: list[int] = []
    while isinstance(part, (list, tuple)) and len(shape) < 4:
        shape.append(len(part))
        part = part[0] if part else None
    return tuple(shape)
