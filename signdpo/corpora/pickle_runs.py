"""The machine's short cut: arrays of one kind that follow each other in a pickle, each in one step instead of 22.

A clip is a list of one array a frame, and all but the first are written by the same opcodes with other data (so does
protocol 4, Python's default since 3.8). They leave the stack and the memo as the single steps would; whatever does not
look like that is left to the single steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from signdpo.corpora.pickle_arrays import RECONSTRUCT, Dtype, check_array

BYTES_PER_ARRAY: Final = 1024  # about what an array and the tuples and strings beside it allocate

_GET: Final = rb"(h.|j....)"
_LENGTH: Final = rb"(?:K.|M..|J....)"
# reconstruct(ndarray, (0,), b"b"), then begin to set its state to (1, shape, dtype, is it in Fortran's order, data).
_HEAD: Final = re.compile(
    _GET + _GET + rb"K\x00\x85\x94" + _GET + rb"\x87\x94R\x94"
    rb"\(K\x01(" + _LENGTH + rb"{1,3})([\x85-\x87])\x94" + _GET + rb"([\x88\x89])(C.|B....)",
    re.DOTALL,
)  # fmt: skip
_TAIL: Final = b"\x94t\x94b"
_TUPLE1: Final = 0x85


def take_arrays(
    stack: list[Any], memo: dict[int, Any], allocate: Callable[[int], None], content: bytes, position: int
) -> int:
    """Push the arrays that begin at `position`, none or many, and return the position of the opcode after them."""
    found = _HEAD.match(content, position)
    if found is None:
        return position
    function, class_, kind, dtype = (memo[_number(get)] for get in found.group(1, 2, 3, 6))
    lengths = re.findall(_LENGTH, found[4], re.DOTALL)
    if function not in RECONSTRUCT or type(dtype) is not Dtype or len(lengths) != found[5][0] - _TUPLE1 + 1:
        return position

    shape = tuple(map(_number, lengths))
    is_fortran = found[7] == b"\x88"
    size = _number(found[8])
    resolved = check_array(shape, dtype, size, allocate)
    head = found[0]
    while content.startswith(head, position) and content.startswith(_TAIL, position + len(head) + size):
        allocate(size + BYTES_PER_ARRAY)
        begin = position + len(head)
        data = content[begin : begin + size]
        array = np.ndarray(shape, resolved, data, order="F" if is_fortran else "C")
        zero = (0,)
        for item in (zero, (class_, zero, kind), array, shape, data, (1, shape, dtype, is_fortran, data)):
            memo[len(memo)] = item
        stack.append(array)
        position = begin + size + len(_TAIL)
    return position


def _number(opcode: bytes) -> int:
    """The number that follows an opcode of one byte; `J` alone is signed."""
    return int.from_bytes(opcode[1:], "little", signed=opcode[:1] == b"J")
