"""Pickles from strangers: containers, scalars and numeric numpy arrays, and nothing else.

A pickle is a program. `_Unpickler` has a few constructors of its own for it and no other class or function. That alone
bounds neither memory nor time, nor does it keep C code alive: a memo index of 2**32 takes 64 GiB, and to hash a tuple
10**5 deep overflows the stack. So `_checked` reads the opcodes first, compares lengths with what is there and limits
the rest.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from signdpo.foreign.archives import unpacked
from signdpo.foreign.files import read_file, refuse_instead_of_data
from signdpo.skeleton.clip import BadClipError

MEBIBYTE: Final = 1024**2
MAX_BYTES: Final = 256 * MEBIBYTE
OPCODE_SHARE: Final = (
    16  # one in so many of `max_bytes` may be opcodes; a byte of them makes an object of up to 80 bytes
)

_FRAME: Final = 0x95
_STOP: Final = ord(".")
_LONG1: Final = 0x8A
# Of strings, bytes and LONG1: how many bytes their length takes.
_LENGTH_BYTES: Final = {0x8C: 1, ord("X"): 4, 0x8D: 8, ord("C"): 1, ord("B"): 4, 0x8E: 8, 0x96: 8, _LONG1: 1}
_PLAIN: Final = re.compile(
    rb"(?:[)012NRabelstu\]\x85-\x89\x93\x94]|\((?!d)|[Khq\x80].|M..|[Jj].{4}|G.{8}"
    rb"|g\d{1,9}\n|[IL]-?\d{1,19}L?\n|F[^\n]{1,32}\n|V[^\n]*+\n|c[^\n]{1,99}\n[^\n]{1,99}\n)*+",
    re.DOTALL,
)
_PUT: Final = re.compile(rb"p(\d{1,9})\n|r(.{4})", re.DOTALL)
# Carried out as others: dicts become ours, which check their keys, and sets become lists.
_NEW_DICT: Final = b"cbuiltins\ndict\n)R"
_REPLACED: Final = {b"}": _NEW_DICT, b"(d": _NEW_DICT, b"\x8f": b"]", b"\x90": b"e", b"\x91": b"l"}


def load_pickle(path: str | Path, max_bytes: int = MAX_BYTES) -> Any:
    """Read a pickle, plain or within gzip or zip, without running anything it holds.

    Args:
        path: local path or any fsspec URI.
        max_bytes: limit on the size of the file, decompressed, and on that of its arrays together. All its other
            objects take at most five times as much.

    Raises:
        FileNotFoundError: if there is no such file.
        BadClipError: if the file is damaged, too large, or holds anything but None, bool, int of 64 bits, float, str,
            bytes, list, tuple, dict, set (read as a list) and numeric numpy arrays and scalars; the message names the
            forbidden global.
    """
    content = unpacked(read_file(str(path), max_bytes), max_bytes)
    if len(content) > max_bytes:
        raise BadClipError(f"the pickle is larger than {max_bytes / MEBIBYTE:.0f} MiB")
    refuse_instead_of_data(content)
    return parse_pickle(content, max_bytes)


def parse_pickle(content: bytes, max_bytes: int = MAX_BYTES) -> Any:
    """`load_pickle` of bytes at hand. Raises `BadClipError` alike."""
    try:
        return _Unpickler(_checked(content, max_bytes // OPCODE_SHARE), max_bytes).load()
    except BadClipError:
        raise
    except Exception as error:  # a program written to hurt fails in ways that no list of exceptions covers
        raise BadClipError(f"damaged pickle: {error}") from error


def _checked(content: bytes, limit: int) -> bytes:
    """The program in one frame, once its opcodes are known to be harmless and to take at most `limit` bytes.

    Frames of its own go: where one ends within an opcode, the unpickler would see other opcodes than we do.
    """
    parts: list[bytes] = []
    taken = position = opcode_bytes = 0  # `content[taken:position]` is to become the next part
    while True:
        end = _PLAIN.match(content, position).end()  # type: ignore[union-attr]
        if end == len(content):
            raise BadClipError("the pickle is cut off: it has no end")
        opcode = content[end]
        opcode_bytes += end - position + 1
        if opcode_bytes > limit:
            raise BadClipError(f"the pickle has more than {limit} bytes of opcodes")
        if width := _LENGTH_BYTES.get(opcode):
            begin = end + 1 + width
            position = begin + int.from_bytes(content[end + 1 : begin], "little")
            if position > len(content) or (opcode == _LONG1 and position - begin > 8):
                raise BadClipError("the pickle is cut off within a string, or has an integer of more than 64 bits")
        elif put := _PUT.match(content, end):
            position = put.end()
            if (int(put[1]) if put[1] else int.from_bytes(put[2], "little")) > limit:
                raise BadClipError(f"damaged pickle: a memo of more than {limit} objects")
        elif opcode == _STOP:
            program = b"".join([*parts, content[taken : end + 1]])
            return pickle.FRAME + len(program).to_bytes(8, "little") + program
        else:
            replaced, replacement = _replacement(content, end)
            parts += [content[taken:end], replacement]
            taken = position = end + replaced
            opcode_bytes += len(replacement)


def _replacement(content: bytes, position: int) -> tuple[int, bytes]:
    """How many bytes at this place give way to which others. Raises `BadClipError` where no opcode is allowed."""
    if content[position] == _FRAME:
        return 9, b""
    for replaced, replacement in _REPLACED.items():
        if content.startswith(replaced, position):
            return len(replaced), replacement
    names = {opcode.code: opcode.name for opcode in pickletools.opcodes}
    raise BadClipError(f"forbidden pickle opcode {names.get(chr(content[position]), content[position])}")


class _Unpickler(pickle.Unpickler):
    """Carries out a checked program, whose globals are the constructors below."""

    def __init__(self, program: bytes, max_bytes: int) -> None:
        super().__init__(io.BytesIO(program))
        self.max_bytes = self.room = max_bytes

    def find_class(self, module: str, name: str) -> Any:
        name = f"{module}.{name}"
        if name == "numpy.ndarray":
            return name  # an argument of `_reconstruct`, and nothing to call
        if name not in _CONSTRUCTORS:
            raise BadClipError(f"the pickle asks for the forbidden global {ascii(name)[1:-1]:.200}")
        return _Constructor(self, _CONSTRUCTORS[name])

    def take(self, size: int) -> None:
        """Account for `size` bytes: short opcodes can copy one long string many times."""
        self.room -= size
        if self.room < 0:
            raise BadClipError(f"the pickle's arrays take more than {self.max_bytes / MEBIBYTE:.0f} MiB")


class _Constructor:
    """A function that the pickle may call but not change: opcode BUILD sets attributes of a plain one."""

    __slots__ = ("_function", "_unpickler")

    def __init__(self, unpickler: _Unpickler, function: Callable[..., Any]) -> None:
        self._unpickler, self._function = unpickler, function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(self._unpickler, *arguments)

    def __setstate__(self, state: Any) -> None:
        raise BadClipError("damaged pickle: it sets the state of a function")


class _Dict(dict[Any, Any]):
    """A dict whose keys are scalars: tuples may be too deep to be hashed, or chosen so that their hashes collide."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, (str, bytes, int, float, type(None))):
            raise BadClipError(f"damaged pickle: a {type(key).__name__} as key of a dict")
        super().__setitem__(key, value)


