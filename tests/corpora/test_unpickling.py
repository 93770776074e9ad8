"""Pickles from strangers give plain data or a refusal, and never run."""

from __future__ import annotations

import contextlib
import gzip
import os
import pickle
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.corpora import pickle_opcodes
from signdpo.corpora.pickle_machine import Machine
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


def assert_same(read: Any, expected: Any) -> None:
    """Equal, arrays of the same type included, and shared where the other is."""
    assert type(read) is type(expected)
    if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(read, expected)
        assert (read.dtype, read.flags.f_contiguous) == (expected.dtype, expected.flags.f_contiguous)
    elif isinstance(expected, (list, tuple)):
        assert len(read) == len(expected)
        for one, other in zip(read, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, dict):
        assert list(read) == list(expected)
        assert_same(list(read.values()), list(expected.values()))
    else:
        assert read == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", [(7,), (1, 133), (1, 133, 2), (300, 2, 1), (1, 2, 3, 4), (0, 3)])
def test_runs_of_arrays_are_read_as_pickle_reads_them(protocol: int, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(1)
    frames: list[Any] = [generator.random(shape).astype("f4") for _ in range(70)]  # more than one frame of a pickle
    turned = [np.asfortranarray(generator.random(shape)) for _ in range(5)]
    others = [frames[3], "between", turned[2], np.arange(3)]
    content = pickle.dumps({"keypoints": frames, "turned": turned, "others": others, "again": frames}, protocol)
    read = parse_pickle(content)
    assert_same(read, pickle.loads(content))
    assert read["again"] is read["keypoints"]
    assert read["others"][0] is read["keypoints"][3]
    assert read["others"][2] is read["turned"][2]


def test_the_short_cut_through_a_run_leaves_what_single_steps_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.full((1, 133, 2), index, np.float64) for index in range(40)]
    content = pickle.dumps([frames, [frame[..., 0] for frame in frames]], protocol=4)
    quick, single = Machine(2**24), Machine(2**24)
    read = quick.run(content)
    steps = []
    monkeypatch.setattr(pickle_opcodes, "take_arrays", lambda *arguments: steps.append(1) or arguments[-1])
    assert_same(read, single.run(content))
    assert len(steps) == 81  # the arrays and their type
    assert list(quick.memo) == list(single.memo)
    for index in quick.memo:
        if type(quick.memo[index]) in (list, np.ndarray, bytes):
            assert_same(quick.memo[index], single.memo[index])
        assert type(quick.memo[index]) is type(single.memo[index])


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


def test_an_array_within_a_run_cannot_claim_more_than_its_data() -> None:
    honest = pickle.dumps([np.full((1, 3), index, np.float32) for index in range(9)], protocol=4)
    shape = b"K\x01K\x03\x86"
    third = honest.index(shape, honest.index(shape, honest.index(shape) + 1) + 1)
    with pytest.raises(BadClipError, match="an array of 4000000000000 bytes comes with 12"):
        parse_pickle(honest[:third] + b"J\x40\x42\x0f\x00J\x40\x42\x0f\x00\x86" + honest[third + len(shape) :])


@pytest.mark.parametrize("opcode", [b"\x8f", b"}", b"]", b"N", b"(", b")\x94"], ids=repr)
def test_a_bomb_of_short_opcodes_stops_at_the_limit(opcode: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadClipError, match="more than"):
            parse_pickle(b"\x80\x04" + opcode * 1_000_000 + b".", max_bytes=1024 * 1024)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


def test_no_integer_is_too_long_to_work_with() -> None:
    with pytest.raises(BadClipError, match="forbidden pickle opcode LONG4"):
        parse_pickle(pickle.dumps(2**4000))


def test_keys_whose_hashes_collide_are_refused() -> None:
    with pytest.raises(BadClipError, match="a int as key"):
        parse_pickle(pickle.dumps({sys.hash_info.modulus * multiple: None for multiple in range(10)}))


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
