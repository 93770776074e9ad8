"""The words in which two sentences differ."""

from __future__ import annotations

import difflib
import re
from typing import Final, NamedTuple

# A word, a Chinese character or a single mark, with the spaces before it: joined, the tokens are the sentence again.
_HAN: Final = r"\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN: Final = re.compile(rf"\s*(?:[{_HAN}]|[^\W{_HAN}]+(?:['’][^\W{_HAN}]+)*|\S)|\s+$")


class Stretch(NamedTuple):
    """Part of a sentence compared with another sentence.

    Args:
        text: the words, with the spaces before them; empty where only the other sentence has words.
        differs: whether the other sentence has something else in this place.
        lacking: words of the other sentence in this place; empty where the two agree.
    """

    text: str
    differs: bool = False
    lacking: str = ""


def stretches(sentence: str, other: str) -> list[Stretch]:
    """A sentence cut where it begins or ceases to differ from another; joined, the texts are the sentence again.

    Words are compared whole and regardless of case, Chinese character by character.
    """
    tokens, others = _TOKEN.findall(sentence), _TOKEN.findall(other)
    ours, theirs = ([token.strip().lower() for token in side] for side in (tokens, others))
    found = []
    for kind, start, end, first, last in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        differs = kind != "equal"
        found.append(
            Stretch("".join(tokens[start:end]), differs, "".join(others[first:last]).strip() if differs else "")
        )
    return found
