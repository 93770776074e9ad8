"""Files made to hurt, of every format: commands, bombs, depths and impossible sizes are refused with a reason."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
from support import specimens
from support.specimens import SPECIMENS
from support.watching import MEBIBYTE, WATCH, ingested

pytest.importorskip("pose_format", reason="the group poses is not installed")
pytestmark = pytest.mark.usefixtures("small_limits")


class Runs:
    """Unpickling this runs a command, for whoever lets it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch it_ran",)


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def archive(keypoints: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("keypoints.npy", keypoints)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    return specimens.npz_clip(np.savez, **arrays)


def pose(counts: bytes, body: bytes = b"") -> bytes:
    """A `.pose` file whose header is sound and whose body is not."""
    content = specimens.pose_clip(0.2)
    return content[: content.index(struct.pack("<fIH", 24, 2, 1))] + counts + body


SIXTY_MB = bytes(60 * MEBIBYTE)
ARRAYS = "{'descr': '<f4', 'fortran_order': False, 'shape': %s}\n"
PICKLES = {
    **{f"a command, protocol {n}": pickle.dumps({"keypoints": Runs()}, n) for n in range(6)},
    "a bomb": gzip.compress(SIXTY_MB),
    "a bomb of sets": gzip.compress(b"\x80\x04" + b"\x8f" * len(SIXTY_MB)),
    "a bomb of marks": gzip.compress(b"\x80\x04" + b"(" * len(SIXTY_MB)),
    "a bomb in a bomb": gzip.compress(gzip.compress(SIXTY_MB)),
    "deep lists": b"\x80\x04" + b"]" * 10_000 + b"a" * 9_999 + b".",
    "deep tuples": b"\x80\x04}(\x8c\x09keypoints)" + b"\x85" * 10_000 + b"\x8c\x06scores)u.",
    "a list in itself": b"\x80\x04}(\x8c\x09keypoints]\x94h\x00a\x8c\x06scores]\x94h\x01au.",
    "a number for an array": pickle.dumps({"keypoints": np.float32(1), "scores": np.array(1.0)}),
    "no shape": pickle.dumps({"keypoints": np.array(1.0), "scores": np.array(1.0)}),
    "long numbers": pickle.dumps({"keypoints": [], "scores": [], "start": 10**600, "end": -(10**600)}),
    "two readings of a score": pickle.dumps(
        {"keypoints": [np.zeros((1, 133, 2))] * 2, "scores": [np.zeros((1, 133)), np.zeros((1, 133, 1))]}
    ),
}
HOSTILE = {
    **{f"uni_sign, gzip: {name}": content for name, content in PICKLES.items()},
    "npz: a command": npz(keypoints=np.array([Runs()], dtype=object)),
    "npz: a command in a header": archive(npy("__import__('os').system('touch it_ran')\n")),
    "npz: a deep header": archive(npy("(" * 9000 + "\n")),
    "npz: a bomb": archive(npy(ARRAYS % "(28435, 69, 8)", SIXTY_MB)),
    "npz: an impossible shape": archive(npy(ARRAYS % "(4000000000, 69, 3)")),
    "npz: a negative shape": archive(npy(ARRAYS % "(-2, 69, 3)", bytes(69 * 3 * 8))),
    "npz: endless dimensions": archive(npy(ARRAYS % f"({'9,' * 4000})")),
    "pose 0.2: four thousand million frames": pose(struct.pack("<fIH", 24, 2**32 - 1, 1)),
    "pose 0.2: many people": pose(struct.pack("<fIH", 24, 2, 2**16 - 1), bytes(1000)),
    "pose 0.2: no people": pose(struct.pack("<fIH", 24, 2**32 - 1, 0)),
    "pose 0.2: no points": struct.pack("<fHHHH", 0.2, 640, 480, 0, 2**16 - 1) + bytes(300_000),
    "openpose: deep lists": b"[" * 900_000,
    "openpose: deep people": b'{"people": ' + b"[" * 900_000,
    "openpose: empty people": b'{"people": [' + b"{}," * 300_000 + b"{}]}",
    "openpose: long numbers": b'{"people": [{"pose_keypoints_2d": [' + b"9" * 900_000 + b"]}]}",
    "openpose: large numbers": b'{"people": [{"pose_keypoints_2d": [' + b",".join([b"1e308"] * 75) + b"]}]}",
    "openpose: infinite numbers": b'{"people": [{"pose_keypoints_2d": [' + b",".join([b"1e999"] * 75) + b"]}]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_clip_is_refused_with_a_reason(corpus_of: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    specimen = SPECIMENS[name.partition(":")[0]]
    root = corpus_of(name.partition(":")[0])
    monkeypatch.chdir(root)
    source = specimen.write(root, clip=HOSTILE[name])
    with WATCH():
        outcome = ingested(source, root)
    assert not outcome.frames
    assert not list(root.glob("**/it_ran"))


LABELS = {
    **{f"uni_sign, gzip: {name}": content for name, content in PICKLES.items()},
    "csl_news: deep lists": b"[" * 900_000,
    "csl_news: a deep item": b'[{"video": ' + b"[" * 900_000,
    "csl_news: empty items": b"[" + b"{}," * 300_000 + b"{}]",
    "csl_news: long numbers": b'[{"video": ' + b"9" * 60_000 + b', "pose": "a.pkl", "text": "t"}]',
    "npz: deep lists": b'{"id": "a", "text": ' + b"[" * 900_000,
    "npz: long numbers": b'{"id": "a", "text": "t", "start": ' + b"9" * 900_000 + b"}",
    "npz: columns of their own": b"\n".join(b'{"%d": 0}' % number for number in range(4_000)),
    "npz, compressed: many columns": b"\t".join(b"%d" % number for number in range(100_000)),
    "npz, compressed: half a character": b"id\ttext\tsplit\na\t\xed\xa0\x80\ttrain\n",
    "pose 0.2: a long field": b"id,text,split\na," + b"x" * 900_000 + b",train\n",
    "pose 0.2: an open quote": b'id,text,split\na,"' + b"x,\n" * 4_000,
    "pose 0.2: zero bytes": b"id,text,split\n\0,\0,train\n",
    "pose 0.2: too many lines": b"id,text,split\n" + b"a,b,train\n" * 6_000,
}


@pytest.mark.parametrize("name", LABELS)
def test_hostile_labels_are_refused_with_a_reason(corpus_of: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    specimen = SPECIMENS[name.partition(":")[0]]
    root = corpus_of(name.partition(":")[0])
    monkeypatch.chdir(root)
    source = specimen.write(root, labels=LABELS[name])
    with WATCH():
        outcome = ingested(source, root)
    assert not outcome.frames
    assert not list(root.glob("**/it_ran"))
