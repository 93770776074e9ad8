"""The words in which two sentences differ."""

from __future__ import annotations

import difflib
import re
from html import escape
from typing import Final, NamedTuple

# A word, a Chinese character or a single mark, with the spaces before it: joined, the tokens are the sentence again.
_HAN: Final = r"\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN: Final = re.compile(rf"\s*(?:[{_HAN}]|[^\W{_HAN}]+(?:['’][^\W{_HAN}]+)*|\S)|\s+$")


class Stretch(NamedTuple):
    """Part of a sentence beside another sentence.

    Args:
        text: of the sentence, with the spaces before it; empty where the other says something in between.
        differs: whether the other has something else in its place.
        lacking: what the other has in its place; empty where they agree.
    """

    text: str
    differs: bool
    lacking: str


def stretches(sentence: str, other: str) -> list[Stretch]:
    """A sentence cut where it begins or ends to differ from another; joined, the texts are the sentence again.

    Words are compared whole and without regard to case, Chinese character by character.
    """
    tokens, others = _TOKEN.findall(sentence), _TOKEN.findall(other)
    matcher = difflib.SequenceMatcher(None, _comparable(tokens), _comparable(others), autojunk=False)
    found = []
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        differs = kind != "equal"
        lacking = "".join(others[other_start:other_end]).strip() if differs else ""
        found.append(Stretch("".join(tokens[start:end]), differs, lacking))
    return found


def mark_differences(sentence: str, other: str) -> str:
    """`sentence` as HTML, with `<mark>` around what `other` does not have in that place.

    Where `other` has words that the sentence lacks, an empty `<mark class="gap">` stands, whose tooltip tells them.
    """
    pieces = []
    for text, differs, lacking in stretches(sentence, other):
        if not differs:
            pieces.append(escape(text))
        elif not text:
            pieces.append(f'<mark class="gap" title="missing: {escape(lacking)}"></mark>')
        else:
            words = text.lstrip()
            pieces.append(f"{escape(text.removesuffix(words))}<mark>{escape(words)}</mark>")
    return "".join(pieces)


def _comparable(tokens: list[str]) -> list[str]:
    return [token.strip().lower() for token in tokens]
