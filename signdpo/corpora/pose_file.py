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

import fsspec
import numpy as np

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.labelled import LabelledSource, frames_of
from signdpo.corpora.source import MAX_CLIP_BYTES
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.formats import JointMap, map_by_name, to_layout

MAX_HEADER_BYTES: Final = 64 * 1024  # that of a whole MediaPipe Holistic takes 15 KB
FLOAT: Final = np.dtype("<f4")


class PoseFileSource(LabelledSource):
    """A folder of `.pose` files and a table of labels; a clip is `<id>.pose` unless column `file` says otherwise.

    Args:
        corpus: see `LabelledSource`.

    Raises:
        ConfigError: if the pose-format library is not installed.
    """

    kind = "pose/1"
    ending = ".pose"

    def __init__(self, corpus: CorpusConfig) -> None:
        if importlib.util.find_spec("pose_format") is None:
            raise ConfigError("corpus.kind=pose needs the pose-format library: pip install 'signdpo[poses]'")
        super().__init__(corpus)

    def keypoints(self, uri: str, stretch: tuple[int, int] | None) -> np.ndarray:
        """Keypoints `(frames, 69, 3)` float32 of the one signer, in the unit of the file, mostly pixels."""
        with fsspec.open(uri, "rb") as file:
            header = _read_header(file)
            if header.version == "0.0":
                source = _read_people_by_frame(file, header, stretch)
            else:
                source = _read_arrays(file, header, stretch)
        return to_layout(source, header.joint_map)


@dataclass(frozen=True)
class _Header:
    """What the reading of a body needs.

    Args:
        version: "0.0", "0.1" or "0.2".
        end: where the body begins, in bytes.
        file_bytes: size of the file.
        formats: of each component, such as "XYZC", and its number of points.
        joint_map: to our layout.
    """

    version: str
    end: int
    file_bytes: int
    formats: tuple[tuple[str, int], ...]
    joint_map: JointMap

    @property
    def num_points(self) -> int:
        return sum(points for _, points in self.formats)

    @property
    def body_bytes(self) -> int:
        return self.file_bytes - self.end


def _read_header(file: BinaryIO) -> _Header:
    from pose_format.pose_header import PoseHeader
    from pose_format.utils.reader import BufferReader

    file_bytes = file.seek(0, 2)
    file.seek(0)
    reader = BufferReader(file.read(MAX_HEADER_BYTES))
    try:
        header: Any = PoseHeader.read(reader)
    except Exception as error:  # nothing in the library expects a damaged file: its errors are of any kind
        raise BadClipError(f"damaged .pose file, its header cannot be read: {error}") from error
    version = f"{header.version:.1f}"
    if abs(header.version - float(version)) > 1e-3 or version not in ("0.0", "0.1", "0.2"):
        raise BadClipError(f".pose file of version {header.version:g}, known are 0.0, 0.1 and 0.2")
    for component in header.components:
        if component.format[:2] != "XY" or component.format[-1] != "C":
            raise BadClipError(f"component {component.name} has format {component.format}, expected XYC or XYZC")
    return _Header(
        version,
        reader.read_offset,
        file_bytes,
        tuple((component.format, len(component.points)) for component in header.components),
        map_by_name([(component.name, component.points) for component in header.components]),
    )


