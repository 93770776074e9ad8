"""Reading pickles from strangers: containers, scalars and numeric numpy arrays, and nothing else.

The public corpora come as pickles, and unpickling runs whatever program the file holds. Here no unpickler runs at all:
`pickletools.genops` splits the file into opcodes, and a small machine carries out those that build plain data. Globals
are mere names to it; four of them stand for constructors of its own.
"""

from __future__ import annotations

import gzip
import io
import math
import pickletools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec
import numpy as np

from signdpo.skeleton.clip import BadClipError

MEBIBYTE: Final = 1024 * 1024
MAX_BYTES: Final = 256 * MEBIBYTE
# One opcode is a byte and can make an object of 200, so the size of the file alone does not bound the memory.
MAX_OPCODES: Final = 20_000_000
GZIP_MAGIC: Final = b"\x1f\x8b"


def load_pickle(path: str | Path, max_bytes: int = MAX_BYTES) -> Any:
    """Read a pickle, plain or gzip, without running anything it holds.

    Args:
        path: a local path or any fsspec URI.
        max_bytes: at most this many bytes are read, decompressed, and again as many allocated for arrays.

    Raises:
        FileNotFoundError: if there is no such file.
        BadClipError: if the file is damaged, too large, or holds anything but None, bool, int, float, str, bytes, list,
            tuple, dict, set and numeric numpy arrays and scalars; the message names the forbidden global.
    """
    with fsspec.open(str(path), "rb") as file:
        content = file.read(max_bytes + 1)
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(max_bytes + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise BadClipError(f"damaged gzip file: {error}") from error
    if len(content) > max_bytes:
        raise BadClipError(f"the pickle is larger than {max_bytes / MEBIBYTE:.0f} MiB")
    return parse_pickle(content, max_bytes)


def parse_pickle(content: bytes, max_bytes: int = MAX_BYTES) -> Any:
    """`load_pickle` of bytes at hand. Raises `BadClipError` alike."""
    try:
        return _Machine(max_bytes).run(content)
    except BadClipError:
        raise
    except Exception as error:  # a program written to hurt fails in ways that no list of exceptions covers
        raise BadClipError(f"damaged pickle: {error}") from error


@dataclass(frozen=True, slots=True)
class _Global:
    """A global that the pickle names. It is a name only, and cannot be called."""

    name: str


@dataclass(slots=True)
class _Dtype:
    """A numpy dtype under construction: a pickle gives its byte order after its code."""

    code: str
    byte_order: str = "="

    def resolve(self) -> np.dtype:
        dtype = np.dtype(self.code).newbyteorder(self.byte_order)  # type: ignore[arg-type]
        if dtype.kind not in "biuf":
            raise BadClipError(f"forbidden array type {self.code}: only numbers are read")
        return dtype


class _Machine:
    """Carries out the opcodes of one pickle."""

    def __init__(self, max_bytes: int) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.max_bytes = max_bytes
        self.allocated = 0

    def run(self, content: bytes) -> Any:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if step >= MAX_OPCODES:
                raise BadClipError(f"the pickle has more than {MAX_OPCODES} opcodes")
            if opcode.name in _LITERALS:
                self.push(argument)
            elif opcode.name in _OPCODES:
                _OPCODES[opcode.name](self, argument)
            else:
                raise BadClipError(f"forbidden pickle opcode {opcode.name}")
        return self.pop(1)[0]

    def allocate(self, size: int) -> None:
        """Account for `size` bytes: short opcodes can copy one long string many times."""
        self.allocated += size
        if self.allocated > self.max_bytes:
            raise BadClipError(f"the pickle's arrays take more than {self.max_bytes / MEBIBYTE:.0f} MiB")

    def push(self, item: Any) -> None:
        self.stack.append(item)

    def pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise BadClipError("damaged pickle: it takes more from its stack than it put there")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def pop_marked(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise BadClipError(f"damaged pickle: expected a {kind.__name__}, found {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def reduce(self) -> None:
        function, arguments = self.pop(2)
        if type(function) is not _Global or function.name not in _CONSTRUCTORS:
            raise BadClipError("damaged pickle: it calls something that is not a constructor")
        self.push(_CONSTRUCTORS[function.name](self, *arguments))

    def build(self) -> None:
        target, state = self.pop(2)
        self.push(target)
        if type(target) is _Dtype:
            target.byte_order = {"<": "<", ">": ">", "|": "=", "=": "="}[state[1]]
        elif type(target) is np.ndarray:
            _, shape, dtype, is_fortran, data = state
            resolved = self.check_array(shape, dtype, data)
            # In place, since the memo already refers to this array.
            target.__setstate__((1, shape, resolved, bool(is_fortran), bytes(data)))  # type: ignore[arg-type]
        else:
            raise BadClipError(f"damaged pickle: it sets the state of a {type(target).__name__}")

    def check_array(self, shape: Any, dtype: Any, data: Any) -> np.dtype:
        """The numpy dtype of an array, once its data is known to have just the size that its shape says."""
        if type(dtype) is not _Dtype or type(data) not in (bytes, bytearray):
            raise BadClipError("damaged pickle: an array without data type or data")
        resolved = dtype.resolve()
        if any(type(length) is not int or length < 0 for length in shape):
            raise BadClipError("damaged pickle: an array with an impossible shape")
        expected = math.prod(shape) * resolved.itemsize
        if expected != len(data):
            raise BadClipError(f"damaged pickle: an array of {expected} bytes comes with {len(data)}")
        self.allocate(expected)
        return resolved


def _encode(machine: _Machine, text: str, encoding: str) -> bytes:
    if encoding != "latin1" or type(text) is not str:
        raise BadClipError(f"forbidden encoding {encoding!r}: only latin1 carries bytes in a pickle")
    machine.allocate(len(text))
    return text.encode("latin1")


def _empty_bytes(machine: _Machine) -> bytes:
    return b""


def _empty_array(machine: _Machine, *_: Any) -> np.ndarray:
    return np.empty(0, dtype=np.int8)


def _array_from_buffer(machine: _Machine, data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    resolved = machine.check_array(shape, dtype, data)
    return np.frombuffer(bytes(data), resolved).reshape(shape, order=order)  # type: ignore[call-overload]


def _scalar(machine: _Machine, dtype: _Dtype, data: bytes) -> np.generic:
    return np.frombuffer(data, machine.check_array((), dtype, data))[0]


def _dtype(machine: _Machine, code: str, align: bool = False, copy: bool = True) -> _Dtype:
    dtype = _Dtype(str(code))
    dtype.resolve()
    return dtype


_CONSTRUCTORS: Final[dict[str, Callable[..., Any]]] = {
    # Bytes in the pickles of old protocols.
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    "numpy.dtype": _dtype,
    # numpy moved its core between versions 1 and 2.
    **{f"numpy.{core}.multiarray._reconstruct": _empty_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array_from_buffer for core in ("core", "_core")},
}
_ALLOWED_GLOBALS: Final = {*_CONSTRUCTORS, "numpy.ndarray"}


def _push_global(machine: _Machine, name: str) -> None:
    if name not in _ALLOWED_GLOBALS:
        raise BadClipError(f"the pickle asks for the forbidden global {name}")
    machine.push(_Global(name))


def _plain_key(key: Any) -> Any:
    # Hashing a deeply nested tuple overflows the stack of the interpreter, so only scalars are hashed.
    if not isinstance(key, (str, bytes, int, float, type(None))):
        raise BadClipError(f"damaged pickle: a {type(key).__name__} as key of a dict or member of a set")
    return key


def _mark(machine: _Machine, _: Any) -> None:
    machine.marked.append(machine.stack)
    machine.stack = []


def _pop(machine: _Machine, _: Any) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_marked()


def _pop_mark(machine: _Machine, _: Any) -> None:
    machine.pop_marked()


def _memoize(machine: _Machine, index: int | None) -> None:
    machine.memo[len(machine.memo) if index is None else index] = machine.stack[-1]


def _recall(machine: _Machine, index: int) -> None:
    machine.push(machine.memo[index])


def _append(machine: _Machine, items: list[Any]) -> None:
    machine.top(list).extend(items)


def _add(machine: _Machine, items: list[Any]) -> None:
    machine.top(set).update(map(_plain_key, items))


def _set_items(machine: _Machine, items: list[Any]) -> None:
    machine.top(dict).update(_pair_up(items))


def _pair_up(items: list[Any]) -> dict[Any, Any]:
    return {_plain_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


_LITERALS: Final = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_OPCODES: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _recall),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _memoize),
    "GLOBAL": lambda machine, argument: _push_global(machine, argument.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda machine, _: _push_global(machine, ".".join(map(str, machine.pop(2)))),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.pop_marked()),
    "APPEND": lambda machine, _: _append(machine, machine.pop(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.pop_marked()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_marked())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: machine.push(_pair_up(machine.pop_marked())),
    "SETITEM": lambda machine, _: _set_items(machine, machine.pop(2)),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.pop_marked()),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "ADDITEMS": lambda machine, _: _add(machine, machine.pop_marked()),
    "FROZENSET": lambda machine, _: machine.push(frozenset(map(_plain_key, machine.pop_marked()))),
}
