"""A machine that carries out the opcodes of a pickle that build plain data, and refuses all others."""

from __future__ import annotations

from typing import Any, Final

from signdpo.corpora.pickle_opcodes import STEPS, STOP
from signdpo.skeleton.clip import BadClipError

MEBIBYTE: Final = 1024 * 1024
# About what an opcode allocates: the size of the file alone bounds nothing, for one byte can make an object of 200.
BYTES_PER_OPCODE: Final = 64


class Machine:
    """Carries out the opcodes of one pickle.

    Args:
        max_bytes: that arrays, and all other objects together, may take.
    """

    __slots__ = ("allocated", "marked", "max_bytes", "memo", "stack")

    def __init__(self, max_bytes: int) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.max_bytes = max_bytes
        self.allocated = 0

    def run(self, content: bytes) -> Any:
        """What the pickle holds. Raises `BadClipError` for what is forbidden, and anything for what is damaged."""
        position = 0
        limit = self.max_bytes // BYTES_PER_OPCODE
        for _ in range(limit):
            opcode = content[position]
            if opcode == STOP:
                return self.pop(1)[0]
            position = STEPS[opcode](self, content, position + 1)
        raise BadClipError(f"the pickle has more than {limit} opcodes")

    def allocate(self, size: int) -> None:
        """Account for `size` bytes: short opcodes can copy one long string many times."""
        self.allocated += size
        if self.allocated > self.max_bytes:
            raise BadClipError(f"the pickle's arrays take more than {self.max_bytes / MEBIBYTE:.0f} MiB")

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