def _read_arrays(file: BinaryIO, header: _Header, stretch: tuple[int, int] | None) -> np.ndarray:
    """`(frames, points, 3)` of a body of version 0.1 or 0.2: all coordinates, then all confidences."""
    fields = struct.Struct("<HHH" if header.version == "0.1" else "<fIH")
    _, num_frames, people = _unpack(file, fields, header.end)
    dimensions = max(len(format_) - 1 for format_, _ in header.formats)
    frame_bytes = people * header.num_points * (dimensions + 1) * FLOAT.itemsize
    if frame_bytes == 0:
        raise BadClipError(f"the .pose file holds {people} people of {header.num_points} points, expected one person")
    body_bytes = header.body_bytes - fields.size
    if header.version == "0.1":
        # Its count has two bytes only and has overflowed in long files: the size of the file tells.
        num_frames += max((body_bytes // frame_bytes - num_frames) // 2**16, 0) * 2**16
    if num_frames * frame_bytes != body_bytes:
        raise BadClipError(
            f"the .pose file promises {num_frames} frames of {frame_bytes} bytes each, but {body_bytes} bytes follow"
        )
    frames = frames_of(stretch, num_frames)
    if len(frames) * frame_bytes > MAX_CLIP_BYTES:
        raise BadClipError(f"the clip takes {len(frames) * frame_bytes} bytes, at most {MAX_CLIP_BYTES} are read")
    body = header.end + fields.size
    shape = (people, header.num_points)
    positions = _read_floats(file, body, frames, (*shape, dimensions))
    body += num_frames * people * header.num_points * dimensions * FLOAT.itemsize
    confidence = _read_floats(file, body, frames, shape)
    person = _signer(np.greater(confidence, 0), frames.start)
    return np.concatenate([positions[:, person, :, :2], confidence[:, person, :, None]], axis=-1)


def _read_floats(file: BinaryIO, begin: int, frames: range, shape: tuple[int, ...]) -> np.ndarray:
    """Some frames `(frames, *shape)` of an array that begins at a byte of the file."""
    frame_bytes = int(np.prod(shape)) * FLOAT.itemsize
    file.seek(begin + frames.start * frame_bytes)
    return np.frombuffer(file.read(len(frames) * frame_bytes), FLOAT).reshape(len(frames), *shape)


def _read_people_by_frame(file: BinaryIO, header: _Header, stretch: tuple[int, int] | None) -> np.ndarray:
    """`(frames, points, 3)` of a body of version 0.0: frame by frame the people, each component by component."""
    fields = struct.Struct("<HH")
    _, num_frames = _unpack(file, fields, header.end)
    frames = frames_of(stretch, num_frames)
    expected = num_frames * header.num_points * 3 * FLOAT.itemsize
    if max(expected, header.body_bytes) > MAX_CLIP_BYTES:
        raise BadClipError(
            f"the .pose file takes {max(expected, header.body_bytes)} bytes, at most {MAX_CLIP_BYTES} are read"
        )
    body = file.read(header.body_bytes - fields.size)
    columns = _columns(header.formats)
    source = np.zeros((num_frames, header.num_points, 3), dtype=FLOAT)
    place = 0
    for frame in range(num_frames):
        people, place = _people_of(body, place, sum(len(format_) * points for format_, points in header.formats))
        seen = [person[columns] for person in people if (person[columns[:, 2]] > 0).any()]
        if len(seen) > 1 and frame in frames:
            raise BadClipError(f"a second person is in frame {frame}, expected one signer a clip")
        if seen:
            source[frame] = seen[0]
    if place != len(body):
        raise BadClipError(f"damaged .pose file: {len(body) - place} bytes follow its {num_frames} frames")
    return source[frames.start : frames.stop]


def _people_of(body: bytes, place: int, person_floats: int) -> tuple[list[np.ndarray], int]:
    """The people of the frame that begins at a byte, `(person_floats,)` each, and where the next frame begins."""
    person_bytes = 2 + person_floats * FLOAT.itemsize  # after a number of the person
    count = int.from_bytes(body[place : place + 2], "little")
    end = place + 2 + count * person_bytes
    if place + 2 > len(body) or end > len(body):
        raise BadClipError("damaged .pose file: it ends within a frame")
    begins = range(place + 2, end, person_bytes)
    return [np.frombuffer(body, FLOAT, person_floats, begin + 2) for begin in begins], end


def _columns(formats: tuple[tuple[str, int], ...]) -> np.ndarray:
    """Where x, y and confidence of each point `(points, 3)` are among the numbers of a person."""
    columns, begin = [], 0
    for format_, points in formats:
        first = begin + np.arange(points)[:, None] * len(format_)
        columns.append(first + np.array([0, 1, len(format_) - 1]))
        begin += points * len(format_)
    return np.concatenate(columns)


def _signer(seen: np.ndarray, first_frame: int) -> int:
    """Which person of `(frames, people, points)` bool is there; 0 if nobody is."""
    frames_and_people = np.asarray(seen.any(axis=2))
    there = np.flatnonzero(frames_and_people.any(axis=0))
    if len(there) > 1:
        frame = first_frame + int(np.argmax(frames_and_people[:, there[1]]))
        raise BadClipError(f"a second person is in frame {frame}, expected one signer a clip")
    return int(there[0]) if len(there) else 0


def _unpack(file: BinaryIO, fields: struct.Struct, place: int) -> tuple[Any, ...]:
    file.seek(place)
    content = file.read(fields.size)
    if len(content) < fields.size:
        raise BadClipError("damaged .pose file: it ends after its header")
    return fields.unpack(content)
