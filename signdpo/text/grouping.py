"""Messages that say the same of many things: grouped by what they say, without one's numbers being said of all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

# What differs between messages that say the same: paths, and numbers.
_VARYING: Final = re.compile(r"\S*/\S*|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_SEVERAL: Final = "..."  # in the place of paths that differ


@dataclass(frozen=True)
class Group(Generic[T]):
    """Messages that differ in numbers and paths alone.

    Args:
        text: what all of them say: a number that differs is given as a range, such as `4 to 9`, a path as `...`.
        first: the first of the messages.
        members: what they are of, in order.
    """

    text: str
    first: str
    members: tuple[T, ...]


def grouped(messages: Iterable[tuple[str, T]]) -> list[Group[T]]:
    """Groups of messages, each with what it is of; the largest first, then as they came."""
    by_template: dict[tuple[Any, ...], list[tuple[str, T]]] = {}
    for text, member in messages:
        kinds = tuple("/" in value for value in _VARYING.findall(text))
        by_template.setdefault((kinds, *_VARYING.split(text)), []).append((text, member))
    groups = [
        Group(_common([text for text, _ in group]), group[0][0], tuple(member for _, member in group))
        for group in by_template.values()
    ]
    return sorted(groups, key=lambda group: -len(group.members))


def _common(texts: Sequence[str]) -> str:
    """One text for texts of the same template."""
    values = zip(*map(_VARYING.findall, dict.fromkeys(texts)), strict=True)
    said = iter([_range(column) for column in values])
    return _VARYING.sub(lambda _: next(said), texts[0])


def _range(values: Sequence[str]) -> str:
    """What is said of all values of one place: the value, if it is one, else the range of numbers."""
    if len(set(values)) == 1:
        return values[0]
    if "/" in values[0]:
        return _SEVERAL
    return f"{min(values, key=float)} to {max(values, key=float)}"
