"""Clips in `.npz` files: an array of keypoints, and one of confidences beside it or within it."""

from __future__ import annotations

import math
import zipfile
from io import BytesIO
from typing import BinaryIO, Final

import numpy as np

from signdpo.corpora.labelled import LabelledSource, frames_of
from signdpo.corpora.source import MAX_CLIP_BYTES
from signdpo.foreign.archives import check_directory
from signdpo.foreign.files import read_file
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.formats import BY_NUM_JOINTS, to_layout, to_people
from signdpo.skeleton.people import People

CONFIDENCES: Final = ("confidence", "scores")

_HEADERS: Final = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NpzSource(LabelledSource):
    """A folder of `.npz` files and a table of labels; a clip is `<id>.npz` unless column `file` says otherwise.

    A file holds `keypoints` `(frames, joints, 3)`: x, y and confidence; or `(frames, joints, 2)` and, as `confidence`
    or `scores`, `(frames, joints)`; with an axis of people after that of the frames where there are several. There are
    69 joints (ours), 133 (COCO-WholeBody) or 137 (OpenPose), x and y are in one unit, y downward, and nothing is
    normalised.

    Args:
        corpus: see `LabelledSource`.
    """

    kind = "npz/2"
    ending = ".npz"

    def keypoints(self, uri: str, stretch: tuple[int, int] | None) -> np.ndarray | People:
        """Keypoints `(frames, 69, 3)` float32 in the unit of the file, or all people."""
        arrays = _read_arrays(BytesIO(read_file(uri, MAX_CLIP_BYTES)))
        keypoints = _with_confidence(arrays)
        frames = frames_of(stretch, len(keypoints))
        wanted = keypoints[frames.start : frames.stop]
        joint_map = BY_NUM_JOINTS[keypoints.shape[-2]]
        return to_layout(wanted, joint_map) if wanted.ndim == 3 else to_people(wanted, joint_map)


def _with_confidence(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """`(frames, joints, 3)` or `(frames, people, joints, 3)` of a file's arrays. Raises `BadClipError`."""
    keypoints = arrays["keypoints"]
    if keypoints.ndim not in (3, 4) or keypoints.shape[-2] not in BY_NUM_JOINTS or keypoints.shape[-1] not in (2, 3):
        counts = ", ".join(map(str, BY_NUM_JOINTS))
        raise BadClipError(
            f"keypoints have shape {keypoints.shape}, expected (frames, joints, 2 or 3) with one of {counts} joints, "
            "or (frames, people, joints, 2 or 3)"
        )
    separate = [name for name in CONFIDENCES if name in arrays]
    if keypoints.shape[-1] == 3:
        if separate:
            raise BadClipError(f"keypoints have three channels and there is {separate[0]}: is the third a depth?")
        return keypoints
    if len(separate) != 1:
        raise BadClipError(
            f"keypoints have two channels and there are {len(separate)} of the arrays confidence, scores"
        )
    confidence = arrays[separate[0]]
    if confidence.shape != keypoints.shape[:-1]:
        raise BadClipError(f"{separate[0]} has shape {confidence.shape}, expected {keypoints.shape[:-1]}")
    return np.concatenate([keypoints, confidence[..., None]], axis=-1)


def _read_arrays(file: BinaryIO) -> dict[str, np.ndarray]:
    """`keypoints` and the confidences of a file. Sizes are compared with what is there before anything is unpacked."""
    try:
        check_directory(file)
    except BadClipError as error:
        raise BadClipError(f"no .npz file: {error}") from error
    try:
        with np.load(file, allow_pickle=False) as loaded:
            members = {info.filename: info for info in loaded.zip.infolist()}
            if "keypoints.npy" not in members:
                found = ", ".join(sorted(name.removesuffix(".npy") for name in members)[:8])
                raise BadClipError(f"there is no array keypoints, found {found or 'nothing'}")
            wanted = [name for name in ("keypoints", *CONFIDENCES) if f"{name}.npy" in members]
            if sum(members[f"{name}.npy"].file_size for name in wanted) > MAX_CLIP_BYTES:
                raise BadClipError(f"the arrays take more than {MAX_CLIP_BYTES / 1024**2:.0f} MiB")
            for name in wanted:
                _check_header(loaded.zip, members[f"{name}.npy"])
            return {name: loaded[f"{name}.npy"] for name in wanted}
    except BadClipError:
        raise
    except Exception as error:  # a file made to hurt fails in ways that no list of exceptions covers
        raise BadClipError(f"damaged .npz file: {error}") from error


def _check_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Refuse an array of anything but numbers, or one that claims more than the archive holds."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadClipError(f"{info.filename} is compressed in a way numpy does not write")
    with archive.open(info) as member:
        if (version := np.lib.format.read_magic(member)) not in _HEADERS:
            raise BadClipError(f"an array in version {version} of numpy's format, known are (1, 0) and (2, 0)")
        shape, _, dtype = _HEADERS[version](member)
        claimed, there = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
    if dtype.kind not in "fiu":
        raise BadClipError(f"{info.filename} holds {dtype}, expected numbers")
    if claimed != there:
        raise BadClipError(f"{info.filename} claims {claimed} bytes of shape {shape}, but {there} are there")
