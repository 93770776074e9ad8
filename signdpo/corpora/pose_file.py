"""Clips in `.pose` files: MediaPipe Holistic (whole or reduced), OpenPose or COCO-WholeBody keypoints.

The format is that of the pose-format library (https://github.com/sign-language-processing/pose, docs/specs), versions
0.0, 0.1 and 0.2. The library reads the headers; the bodies are read here, because the library believes whatever sizes a
file claims, drops everyone but the first person of a version 0.0, and (0.15) gives the wrong frames when asked for a
stretch that begins near the start of a file.
"""

from __future__ import annotations

import importlib.util
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.labelled import LabelledSource, frames_of
from signdpo.corpora.source import MAX_CLIP_BYTES
from signdpo.foreign.files import open_file
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.formats import JointMap, map_by_name, to_layout, to_people
from signdpo.skeleton.people import People

MAX_HEADER_BYTES: Final = 64 * 1024  # that of a whole MediaPipe Holistic takes 15 KB
FLOAT: Final = np.dtype("<f4")
# What a body begins with, by version: frames a second, number of frames and, but for 0.0, of people.
COUNTS: Final = {"0.0": "<HH", "0.1": "<HHH", "0.2": "<fIH"}


class PoseFileSource(LabelledSource):
    """A folder of `.pose` files and a table of labels; a clip is `<id>.pose` unless column `file` says otherwise.

    Args:
        corpus: see `LabelledSource`.

    Raises:
        ConfigError: if the pose-format library is not installed.
    """

    kind = "pose/2"
    ending = ".pose"

    def __init__(self, corpus: CorpusConfig) -> None:
        if importlib.util.find_spec("pose_format") is None:
            raise ConfigError("corpus.kind=pose needs the pose-format library: pip install 'signdpo[poses]'")
        super().__init__(corpus)

    def keypoints(self, uri: str, stretch: tuple[int, int] | None) -> People:
        """All people in the file, in its unit, mostly pixels."""
        with open_file(uri) as file:
            header = _read_header(file)
            return _read_body(file, header, stretch)


@dataclass(frozen=True)
class _Header:
    """What the reading of a body needs.

    Args:
        version: "0.0", "0.1" or "0.2".
        end: where the body begins, in bytes.
        body_bytes: all that follows.
        components: of each, such as "XYZC", its format's length and its number of points.
        joint_map: to our layout.
    """

    version: str
    end: int
    body_bytes: int
    components: tuple[tuple[int, int], ...]
    joint_map: JointMap


def _read_header(file: BinaryIO) -> _Header:
    from pose_format.pose_header import PoseHeader
    from pose_format.utils.reader import BufferReader

    file_bytes = file.seek(0, 2)
    file.seek(0)
    reader = BufferReader(file.read(MAX_HEADER_BYTES))
    try:
        header: Any = PoseHeader.read(reader)
    except Exception as error:  # nothing in the library expects a damaged file: its errors are of any kind
        raise BadClipError(f"damaged .pose file, its header cannot be read, or is cut off: {error}") from error
    version = f"{header.version:.1f}"
    if abs(header.version - float(version)) > 1e-3 or version not in COUNTS:
        raise BadClipError(f".pose file of version {header.version:g}, known are {', '.join(COUNTS)}")
    for component in header.components:
        if component.format[:2] != "XY" or component.format[-1] != "C":
            raise BadClipError(f"component {component.name} has format {component.format}, expected XYC or XYZC")
    return _Header(
        version,
        reader.read_offset,
        file_bytes - reader.read_offset,
        tuple((len(component.format), len(component.points)) for component in header.components),
        map_by_name([(component.name, component.points) for component in header.components]),
    )


def _read_body(file: BinaryIO, header: _Header, stretch: tuple[int, int] | None) -> People:
    fields = struct.Struct(COUNTS[header.version])
    file.seek(header.end)
    content = file.read(fields.size)
    if len(content) < fields.size:
        raise BadClipError("the .pose file is cut off: it ends after its header")
    body_bytes = header.body_bytes - fields.size
    num_points = sum(points for _, points in header.components)
    if header.version == "0.0":
        _, num_frames = fields.unpack(content)
        frames = frames_of(stretch, num_frames)
        _refuse_too_large(max(num_frames * num_points * 3 * FLOAT.itemsize, body_bytes))
        return _people_by_frame(file.read(body_bytes), header, num_frames, frames)
    _, num_frames, people = fields.unpack(content)
    dimensions = max(length for length, _ in header.components) - 1
    frame_bytes = people * num_points * (dimensions + 1) * FLOAT.itemsize
    if frame_bytes == 0:
        raise BadClipError(f"the .pose file holds {people} people of {num_points} points, expected one person")
    if header.version == "0.1":
        # Its count has two bytes only and has overflowed in long files: the size of the file tells.
        num_frames += max((body_bytes // frame_bytes - num_frames) // 2**16, 0) * 2**16
    if num_frames * frame_bytes != body_bytes:
        what = "is cut off: it promises" if num_frames * frame_bytes > body_bytes else "promises"
        raise BadClipError(
            f"the .pose file {what} {num_frames} frames of {frame_bytes} bytes each, but {body_bytes} bytes follow"
        )
    frames = frames_of(stretch, num_frames)
    _refuse_too_large(len(frames) * frame_bytes)
    arrays, begin = [], header.end + fields.size
    for channels in (dimensions, 1):  # all coordinates, then all confidences
        size = people * num_points * channels * FLOAT.itemsize
        file.seek(begin + frames.start * size)
        array = np.frombuffer(file.read(len(frames) * size), FLOAT)
        arrays.append(array.reshape(len(frames), people, num_points, channels)[..., :2])
        begin += num_frames * size
    return to_people(np.concatenate(arrays, axis=-1), header.joint_map)


def _people_by_frame(body: bytes, header: _Header, num_frames: int, frames: range) -> People:
    """All people of a body of version 0.0.

    Frame by frame it has the number of people, and for each an id and one component after the other.
    """
    person = np.dtype(
        [("id", "<i2"), *((f"{n}", FLOAT, (points, length)) for n, (length, points) in enumerate(header.components))]
    )
    everyone = [np.empty((0, sum(points for _, points in header.components), 3), FLOAT)]
    counts = []
    place = 0
    for frame in range(num_frames):
        count = int.from_bytes(body[place : place + 2], "little")
        end = place + 2 + count * person.itemsize
        if place + 2 > len(body) or end > len(body):
            raise BadClipError("the .pose file is cut off: it ends within a frame")
        if frame in frames:
            people = np.frombuffer(body, person, count, place + 2) if count else np.empty(0, person)
            parts = [people[f"{n}"][..., [0, 1, -1]] for n in range(len(header.components))]
            everyone.append(np.concatenate(parts, axis=1))  # (people, points, 3)
            counts.append(count)
        place = end
    if place != len(body):
        raise BadClipError(f"damaged .pose file: {len(body) - place} bytes follow its {num_frames} frames")
    keypoints = to_layout(np.concatenate(everyone), header.joint_map)
    return People(keypoints, np.repeat(np.arange(len(frames)), counts), len(frames))


def _refuse_too_large(size: int) -> None:
    if size > MAX_CLIP_BYTES:
        raise BadClipError(f"the clip takes {size} bytes, at most {MAX_CLIP_BYTES} are read")