class _Dtype:
    """A numeric dtype under construction: a pickle gives its byte order after its code."""

    __slots__ = ("dtype", "unpickler")

    def __init__(self, unpickler: _Unpickler, code: Any, align: Any = False, copy: Any = True) -> None:
        if type(code) is not str or not re.fullmatch("b1|[iu][1248]|f[248]", code):
            raise BadClipError(f"forbidden array type {code!a:.40}: only numbers are read")
        self.unpickler, self.dtype = unpickler, np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder(">" if state[1] == ">" else "<" if state[1] == "<" else "=")


def _checked_dtype(dtype: Any, shape: Any, data: Any) -> np.dtype:
    """The dtype of an array, once its data is known to be just as long as its shape says."""
    if type(dtype) is not _Dtype or type(data) not in (bytes, bytearray) or type(shape) is not tuple:
        raise BadClipError("damaged pickle: an array without data type, shape or data")
    claimed = dtype.dtype.itemsize
    for length in shape:
        if type(length) is not int or length < 0:
            raise BadClipError("damaged pickle: an array with an impossible shape")
        claimed *= length
    if claimed != len(data):
        raise BadClipError(f"damaged pickle: an array of {claimed} bytes comes with {len(data)}")
    dtype.unpickler.take(claimed)
    return dtype.dtype


class _Array(np.ndarray):
    """An array that a pickle can only fill."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        checked: Any = (1, shape, _checked_dtype(dtype, shape, data), is_fortran is True, bytes(data))
        np.ndarray.__setstate__(self, checked)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise BadClipError("damaged pickle: it sets items of an array")


def _reconstruct(unpickler: _Unpickler, *_: Any) -> np.ndarray:
    return _Array(0)


def _from_buffer(unpickler: _Unpickler, data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    array = np.frombuffer(bytes(data), _checked_dtype(dtype, shape, data))  # as protocol 5 has it
    return array.reshape(shape, order="F" if order == "F" else "C").view(_Array)


def _scalar(unpickler: _Unpickler, dtype: Any, data: Any) -> np.generic:
    return np.frombuffer(data, _checked_dtype(dtype, (), data))[0]


def _encode(unpickler: _Unpickler, text: Any, encoding: Any) -> bytes:
    if encoding != "latin1" or type(text) is not str:  # which is how protocols 0 to 2 carry bytes
        raise BadClipError(f"forbidden encoding {encoding!a:.40}: only latin1 carries bytes in a pickle")
    unpickler.take(len(text))
    return text.encode("latin1")


_CONSTRUCTORS: Final[dict[str, Callable[..., Any]]] = {
    **dict.fromkeys(("builtins.dict", "collections.OrderedDict"), lambda unpickler: _Dict()),
    **dict.fromkeys(("builtins.bytes", "__builtin__.bytes"), lambda unpickler: b""),
    "_codecs.encode": _encode,
    "numpy.dtype": _Dtype,
    # numpy moved its core between versions 1 and 2.
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
