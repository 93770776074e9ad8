"""Sentences as units: words where a script has spaces, characters where it has none, and the edits between two."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Chinese characters and Japanese kana
UNIT = re.compile(rf"(\s*)([{IDEOGRAPH}]|[^\W{IDEOGRAPH}]+(?:['’.@-][^\W{IDEOGRAPH}]+)*|[^\w\s])")
SPACED_IDEOGRAPHS = re.compile(rf"(?<=[{IDEOGRAPH}])\s+|\s+(?=[{IDEOGRAPH}])")


class Operation(IntEnum):
    """What becomes of a unit of the source, or what is put before it."""

    KEEP = 0
    OMIT = 1
    SUBSTITUTE = 2
    INSERT = 3


class Edit(NamedTuple):
    """One edit: of unit `position` of the source, or before it; `unit` is what is written, None if nothing new is."""

    operation: Operation
    position: int
    unit: str | None


def split_units(sentence: str) -> list[str]:
    """A sentence -> its units; `join_units` gives it back, but for repeated spaces.

    A unit is a word, a Chinese character or a punctuation mark. It starts with a space if a space goes before it, as a
    word at the beginning does, wherever it stands.
    """
    units: list[str] = []
    for match in UNIT.finditer(sentence):
        space, unit = match.groups()
        first = not units and unit[0].isalnum() and not re.match(rf"[{IDEOGRAPH}]", unit)
        units.append(f" {unit}" if space or first else unit)
    return units


def join_units(units: Sequence[str]) -> str:
    return "".join(units).strip()


def join_ideographs(sentence: str) -> str:
    """The sentence without the spaces that some releases put between Chinese characters."""
    return SPACED_IDEOGRAPHS.sub("", sentence)


def folded(text: str) -> str:
    """The letters and digits of a text, without case and width: what two sentences that read alike share."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def words_of(sentence: str) -> list[str]:
    """The folded words of a sentence, or its Chinese characters; no punctuation."""
    return [word for word in map(folded, split_units(sentence)) if word]


def align(source: Sequence[str], target: Sequence[str]) -> list[Edit]:
    """The fewest edits from one sequence of units to another (Levenshtein 1966), in order; each edit costs 1.

    Units that read alike are kept, with the source's spelling. Of equally short scripts, the one that substitutes.
    """
    old, new = [folded(unit) or unit.strip() for unit in source], [folded(unit) or unit.strip() for unit in target]
    costs = [[*range(len(new) + 1)]]  # (source + 1, target + 1)
    for row, unit in enumerate(old, start=1):
        above, here = costs[-1], [row]
        for column, other in enumerate(new, start=1):
            here.append(min(above[column - 1] + (unit != other), above[column] + 1, here[column - 1] + 1))
        costs.append(here)
    edits: list[Edit] = []
    row, column = len(old), len(new)
    while row or column:
        cost = costs[row][column]
        if row and column and cost == costs[row - 1][column - 1] + (old[row - 1] != new[column - 1]):
            row, column = row - 1, column - 1
            same = old[row] == new[column]
            edits.append(Edit(Operation.KEEP, row, None) if same else Edit(Operation.SUBSTITUTE, row, target[column]))
        elif row and cost == costs[row - 1][column] + 1:
            row -= 1
            edits.append(Edit(Operation.OMIT, row, None))
        else:
            column -= 1
            edits.append(Edit(Operation.INSERT, row, target[column]))
    return edits[::-1]
