"""Clips as JSON: landmarks by frame, under the names that `corpus.landmarks` says they have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from signdpo.config import CorpusConfig, LandmarksConfig
from signdpo.corpora.labelled import LabelledSource, frames_of, scale_notes
from signdpo.corpora.source import MAX_CLIP_FRAMES, Entry
from signdpo.foreign.files import open_file, parse_json, read_file
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.formats import BY_NUM_JOINTS, MEDIAPIPE_PARTS, MEDIAPIPE_POINTS, to_layout
from signdpo.skeleton.people import MAX_PEOPLE, People

MAX_JSON_BYTES: Final = 64 * 1024**2  # as Python's objects, numbers take ten times their text
MAX_LINE_BYTES: Final = 1024**2  # a frame of 553 points takes 30 KB
SHARES: Final = "shares of the picture"
LINES: Final = (".jsonl", ".ndjson")
NAMED: Final = 4  # names of what is there, in a message
_NUMBER: Final = re.compile(r"[0-9]{1,9}")

Frames = Sequence[Any]  # of a clip, as JSON has them; None: a frame without anyone


class JsonSource(LabelledSource):
    """A folder of JSON files and a table of labels; a clip is `<id>.json` unless column `file` says otherwise.

    A file holds a list of frames, or an object that has one by number, where a number that is missing is a frame
    without anyone; in a `.jsonl` file each line is a frame. What a frame holds, and under which names, is in
    `corpus.landmarks`: the parts of MediaPipe Holistic, or all joints of a layout in one list.

    Args:
        corpus: see `LabelledSource`; `landmarks` counts, too.
    """

    kind = "json/1"
    ending = ".json"

    def __init__(self, corpus: CorpusConfig) -> None:
        super().__init__(corpus)
        self.landmarks = corpus.landmarks
        self.reading += f" {corpus.landmarks!r}"

    def keypoints(self, uri: str, stretch: tuple[int, int] | None) -> People:
        """All people in the file, in its unit."""
        frames = _in_lines(uri, stretch) if uri.lower().endswith(LINES) else _in_file(uri, self.landmarks, stretch)
        points, sightings = [], []
        for place, frame in enumerate(frames):
            try:
                there = [_points(person, self.landmarks) for person in _people(frame, self.landmarks)]
            except BadClipError as error:
                raise BadClipError(f"frame {place + (stretch[0] if stretch else 0)}: {error}") from error
            points += there
            sightings += [place] * len(there)
        if not points:
            raise BadClipError(_nobody(frames, self.landmarks))
        counts = {len(person) for person in points}
        if len(counts) > 1:
            raise BadClipError(f"frames have {' and '.join(map(str, sorted(counts)))} joints")
        stacked = np.stack(points)  # (sightings, joints, 3)
        joint_map = MEDIAPIPE_POINTS if self.landmarks.joints is None else BY_NUM_JOINTS[stacked.shape[1]]
        notes = tuple(scale_notes(stacked, SHARES, SHARES))
        return People(to_layout(stacked, joint_map), np.array(sightings, np.int64), len(frames), notes)

    def _other_places(self, entry: Entry) -> Iterator[str]:
        for place in super()._other_places(entry):
            yield place
            yield from (place.replace(self.ending, ending) for ending in LINES)


def _in_lines(uri: str, stretch: tuple[int, int] | None) -> Frames:
    """The frames of a stretch of a file with one in each line; what comes after it is not read."""
    first, last = stretch or (0, MAX_CLIP_FRAMES + 1)
    wanted: list[bytes] = []
    count = size = 0
    with open_file(uri) as file:
        while count < last and (line := file.readline(MAX_LINE_BYTES + 1)):
            if len(line) > MAX_LINE_BYTES:
                raise BadClipError(f"the line of frame {count} is longer than {MAX_LINE_BYTES} bytes")
            if not line.strip():
                continue
            if count >= first:
                size += len(line)
                wanted.append(line)
            if size > MAX_JSON_BYTES:
                raise BadClipError(f"the clip takes more than {MAX_JSON_BYTES / 1024**2:.0f} MiB of the file")
            count += 1
    frames_of(stretch, count)
    return [parse_json(line) for line in wanted]


def _in_file(uri: str, landmarks: LandmarksConfig, stretch: tuple[int, int] | None) -> Frames:
    """The frames of a stretch of a file that is one value of JSON."""
    listed = _listed(parse_json(read_file(uri, MAX_JSON_BYTES)), landmarks)
    frames = frames_of(stretch, len(listed))
    return listed[frames.start : frames.stop]


def _listed(content: Any, landmarks: LandmarksConfig) -> Frames:
    """The frames of what a file holds. Raises `BadClipError` if they are not where `landmarks.frames` says."""
    frames = content if landmarks.frames is None else _inside(content, landmarks.frames)
    if isinstance(frames, Mapping) and frames and all(map(_NUMBER.fullmatch, frames)):
        numbered = {int(number): frame for number, frame in frames.items()}
        first, last = min(numbered), max(numbered)
        if last - first >= MAX_CLIP_FRAMES:
            raise BadClipError(f"frames are numbered {first} to {last}, at most {MAX_CLIP_FRAMES} are read")
        return [numbered.get(number) for number in range(first, last + 1)]
    if not isinstance(frames, list):
        where = "the file" if landmarks.frames is None else repr(landmarks.frames)
        there = f"; the file has {_named(content)}" if isinstance(content, Mapping) else ""
        raise BadClipError(
            f"{where} is no list of frames{there}: set corpus.landmarks.frames to the name that the frames have"
        )
    return frames


def _people(frame: Any, landmarks: LandmarksConfig) -> list[Any]:
    """Those in a frame who have any landmark. Raises `BadClipError`."""
    if frame is None:
        return []
    if not isinstance(frame, Mapping):
        raise BadClipError(f"it is a {type(frame).__name__}, expected an object")
    people = [frame] if landmarks.people is None else _inside(frame, landmarks.people) or []
    if not isinstance(people, list):
        raise BadClipError(f"{landmarks.people!r} is a {type(people).__name__}, expected a list of people")
    if len(people) > MAX_PEOPLE:
        raise BadClipError(f"there are {len(people)} people, at most {MAX_PEOPLE} are read")
    return [person for person in people if any(_inside(person, name) for name in _names(landmarks))]


def _names(landmarks: LandmarksConfig) -> list[str]:
    """Under which names a person's landmarks are."""
    return [landmarks.joints] if landmarks.joints else [getattr(landmarks, part) for part in MEDIAPIPE_PARTS]


