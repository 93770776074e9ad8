"""Corpora in the on-disk layout of the public Uni-Sign release (Li et al., ICLR 2025): CSL-Daily, How2Sign, OpenASL."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np

from signdpo.config import CorpusConfig
from signdpo.corpora.source import Entry, with_files
from signdpo.corpora.unpickling import MEBIBYTE, load_pickle
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.skeleton.layout import COCO_WHOLEBODY_133
from signdpo.storage import absolute

NUM_SOURCE_JOINTS: Final = 133
MAX_CLIP_FRAMES: Final = 100_000  # an hour at 25 frames a second: no sentence, and more than should be stacked
MAX_CLIP_BYTES: Final = 256 * MEBIBYTE
MAX_LABELS_BYTES: Final = 1024 * MEBIBYTE


class UniSignSource:
    """A folder with `labels.train`, `labels.dev`, `labels.test` and `pose_format/`.

    The labels are pickles, gzip or plain, of `id -> {name, gloss, text, video_path}`. The clip of `<name>.mp4` is
    `pose_format/<name>.pkl`, a pickled dict of `keypoints` (per frame `(1, 133, 2)`), `scores` (per frame `(1, 133)`)
    and, where a file holds more than the clip, the first and past-the-last frame `start` and `end`.

    Args:
        corpus: `root` (the folder, local or any fsspec URI) and `language` count.
    """

    def __init__(self, corpus: CorpusConfig) -> None:
        self.root = absolute(str(corpus.root))
        self.language = corpus.language
        self.reading = f"uni_sign/1 {self.root}"

    def entries(self, split: str) -> list[Entry]:
        """List a split in the order of its labels.

        A label that lacks a field is listed with an empty one, so that reading its clip names what is wrong.

        Raises:
            FileNotFoundError: if there is no labels file.
            BadClipError: if the labels file cannot be read, or is no mapping of ids to labels.
        """
        path = self._labels_path(split)
        try:
            labels = load_pickle(path, MAX_LABELS_BYTES)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{path} is missing: a Uni-Sign corpus has labels.{{train,dev,test}} and pose_format/ in its folder; "
                f"check corpus.root={self.root}"
            ) from error
        except BadClipError as error:
            raise BadClipError(f"{path}: {error}") from error
        if not isinstance(labels, dict) or not all(isinstance(label, dict) for label in labels.values()):
            raise BadClipError(f"{path} is not a mapping of ids to labels (name, gloss, text, video_path)")
        entries = [_entry(str(id_), split, label) for id_, label in labels.items()]
        return with_files(entries, f"{self.root}/pose_format", _pose_name)

    def read(self, entry: Entry) -> Clip:
        """Read one clip: keypoints `(frames, 69, 3)` float32, in whatever unit the corpus has (mostly shares of the
        picture's width and height).

        Raises:
            BadClipError: naming the file and what is wrong with it.
        """
        path = self._pose_path(entry.location)
        try:
            pose = load_pickle(path, MAX_CLIP_BYTES)
        except FileNotFoundError as error:
            raise BadClipError(f"{path} is missing") from error
        keypoints = _keypoints(pose)
        return Clip(entry.id, entry.text, keypoints, gloss=entry.gloss, signer=entry.signer)

    def _labels_path(self, split: str) -> str:
        return f"{self.root}/labels.{split}"

    def _pose_path(self, location: str) -> str:
        if not location:
            raise BadClipError("the label has no video_path")
        path = PurePosixPath(location)
        if path.is_absolute() or ".." in path.parts:
            raise BadClipError(f"video_path {location} leads out of the corpus")
        return f"{self.root}/pose_format/{_pose_name(location)}"


def _pose_name(location: str) -> str:
    return location.replace(".mp4", ".pkl")


def _entry(id_: str, split: str, label: dict[Any, Any]) -> Entry:
    text, location, gloss = label.get("text"), label.get("video_path"), label.get("gloss", ())
    if isinstance(gloss, str):
        gloss = gloss.split()
    return Entry(
        id=id_,
        split=split,
        location=location if isinstance(location, str) else "",
        text=text if isinstance(text, str) else "",
        gloss=tuple(map(str, gloss)) if isinstance(gloss, (list, tuple)) else (),
    )


def _keypoints(pose: Any) -> np.ndarray:
    """`(frames, 69, 3)` float32 of an unpickled pose file. Raises `BadClipError`."""
    if not isinstance(pose, dict) or not {"keypoints", "scores"} <= pose.keys():
        raise BadClipError("the pickle is not a dict of keypoints and scores")
    keypoints, scores = pose["keypoints"], pose["scores"]
    for name, frames in (("keypoints", keypoints), ("scores", scores)):
        if not isinstance(frames, (list, tuple, np.ndarray)):
            raise BadClipError(f"{name} is a {type(frames).__name__}, expected a list of one array a frame")
    if len(keypoints) != len(scores):
        raise BadClipError(f"there are {len(keypoints)} frames of keypoints but {len(scores)} of scores")
    first, last = _stretch(pose, len(keypoints))
    if not 0 < last - first <= MAX_CLIP_FRAMES:
        raise BadClipError(f"the clip has {last - first} frames, expected 1 to {MAX_CLIP_FRAMES}")
    joints = list(COCO_WHOLEBODY_133)
    positions = np.stack(list(_people(keypoints[first:last], "keypoints", 2)))  # (frames, 133, 2)
    confidence = np.stack(list(_people(scores[first:last], "scores", 1)))  # (frames, 133, 1)
    return np.concatenate([positions[:, joints], confidence[:, joints]], axis=-1, dtype=np.float32)


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


def _people(frames: Any, name: str, channels: int) -> Iterator[np.ndarray]:
    """The one person of each frame, `(133, channels)`."""
    for index, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray) or frame.ndim < 2:
            raise BadClipError(f"{name} of frame {index} are no array of (people, joints)")
        if len(frame) != 1:
            raise BadClipError(f"frame {index} has {len(frame)} people, expected exactly one")
        if frame.shape[1] != NUM_SOURCE_JOINTS:
            raise BadClipError(f"frame {index} has {frame.shape[1]} joints, expected {NUM_SOURCE_JOINTS}")
        if math.prod(frame.shape) != NUM_SOURCE_JOINTS * channels:
            raise BadClipError(f"{name} of frame {index} have shape {frame.shape}")
        yield frame.reshape(NUM_SOURCE_JOINTS, channels)
