"""The few constructors that a pickle from a stranger may call: byte strings and numeric numpy arrays and scalars."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from signdpo.skeleton.clip import BadClipError

MAX_DIMENSIONS: Final = 32
MAX_LENGTH: Final = 2**31
# Booleans, integers and floats of 1 to 8 bytes. No structure, no string, no object, and nothing numpy has to parse.
_DTYPES: Final = {
    order + code: np.dtype(code).newbyteorder(order)  # type: ignore[arg-type]
    for order in "<>="
    for code in ("b1", "i1", "u1", "i2", "u2", "f2", "i4", "u4", "f4", "i8", "u8", "f8")
}
_BYTE_ORDERS: Final = {"<": "<", ">": ">", "|": "=", "=": "="}

Allocate = Callable[[int], None]


@dataclass(frozen=True, eq=False, slots=True)
class Global:
    """A global that the pickle names. It is a name only, and cannot be called."""

    name: str


@dataclass(slots=True)
class Dtype:
    """A numpy dtype under construction: a pickle gives its byte order after its code."""

    code: str
    resolved: np.dtype

    def set_state(self, state: Any) -> None:
        self.resolved = _DTYPES[_BYTE_ORDERS[state[1]] + self.code]


def set_array_state(array: np.ndarray, state: Any, allocate: Allocate) -> None:
    """Fill an array in place, since the pickle's memo already refers to it."""
    _, shape, dtype, is_fortran, data = state
    resolved = check_array(shape, dtype, _size(data), allocate)
    array.__setstate__((1, shape, resolved, bool(is_fortran), bytes(data)))  # type: ignore[arg-type]


def _size(data: Any) -> int:
    if type(data) not in (bytes, bytearray):
        raise BadClipError("damaged pickle: an array without data")
    return len(data)


def check_array(shape: Any, dtype: Any, size: int, allocate: Allocate) -> np.dtype:
    """The numpy dtype of an array, once its `size` in bytes is known to be just what its shape says."""
    if type(dtype) is not Dtype:
        raise BadClipError("damaged pickle: an array without data type")
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise BadClipError("damaged pickle: an array with an impossible shape")
    for length in shape:
        if type(length) is not int or not 0 <= length <= MAX_LENGTH:
            raise BadClipError("damaged pickle: an array with an impossible shape")
    expected = math.prod(shape) * dtype.resolved.itemsize
    if expected != size:
        raise BadClipError(f"damaged pickle: an array of {expected} bytes comes with {size}")
    allocate(expected)
    return dtype.resolved


def _encode(allocate: Allocate, text: str, encoding: str) -> bytes:
    if encoding != "latin1" or type(text) is not str:
        raise BadClipError(f"forbidden encoding {encoding!r}: only latin1 carries bytes in a pickle")
    allocate(len(text))
    return text.encode("latin1")


def _empty_bytes(allocate: Allocate) -> bytes:
    return b""


def _empty_array(allocate: Allocate, *_: Any) -> np.ndarray:
    return np.empty(0, dtype=np.int8)


def _array_from_buffer(allocate: Allocate, data: bytes, dtype: Dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    resolved = check_array(shape, dtype, _size(data), allocate)
    return np.frombuffer(bytes(data), resolved).reshape(shape, order=order)  # type: ignore[call-overload]


def _scalar(allocate: Allocate, dtype: Dtype, data: bytes) -> np.generic:
    return np.frombuffer(data, check_array((), dtype, _size(data), allocate))[0]


def _dtype(allocate: Allocate, code: str, align: bool = False, copy: bool = True) -> Dtype:
    if type(code) is not str or f"={code}" not in _DTYPES:
        raise BadClipError(f"forbidden array type {code!r:.40}: only numbers are read")
    return Dtype(code, _DTYPES[f"={code}"])


CONSTRUCTORS: Final[dict[str, Callable[..., Any]]] = {
    # Bytes in the pickles of old protocols.
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    "numpy.dtype": _dtype,
    # numpy moved its core between versions 1 and 2.
    **{f"numpy.{core}.multiarray._reconstruct": _empty_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array_from_buffer for core in ("core", "_core")},
}
GLOBALS: Final = {name: Global(name) for name in (*CONSTRUCTORS, "numpy.ndarray")}
RECONSTRUCT: Final = tuple(GLOBALS[f"numpy.{core}.multiarray._reconstruct"] for core in ("core", "_core"))
