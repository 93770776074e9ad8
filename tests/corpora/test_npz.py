"""The reader of `.npz` files, honest and hostile."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.config import CorpusConfig
from signdpo.corpora.npz import NpzSource
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.layout import COCO_WHOLEBODY_133


def read(root: Path, content: bytes) -> np.ndarray:
    (root / "a.npz").write_bytes(content)
    (root / "labels.csv").write_text("id,text,split\na,word,train\n")
    source = NpzSource(CorpusConfig(kind="npz", root=str(root)))
    return source.read(source.entries("train")[0]).keypoints


def saved(compressed: bool = False, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def numbered(joints: int, channels: int, frames: int = 2) -> np.ndarray:
    """Joint j of frame t is at (j, t) with confidence 1."""
    keypoints = np.ones((frames, joints, channels))
    keypoints[..., 0] = np.arange(joints)
    keypoints[..., 1] = np.arange(frames)[:, None]
    return keypoints


def member(shape: tuple[int, ...], data: bytes = b"", dtype: str = "<f4") -> bytes:
    """An array as numpy saves it, whose header may claim more than is there."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + data


def archive(compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_our_own_joints_are_read_as_they_are(tmp_path: Path, compressed: bool) -> None:
    keypoints = read(tmp_path, saved(compressed, keypoints=numbered(69, 3)))
    assert keypoints.dtype == np.float32
    np.testing.assert_array_equal(keypoints, numbered(69, 3))


@pytest.mark.parametrize("name", ["confidence", "scores"])
def test_confidences_may_lie_beside_the_keypoints(tmp_path: Path, name: str) -> None:
    scores = np.full((2, 133), 0.25, np.float16)
    keypoints = read(tmp_path, saved(keypoints=numbered(133, 2).astype(np.float16), **{name: scores}))
    np.testing.assert_array_equal(keypoints[1, :, 0], COCO_WHOLEBODY_133)
    np.testing.assert_array_equal(keypoints[1, :, 2], 0.25)


def test_openpose_joints_are_told_by_their_number(tmp_path: Path) -> None:
    assert read(tmp_path, saved(keypoints=numbered(137, 3).astype(int)))[1, :9, 0].tolist() == [
        0,
        18,
        17,
        5,
        2,
        6,
        3,
        7,
        4,
    ]


def test_fortran_order_is_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path, saved(keypoints=np.asfortranarray(numbered(69, 3)))), numbered(69, 3))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"poses": numbered(69, 3)}, "there is no array keypoints, found poses"),
        ({"keypoints": numbered(75, 3)}, r"keypoints have shape \(2, 75, 3\), expected .* 69, 133, 137 joints"),
        ({"keypoints": numbered(69, 3)[:, None, None]}, r"keypoints have shape \(2, 1, 1, 69, 3\)"),
        ({"keypoints": np.zeros((0, 69, 3))}, "the clip has 0 frames"),
        ({"keypoints": numbered(69, 2)}, "two channels and there are 0 of the arrays confidence, scores"),
        ({"keypoints": numbered(69, 2), "scores": np.ones((3, 69))}, r"scores has shape \(3, 69\), expected \(2, 69\)"),
        (
            {"keypoints": numbered(69, 3), "scores": np.ones((2, 69))},
            "three channels and there is scores: is the third",
        ),
        ({"keypoints": np.array([{}])}, r"keypoints\.npy holds object, expected numbers"),
        ({"keypoints": np.array(["a"])}, r"keypoints\.npy holds <U1, expected numbers"),
    ],
)
def test_a_bad_clip_says_what_is_wrong(tmp_path: Path, arrays: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadClipError, match=reason):
        read(tmp_path, saved(**arrays))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (archive(keypoints=member((10**9, 69, 3))), r"claims 828000000000 bytes of shape .* but 0 are there"),
        (archive(keypoints=member((-2, -69, 3), bytes(1656))), "damaged .npz file"),
        (archive(keypoints=b"\x93NUMPY\3\0" + bytes(100)), "version"),
        (archive(keypoints=b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(100)), "damaged .npz file"),
        (archive(zipfile.ZIP_LZMA, keypoints=member((1, 69, 3), bytes(828))), "compressed in a way numpy does not"),
        (archive(keypoints=member((1, 69, 3), bytes(828)))[:-9], "no .npz file: the archive is cut off"),
        (b"", "this is an empty file"),
        (b"PK\5\6" + b"\xff" * 18, "lists too many files"),
        (b"PK\3\4PK\6\7" + bytes(16) + b"PK\5\6" + bytes(18), "lists too many files"),
        (member((10**9, 69, 3)) + b"PK\5\6" + bytes(18), "no .npz file"),
    ],
)
def test_a_hostile_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(BadClipError, match=reason):
        read(tmp_path, content)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros that take a thousandth of their size, in an archive that says so, and in one that lies about it."""
    monkeypatch.setattr("signdpo.corpora.npz.MAX_CLIP_BYTES", 1024**2)
    frames = 20_000  # 16 MiB
    honest = archive(keypoints=member((frames, 69, 3), bytes(frames * 69 * 3 * 4)))
    size = (frames * 69 * 3 * 4 + 128).to_bytes(4, "little")
    assert honest.count(size) == 2  # in the member's own header and in the archive's list
    for content, reason in (
        (honest, "take more than 1 MiB"),
        (honest.replace(size, (500_128).to_bytes(4, "little")), "claims 16560000 bytes of shape .* but 500000 are"),
    ):
        tracemalloc.start()
        with pytest.raises(BadClipError, match=reason):
            read(tmp_path, content)
        assert tracemalloc.get_traced_memory()[1] < 1024**2
        tracemalloc.stop()