def _points(person: Any, landmarks: LandmarksConfig) -> np.ndarray:
    """The `(joints, 3)` float32 of a person: x, y and confidence."""
    if landmarks.joints is not None:
        return _joints(person, landmarks.joints, landmarks.confidence)
    parts = []
    for part, (fewest, most) in MEDIAPIPE_PARTS.items():
        name = getattr(landmarks, part)
        given = _inside(person, name) or []
        points = np.zeros((most, 3), np.float32)
        if given:
            read = _numbers(given, name, landmarks.confidence)
            if not fewest <= len(read) <= most:
                raise BadClipError(f"{name} has {len(read)} points, expected {fewest} to {most} of MediaPipe")
            points[: len(read)] = read
        parts.append(points)
    return np.concatenate(parts)


def _joints(person: Any, name: str, confidence: str | int | None) -> np.ndarray:
    """All joints of a layout in one list; their confidences within it, or in another list of that name."""
    scores = _inside(person, confidence) if isinstance(confidence, str) else None
    within = None if scores is not None else 2 if confidence is None else confidence
    points = _numbers(_inside(person, name), name, within)
    if len(points) not in BY_NUM_JOINTS:
        raise BadClipError(f"{name} has {len(points)} joints, expected {', '.join(map(str, BY_NUM_JOINTS))}")
    if scores is not None:
        if not isinstance(scores, list) or len(scores) != len(points):
            raise BadClipError(f"{confidence} is not a list of {len(points)} confidences, one of each of {name}")
        points[:, 2] = [_number(score, str(confidence)) for score in scores]
    return points


def _numbers(points: Any, name: str, confidence: str | int | None) -> np.ndarray:
    """`(points, 3)` float32 of a list of points, each a list of numbers or an object with x and y.

    Args:
        points: of JSON; null for one that was not found.
        name: what they are called.
        confidence: its place or name in each point; None: what is there is sure.
    """
    if not isinstance(points, list):
        raise BadClipError(f"{name} is a {type(points).__name__}, expected a list of points")
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and `Clip.check` names it
            if (regular := _regular(points)) is None or isinstance(confidence, str):
                return np.array([_row(point, name, confidence) for point in points], np.float32).reshape(-1, 3)
            if confidence is not None and confidence >= regular.shape[1]:
                raise BadClipError(f"a point of {name} has {regular.shape[1]} numbers, and none at place {confidence}")
            sure = np.ones(len(regular)) if confidence is None else regular[:, confidence]
            return np.column_stack([regular[:, :2], sure]).astype(np.float32)
    except OverflowError as error:
        raise BadClipError(f"{name} holds a number that is too large: {error}") from error


def _regular(points: list[Any]) -> np.ndarray | None:
    """Lists of as many numbers each as one array, as most files have them; None of anything else."""
    try:
        array = np.array(points)
    except (ValueError, OverflowError):  # of unlike lengths
        return None
    return array if array.dtype.kind in "fiu" and array.ndim == 2 and array.shape[1] >= 2 else None


def _row(point: Any, name: str, confidence: str | int | None) -> list[float]:
    """x, y and confidence; nothing of a point that is null. Raises `BadClipError`."""
    if point is None:
        return [0.0, 0.0, 0.0]
    if isinstance(point, Mapping) and {"x", "y"} <= point.keys():
        if isinstance(confidence, str) and confidence not in point:
            raise BadClipError(f"a point of {name} has {_named(point)}, and no {confidence}")
        values = [point["x"], point["y"], point[confidence] if isinstance(confidence, str) else 1.0]
    elif isinstance(point, list) and not isinstance(confidence, str) and len(point) > max(confidence or 0, 1):
        values = [*point[:2], 1.0 if confidence is None else point[confidence]]
    else:
        place = "" if confidence is None else f" and, for its confidence, {confidence}"
        raise BadClipError(f"a point of {name} is {point!r:.40}, expected x and y{place}")
    return [_number(value, name) for value in values]


def _number(value: Any, name: str) -> float:
    if value is None:
        return float("nan")
    if type(value) not in (int, float):
        raise BadClipError(f"{name} holds {value!r:.40}, which is not a number")
    return float(value)


def _inside(value: Any, path: str) -> Any:
    """What is under names with dots between them; None if nothing is."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _named(content: Mapping[str, Any]) -> str:
    names = ", ".join(f"{name!r:.40}" for name in list(content)[:NAMED])
    return (names or "nothing") + (f" and {len(content) - NAMED} more" if len(content) > NAMED else "")


def _nobody(frames: Frames, landmarks: LandmarksConfig) -> str:
    """Why no frame has anyone: nothing was detected, or names are others."""
    names = ", ".join(_names(landmarks))
    frame = next((frame for frame in frames if frame), None)
    there = f"; a frame has {_named(frame)}" if isinstance(frame, Mapping) else ""
    where = f" of {landmarks.people}" if landmarks.people else ""
    return f"no frame has anything under {names}{where}{there}: is that what corpus.landmarks should name?"
