"""Clips as OpenPose writes them: a folder a clip, a JSON file a frame, in the tree of How2Sign or in any folder."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import fsspec
import numpy as np

from signdpo.corpora.labelled import LabelledSource, frames_of, scale_notes
from signdpo.corpora.labels import SPELLINGS
from signdpo.corpora.source import MAX_CLIP_BYTES, MAX_CLIP_FRAMES
from signdpo.foreign.files import parse_json, read_file, refuse_instead_of_data
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.formats import OPENPOSE_137, to_layout
from signdpo.skeleton.people import MAX_PEOPLE, People
from signdpo.storage.files import exists, is_local, join, list_folder

MAX_FRAME_BYTES: Final = 1024**2  # one person takes 4 KB

# What a person is made of, in the order of `OPENPOSE_137`: a key, which has `_2d` behind it since format 1.2, and its
# number of points.
BODY_25: Final = 25
PARTS: Final = (
    ("pose_keypoints", BODY_25),
    ("face_keypoints", 70),
    ("hand_left_keypoints", 21),
    ("hand_right_keypoints", 21),
)
NUM_POINTS: Final = sum(points for _, points in PARTS)
SINCE_1_2: Final = "_2d"
# The body of `--model_pose COCO`, the usual one of format 1.0, among the points of BODY_25, which has the middle of the
# hips and the feet besides.
COCO_18: Final = (*range(8), *range(9, 19))
# What coordinates are that are no pixels.
SCALES: Final = (
    "shares of the picture (OpenPose's keypoint_scale=3)",
    "halves of the picture, -1 to 1 (OpenPose's keypoint_scale=4)",
)
NAMED_KEYS: Final = 3
FEWEST_OF_A_STEP: Final = 3  # files: of two the gap between them may as well be a loss

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
    files are `<anything>_<number>_keypoints.json` (body of BODY_25 or COCO, face and hands). A number without a file is
    a frame without anyone. The folders lie in the folder of the corpus, or below it as How2Sign has them: in
    `openpose_output/json`, or in that of `train_2D_keypoints`, `val_2D_keypoints` and `test_2D_keypoints`.

    Args:
        corpus: see `LabelledSource`.
    """

    kind = "openpose/3"
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
        """All people in the files, in pixels or shares of the picture."""
        files, step = _frame_files(uri)
        frames = frames_of(stretch, max(files) + 1)
        wanted = [frame for frame in frames if frame in files]
        people = [np.empty((0, NUM_POINTS, 3), np.float32)]
        contents = _contents(uri, [files[frame] for frame in wanted])
        people += [_people(content, files[frame][0]) for content, frame in zip(contents, wanted, strict=True)]
        counts = [len(there) for there in people[1:]]
        points = np.concatenate(people)  # (sightings, 137, 3)
        sightings = np.repeat(np.array(wanted, dtype=np.int64) - frames.start, counts)
        notes = (*_gap_notes(len(wanted), len(frames), step), *scale_notes(points, *SCALES))
        return People(to_layout(points, OPENPOSE_137), sightings, len(frames), notes)


def _frame_files(uri: str) -> tuple[dict[int, tuple[str, int]], int]:
    """Frame -> name and size of its file, and the step of the numbers in the names.

    Frames are counted from the first number that is there; where all numbers are multiples of a step from it, as those
    of every fifth frame of a video, they follow each other.

    Raises:
        FileNotFoundError: if there is no such folder.
        BadClipError: if the folder holds something else than the frames of one clip.
    """
    there = {name: info for name, info in list_folder(uri).items() if not name.startswith(".")}  # of macOS: ._name
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
        if following == number:
            raise BadClipError(f"frame {number} is there twice, as {name} and as {next_name}")
    first = ordered[0][0]
    step = math.gcd(*(number - first for number, _ in ordered)) if len(ordered) >= FEWEST_OF_A_STEP else 1
    return {(number - first) // step: (name, there[name].size) for number, name in ordered}, step


def _gap_notes(found: int, frames: int, step: int) -> Iterator[str]:
    """What is to be said of the numbering. Raises `BadClipError` if more frames are missing than are there."""
    if frames > 2 * found:
        raise BadClipError(f"{frames - found} of {frames} frames have no file: more are missing than are there")
    if frames > found:
        yield f"{frames - found} of {frames} frames have no file, and became frames without anyone"
    if step > 1:
        yield f"frames are numbered in steps of {step}, and taken as following each other"


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
    if person and not person.keys() & {f"{key}{suffix}" for key, _ in PARTS for suffix in ("", SINCE_1_2)}:
        raise BadClipError(
            f"a person has {', '.join(map(repr, list(person)[:NAMED_KEYS]))}, expected pose_keypoints_2d and its kin, "
            "or pose_keypoints as in format 1.0"
        )
    return np.concatenate([_part(person, key, points) for key, points in PARTS])


def _part(person: dict[str, Any], key: str, points: int) -> np.ndarray:
    """The points of a part, `(points, 3)` float32; of one that OpenPose was not asked for there is nothing."""
    if f"{key}{SINCE_1_2}" in person:
        key += SINCE_1_2
    numbers = person.get(key, [])
    known = (points, len(COCO_18)) if points == BODY_25 else (points,)
    if not isinstance(numbers, list) or len(numbers) not in (0, *(3 * count for count in known)):
        found = f"{len(numbers)} numbers" if isinstance(numbers, list) else f"a {type(numbers).__name__}"
        expected = " or ".join(str(3 * count) for count in known)
        raise BadClipError(f"{key} has {found}, expected {expected}")
    if not all(type(number) in (int, float) for number in numbers):
        raise BadClipError(f"{key} holds something that is not a number")
    part = np.zeros((points, 3), np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and `Clip.check` names it
        given = np.array(numbers, dtype=np.float32).reshape(-1, 3)
    part[list(COCO_18 if len(given) == len(COCO_18) else range(len(given)))] = given
    return part
