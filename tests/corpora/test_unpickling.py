"""Pickles from strangers give plain data or a refusal, and never run."""

from __future__ import annotations

import contextlib
import gzip
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.corpora.unpickling import load_pickle, parse_pickle
from signdpo.skeleton.clip import BadClipError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Runs:
    """Unpickling this calls a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_is_read_as_pickle_reads_it(protocol: int) -> None:
    data = {
        "a": [1, -2, 2**70, 1.5, None, True, False],
        "我": ("x", (), ("y",), (1, 2), (1, 2, 3, 4)),
        3: {"b": b"\xff"},
    }
    assert parse_pickle(pickle.dumps(data, protocol)) == data


@pytest.mark.parametrize("protocol", range(4, pickle.HIGHEST_PROTOCOL + 1))
def test_sets_are_read(protocol: int) -> None:
    assert parse_pickle(pickle.dumps([{1, "a"}, frozenset({2})], protocol)) == [{1, "a"}, frozenset({2})]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "|u1", "<i8", "|b1"])
def test_numeric_arrays_are_read(protocol: int, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    shared = [array, array.T, array, np.zeros((0, 3), dtype), array[0, 1]]
    for read, expected in zip(parse_pickle(pickle.dumps(shared, protocol)), shared, strict=True):
        np.testing.assert_array_equal(read, expected)
        assert read.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")


def test_plain_and_gzip_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "zipped.pkl").write_bytes(gzip.compress(pickle.dumps({"a": 1})))
    assert load_pickle(tmp_path / "plain.pkl") == {"a": 1} == load_pickle(f"file://{tmp_path}/zipped.pkl")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_runs_a_command_is_refused_and_does_not_run_it(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "it_ran"
    with pytest.raises(BadClipError, match=rf"forbidden global {os.name}\.system"):
        parse_pickle(pickle.dumps(Runs(os.system, f"touch {witness}"), protocol))
    assert not witness.exists()


@pytest.mark.parametrize("function", [eval, getattr, np.load, np.zeros, bytearray, __import__])
def test_no_other_function_is_reachable(function: Any) -> None:
    with pytest.raises(BadClipError, match="forbidden global"):
        parse_pickle(pickle.dumps(Runs(function, "1")))


@pytest.mark.parametrize("dtype", ["O", "U3", "S3", "M8[s]", "i4,f4"])
def test_arrays_of_anything_but_numbers_are_refused(dtype: str) -> None:
    with pytest.raises(BadClipError, match="forbidden array type"):
        parse_pickle(pickle.dumps(np.zeros(2, dtype), protocol=4))


def test_every_truncation_is_refused() -> None:
    content = pickle.dumps({"keypoints": [np.zeros((1, 3, 2), np.float16)], "name": "a"})
    for length in range(len(content)):
        with pytest.raises(BadClipError):
            parse_pickle(content[:length])


def test_every_damaged_byte_gives_data_or_a_refusal() -> None:
    content = pickle.dumps({"keypoints": [np.zeros((1, 3, 2), np.float16)], "start": 3}, protocol=2)
    for position in range(len(content)):
        for byte in (0x00, 0x28, 0x52, 0x62, 0x80, 0xFF):
            with contextlib.suppress(BadClipError):
                parse_pickle(content[:position] + bytes([byte]) + content[position + 1 :])


def test_an_array_cannot_claim_more_than_its_data() -> None:
    honest = pickle.dumps(np.zeros((1, 3), np.float32), protocol=2)
    assert honest.count(b"K\x01K\x03\x86") == 1  # the shape
    with pytest.raises(BadClipError, match="an array of 4000000000000 bytes comes with 12"):
        parse_pickle(honest.replace(b"K\x01K\x03\x86", b"J\x40\x42\x0f\x00J\x40\x42\x0f\x00\x86"))


def test_a_gzip_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "bomb.pkl").write_bytes(gzip.compress(bytes(20 * 1024 * 1024)))
    with pytest.raises(BadClipError, match="larger than 1 MiB"):
        load_pickle(tmp_path / "bomb.pkl", max_bytes=1024 * 1024)


def test_copies_of_one_long_string_stop_at_the_limit() -> None:
    # One string of 100 kB is encoded again and again by a loop of memo references.
    prologue = pickle.PROTO + b"\x02" + b"c_codecs\nencode\nq\x00X" + (100_000).to_bytes(4, "little") + b"a" * 100_000
    content = prologue + b"q\x01X\x06\x00\x00\x00latin1q\x02" + b"h\x00h\x01h\x02\x86R" * 50 + b"."
    with pytest.raises(BadClipError, match="take more than 1 MiB"):
        parse_pickle(content, max_bytes=1024 * 1024)


def test_a_giant_memo_index_allocates_nothing() -> None:
    assert parse_pickle(b"\x80\x02]r\xff\xff\xff\xff.") == []


def test_a_deep_tuple_is_not_hashed() -> None:
    with pytest.raises(BadClipError, match="as key"):
        parse_pickle(b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.")


def test_a_missing_file_is_reported_as_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_pickle(tmp_path / "absent.pkl")
