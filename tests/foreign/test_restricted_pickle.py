"""Pickles from strangers give plain data or a refusal, and never run."""

from __future__ import annotations

import contextlib
import gzip
import os
import pickle
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.foreign.restricted_pickle import load_pickle, parse_pickle
from signdpo.skeleton.clip import BadClipError

MEBIBYTE = 1024**2
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@contextlib.contextmanager
def limited_to(size: int) -> Iterator[None]:
    """Assert that no more than so many bytes are taken, and little time."""
    begin = time.process_time()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size
    assert time.process_time() - begin < 5


class Runs:
    """Unpickling this calls a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_is_read_as_pickle_reads_it(protocol: int) -> None:
    data = {
        "a": [1, -2, 2**40, -(2**40), 1.5, None, True, False],
        "我": ("x", (), ("y",), (1, 2), (1, 2, 3, 4)),
        3: {"b": b"\xff"},
    }
    assert parse_pickle(pickle.dumps(data, protocol)) == data


@pytest.mark.parametrize("protocol", range(4, pickle.HIGHEST_PROTOCOL + 1))
def test_sets_are_read_as_lists(protocol: int) -> None:
    one, two = parse_pickle(pickle.dumps([{1, "a"}, frozenset({2})], protocol))
    assert (set(one), two) == ({1, "a"}, [2])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "|u1", "<i8", "|b1"])
def test_numeric_arrays_are_read(protocol: int, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    shared = [array, array.T, array, np.zeros((0, 3), dtype), array[0, 1]]
    for read, expected in zip(parse_pickle(pickle.dumps(shared, protocol)), shared, strict=True):
        np.testing.assert_array_equal(read, expected)
        assert read.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", [(7,), (1, 133), (1, 133, 2), (300, 2, 1), (1, 2, 3, 4), (0, 3)])
def test_lists_of_arrays_are_read_as_pickle_reads_them(protocol: int, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(1)
    frames: list[Any] = [generator.random(shape).astype("f4") for _ in range(70)]  # more than one frame of a pickle
    turned = [np.asfortranarray(generator.random(shape)) for _ in range(5)]
    content = pickle.dumps({"keypoints": frames, "turned": turned, "again": frames, "one": frames[3]}, protocol)
    read = parse_pickle(content)
    for array, expected in zip([*read["keypoints"], *read["turned"]], [*frames, *turned], strict=True):
        np.testing.assert_array_equal(array, expected)
        assert (array.dtype, array.flags.f_contiguous) == (expected.dtype, expected.flags.f_contiguous)
    assert read["again"] is read["keypoints"]
    assert read["one"] is read["keypoints"][3]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_either_numpy_are_read(protocol: int) -> None:
    content = pickle.dumps([np.arange(3), np.float32(2)], protocol)
    assert b"numpy._core." in content
    for module in (b"multiarray", b"numeric"):  # with its length before it, and without
        new, old = b"numpy._core." + module, b"numpy.core." + module
        content = content.replace(b"\x8c%c%s" % (len(new), new), b"\x8c%c%s" % (len(old), old)).replace(new, old)
    array, scalar = parse_pickle(content)
    assert (array.tolist(), scalar) == ([0, 1, 2], 2)


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


@pytest.mark.parametrize(
    "function", [eval, getattr, np.load, np.zeros, np.ndarray, np.dtype, dict.fromkeys, bytearray, __import__, type]
)
def test_no_other_function_is_called(function: Any) -> None:
    with pytest.raises(BadClipError):
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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_thousand_million_frames_take_no_memory(protocol: int) -> None:
    content = pickle.dumps({"keypoints": np.zeros((77, 1, 133, 2), np.float32)}, protocol)
    seventy_seven, many = (b"I77\n", b"I1000000000\n") if protocol == 0 else (b"K\x4d", b"J\x00\xca\x9a\x3b")
    assert content.count(seventy_seven) == 1
    with (
        limited_to(4 * MEBIBYTE),
        pytest.raises(BadClipError, match="1064000000000 bytes comes with 81928"),
    ):
        parse_pickle(content.replace(seventy_seven, many))


OPCODES = [bytes([code]) for code in b"(012)N]}lte\x85\x88\x8f\x94"] + [
    b"]\x94",
    b")\x94",
    b"]K\x01a",
    b"}NNs",
    b"(d",
    b"(l",
]


@pytest.mark.parametrize("opcode", OPCODES, ids=repr)
def test_a_bomb_of_short_opcodes_stops_at_the_limit(opcode: bytes) -> None:
    with limited_to(8 * MEBIBYTE), pytest.raises(BadClipError):
        parse_pickle(b"\x80\x04" + opcode * 1_000_000 + b".", max_bytes=MEBIBYTE)


@pytest.mark.parametrize("opcode", OPCODES, ids=repr)
def test_what_is_just_allowed_takes_a_small_multiple_of_the_limit(opcode: bytes) -> None:
    with limited_to(8 * MEBIBYTE), contextlib.suppress(BadClipError):
        parse_pickle(b"\x80\x04N" + opcode * (MEBIBYTE // 16 // len(opcode) - 8) + b".", max_bytes=MEBIBYTE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x04\x8b\x00\x00\x00\x10", "forbidden pickle opcode LONG4"),
        (b"\x80\x04\x8d\x00\x00\x00\x00\x00\x01\x00\x00abc.", "cut off within a string"),
        (b"\x80\x04\x8e\x00\x00\x00\x00\x00\x01\x00\x00abc.", "cut off within a string"),
        (b"\x80\x05\x96\x00\x00\x00\x00\x00\x01\x00\x00abc.", "cut off within a string"),
        (b"\x80\x04B\xff\xff\xff\xffabc.", "cut off within a string"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "a memo of more than"),
        (b"]p999999999\n.", "a memo of more than"),
        (b"I" + b"9" * 10_000 + b"\n.", "forbidden pickle opcode INT"),
        (pickle.dumps(2**70), "an integer of more than 64 bits"),
        (b"\x80\x02Pid\n.", "forbidden pickle opcode PERSID"),
        (b"\x80\x02K\x01Q.", "forbidden pickle opcode BINPERSID"),
        (b"\x80\x02\x82\x01.", "forbidden pickle opcode EXT1"),
        (b"(icollections\nOrderedDict\n.", "forbidden pickle opcode INST"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "forbidden pickle opcode NEWOBJ"),
        # It would change a constructor of ours for all files to come.
        (b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.", "sets the state of a function"),
        # A frame that ends within a string, which hides opcodes behind it.
        (b"\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00\x8c\x04\x8c\x00Q.00.", "damaged pickle"),
    ],
    ids=range(16),
)
def test_a_program_that_would_hurt_is_refused(content: bytes, reason: str) -> None:
    with limited_to(MEBIBYTE), pytest.raises(BadClipError, match=reason):
        parse_pickle(content)


def test_lists_of_lists_of_the_same_lists_are_not_copied() -> None:
    laughs = [b"]\x94(" + 100 * (b"h" + bytes([index])) + b"e" for index in range(30)]
    with limited_to(MEBIBYTE):
        read = parse_pickle(b"".join([b"\x80\x04]\x94", *laughs, b"."]))
    assert len(read) == 100


def test_no_dict_has_keys_whose_hashes_an_attacker_chooses() -> None:
    for key in (b"K\x01\x85", b"]", b"K\x01K\x02\x86"):
        with pytest.raises(BadClipError, match=r"a (tuple|list) as key of a dict"):
            parse_pickle(b"\x80\x04}" + key + b"K\x01s.")


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


def test_a_deep_tuple_is_not_hashed() -> None:
    with pytest.raises(BadClipError, match="as key"):
        parse_pickle(b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.")
    with pytest.raises(BadClipError, match="as key"):
        parse_pickle(b"\x80\x02(d)" + b"\x85" * 200_000 + b"K\x01s.")


def test_a_missing_file_is_reported_as_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_pickle(tmp_path / "absent.pkl")
