"""Poses as the public Uni-Sign release (Li et al., ICLR 2025) pickles them, one file a clip.

A file holds a dict of `keypoints` (per frame an array `(1, 133, 2)` of COCO-WholeBody joints, mostly as shares of the
picture's width and height), `scores` (per frame `(1, 133)`) and, where it is longer than the clip, the first and
past-the-last frame `start` and `end`. Some users' files have nested lists instead of arrays, frames of several
people or of nobody, or arrays `(133, 2)` and `(133,)`, which are one person. Other keys are ignored.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np

from signdpo.corpora.source import MAX_CLIP_BYTES, MAX_CLIP_FRAMES, clip_file
from signdpo.foreign.restricted_pickle import load_pickle
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.layout import CHANNELS, COCO_WHOLEBODY_133
from signdpo.skeleton.people import People

NUM_SOURCE_JOINTS: Final = 133


def read_pose(folder: str, name: str) -> People:
    """Read all people of one clip.

    Args:
        folder: local or any fsspec URI.
        name: of the file, relative to the folder.

    Returns:
        Their keypoints in whatever unit the file has.

    Raises:
        BadClipError: naming what is wrong with the file, or that there is none.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BadClipError(f"{name} leads out of the corpus")
    with clip_file(f"{folder}/{name}"):
        pose = load_pickle(f"{folder}/{name}", MAX_CLIP_BYTES)
    return people_of(pose)


def people_of(pose: Any) -> People:
    """All people of an unpickled file. Raises `BadClipError` like `read_pose`."""
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
    positions, counts = _sightings(keypoints[first:last], "keypoints", 2)  # (sightings, 133, 2)
    confidence, others = _sightings(scores[first:last], "scores", 1)  # (sightings, 133, 1)
    if counts != others:
        frame = next(frame for frame in range(last - first) if counts[frame] != others[frame])
        raise BadClipError(f"frame {frame} has {counts[frame]} people in keypoints but {others[frame]} in scores")
    joints = list(COCO_WHOLEBODY_133)
    clip = np.empty((CHANNELS, len(joints), len(positions)), dtype=np.float32)  # as normalisation wants it
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and `Clip.check` names it
        clip[:2] = positions.transpose(2, 1, 0)[:, joints]
        clip[2:] = confidence.transpose(2, 1, 0)[:, joints]
    return People(clip.transpose(2, 1, 0), np.repeat(np.arange(last - first), counts), last - first)


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


def _sightings(frames: Any, name: str, channels: int) -> tuple[np.ndarray, list[int]]:
    """All people of all frames, `(sightings, 133, channels)`, and how many of them are in each frame."""
    usual = (1, NUM_SOURCE_JOINTS, channels) if channels > 1 else (1, NUM_SOURCE_JOINTS)
    people = [
        frame
        if isinstance(frame, np.ndarray) and frame.shape == usual
        else _people(frame, f"{name} of frame {index}", channels)
        for index, frame in enumerate(frames)
    ]
    return np.concatenate(people).reshape(-1, NUM_SOURCE_JOINTS, channels), [len(there) for there in people]


def _people(frame: Any, name: str, channels: int) -> np.ndarray:
    """An unusual frame, an array or nested lists, as `(people, 133, channels)`, or `(people, 133)` of one channel."""
    shape = frame.shape if isinstance(frame, np.ndarray) else _listed_shape(frame)
    shapes = {1: ((), (1,)), 2: ((2,),)}[channels]  # of a joint
    if frame is None or shape[:1] == (0,):
        return np.empty((0, NUM_SOURCE_JOINTS, *shapes[0]))
    if len(shape) == 1 + len(shapes[0]) or shape == (NUM_SOURCE_JOINTS, 1):  # without an axis of people: one person
        people, joints, joint = 1, shape[0], shape[1:]
    elif len(shape) < 2:
        raise BadClipError(f"{name} are no array of (people, joints)")
    else:
        people, joints, joint = shape[0], shape[1], shape[2:]
    if joint not in shapes:
        raise BadClipError(f"{name} have shape {shape}")
    if joints != NUM_SOURCE_JOINTS:
        raise BadClipError(f"{name} have {joints} joints, expected {NUM_SOURCE_JOINTS}")
    try:
        array = np.array(frame)
    except ValueError:  # so numpy says that lists are of unequal length
        array = np.empty(0)
    if array.shape != shape or array.dtype.kind not in "biuf":
        raise BadClipError(f"{name} are lists of unequal length, or hold something that is not a number")
    return array.reshape(people, NUM_SOURCE_JOINTS, *shapes[0])


def _listed_shape(part: Any) -> tuple[int, ...]:
    """The shape of nested lists, as their first items tell; at most 4 lengths, since a list may hold itself."""
    shape: list[int] = []
    while isinstance(part, (list, tuple)) and len(shape) < 4:
        shape.append(len(part))
        part = part[0] if part else None
    return tuple(shape)
