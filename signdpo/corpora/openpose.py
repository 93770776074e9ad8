"""Clips as OpenPose writes them: a folder a clip, a JSON file a frame, in the tree of How2Sign or in any folder."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import fsspec
import numpy as np

from signdpo.corpora.labelled import LabelledSource, frames_of
from signdpo.corpora.labels import SPELLINGS
from signdpo.corpora.source import MAX_CLIP_BYTES, MAX_CLIP_FRAMES
from signdpo.foreign.files import parse_json, read_file, refuse_instead_of_data
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.formats import OPENPOSE_137, to_layout
from signdpo.skeleton.people import MAX_PEOPLE, People
from signdpo.storage.files import exists, is_local, join, list_folder

MAX_FRAME_BYTES: Final = 1024**2  # one person takes 4 KB

# What a person is made of, in the order of `OPENPOSE_137`: a key and its number of points.
PARTS: Final = (
    ("pose_keypoints_2d", 25),
    ("face_keypoints_2d", 70),
    ("hand_left_keypoints_2d", 21),
    ("hand_right_keypoints_2d", 21),
)
NUM_POINTS: Final = sum(points for _, points in PARTS)

# Where the folders of clips are, from the folder of the corpus: How2Sign's downloads unpacked beside each other, those
# of its own script, one of them, or the folders themselves.
_FOLDERS: Final = (
    "{split}_2D_keypoints/openpose_output/json/",
    "{split}/rgb_front/features/openpose_output/json/",
    "openpose_output/json/",
    "json/",
)
_FRAME_NAME: Final = re.compile(r"(.*?)_?([0-9]+)_keypoints\.json")


class OpenPoseSource(LabelledSource):
    """A folder with a folder of OpenPose's JSON files for each clip, and a table of labels.

    A clip's folder is called as its id (for How2Sign the `SENTENCE_NAME`) unless column `file` says otherwise, and its
    files are `<anything>_<number>_keypoints.json` (BODY_25, face and hands). The folders lie in the folder of the
    corpus, or below it as How2Sign has them: in `openpose_output/json`, or in that of `train_2D_keypoints`,
    `val_2D_keypoints` and `test_2D_keypoints`.

    Args:
        corpus: see `LabelledSource`.
    """

    kind = "openpose/2"
    ending = ""

    def folder(self, split: str) -> str:
        """Where the clips of a split are, from the folder of the corpus."""
        for pattern in _FOLDERS:
            for name in SPELLINGS[split]:
                folder = pattern.replace("{split}", name)
                if exists(join(self.root, folder.rstrip("/"))):
                    return folder
        return ""

    def keypoints(self, uri: str, stretch: tuple[int, int] | None) -> People:
        """All people in the files, in pixels."""
        files = _frame_files(uri)
        frames = frames_of(stretch, len(files))
        wanted = files[frames.start : frames.stop]
        people = [_people(content, name) for content, (name, _) in zip(_contents(uri, wanted), wanted, strict=True)]
        counts = [len(there) for there in people]
        return People(
            to_layout(np.concatenate(people), OPENPOSE_137), np.repeat(np.arange(len(frames)), counts), len(frames)
        )


def _frame_files(uri: str) -> list[tuple[str, int]]:
    """Names and sizes of a clip's files in the order of their numbers. Raises `BadClipError` if some are missing."""
    there = list_folder(uri)
    if not there:
        raise FileNotFoundError(uri)
    named = [(match, name) for name in there if (match := _FRAME_NAME.fullmatch(name))]
    if not named:
        raise BadClipError(f"{uri} holds no file called <name>_<number>_keypoints.json")
    if len(named) > MAX_CLIP_FRAMES or sum(there[name].size for _, name in named) > MAX_CLIP_BYTES:
        raise BadClipError(f"{uri} holds more than {MAX_CLIP_FRAMES} frames or {MAX_CLIP_BYTES} bytes")
    if odd := next((name for _, name in named if there[name].size > MAX_FRAME_BYTES), None):
        raise BadClipError(f"{odd} takes {there[odd].size} bytes, at most {MAX_FRAME_BYTES}")
    if len({match[1] for match, _ in named}) > 1:
        raise BadClipError(f"{uri} holds frames of several clips, such as {named[0][1]} and {named[-1][1]}")
    ordered = sorted((int(match[2]), name) for match, name in named)
    for (number, name), (following, next_name) in itertools.pairwise(ordered):
        if following != number + 1:
            raise BadClipError(f"frames are missing or there twice: after {name} comes {next_name}")
    return [(name, there[name].size) for _, name in ordered]


def _contents(uri: str, files: list[tuple[str, int]]) -> Iterable[bytes | Exception]:
    """The contents of files of these names and sizes, or what became of one of them."""
    if is_local(uri):
        return (_content(join(uri, name)) for name, _ in files)
    filesystem, folder = fsspec.core.url_to_fs(uri)
    # All at once, which object stores answer in parallel; `cat` would take brackets in a name for a pattern.
    contents: list[bytes | Exception] = filesystem.cat_ranges(
        [f"{folder}/{name}" for name, _ in files], 0, [size for _, size in files]
    )
    return contents


def _content(uri: str) -> bytes | Exception:
    try:
        return read_file(uri, MAX_FRAME_BYTES)
    except BadClipError as error:
        return error


def _people(content: bytes | Exception, name: str) -> np.ndarray:
    """The `(people, 137, 3)` float32 in a frame's file. Raises `BadClipError`."""
    try:
        if isinstance(content, Exception):
            raise content
        refuse_instead_of_data(content)
        people = parse_json(content)["people"]
        if len(people) > MAX_PEOPLE:
            raise BadClipError(f"there are {len(people)} people, at most {MAX_PEOPLE} are read")
        return np.array([*map(_points, people)], np.float32).reshape(-1, NUM_POINTS, 3)
    except BadClipError as error:
        raise BadClipError(f"{name}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise BadClipError(f"{name} is no frame of OpenPose's JSON: {type(error).__name__}: {error}") from error


def _points(person: dict[str, Any]) -> np.ndarray:
    return np.concatenate(list(_parts(person)))


def _parts(person: dict[str, Any]) -> Iterator[np.ndarray]:
    """The points of each part, `(points, 3)` float32; a part OpenPose was not asked for is an empty list."""
    for key, points in PARTS:
        numbers = person.get(key, [])
        if not isinstance(numbers, list) or len(numbers) not in (0, 3 * points):
            found = f"{len(numbers)} numbers" if isinstance(numbers, list) else f"a {type(numbers).__name__}"
            raise BadClipError(f"{key} has {found}, expected {3 * points}")
        if not all(type(number) in (int, float) for number in numbers):
            raise BadClipError(f"{key} holds something that is not a number")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and `Clip.check` names it
            yield np.array(numbers or [0.0] * 3 * points, dtype=np.float32).reshape(points, 3)
