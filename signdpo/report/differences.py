"""The words in which two sentences differ, marked in HTML."""

from __future__ import annotations

import difflib
import re
from html import escape
from typing import Final

# A word, a Chinese character or a single mark, with the spaces before it: joined, the tokens are the sentence again.
_HAN: Final = r"\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN: Final = re.compile(rf"\s*(?:[{_HAN}]|[^\W{_HAN}]+(?:['’][^\W{_HAN}]+)*|\S)|\s+$")


def mark_differences(sentence: str, other: str) -> str:
    """`sentence` as HTML, with `<mark>` around what `other` does not have in that place.

    Words are compared whole and without regard to case, Chinese character by character. Where `other` has words that
    the sentence lacks, an empty `<mark class="gap">` stands, whose tooltip tells them.
    """
    tokens, others = _TOKEN.findall(sentence), _TOKEN.findall(other)
    matcher = difflib.SequenceMatcher(None, _comparable(tokens), _comparable(others), autojunk=False)
    pieces = []
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        text, lacking = "".join(tokens[start:end]), "".join(others[other_start:other_end])
        if kind == "equal":
            pieces.append(escape(text))
        elif kind == "insert":
            pieces.append(f'<mark class="gap" title="missing: {escape(lacking.strip())}"></mark>')
        else:
            words = text.lstrip()
            pieces.append(f"{escape(text.removesuffix(words))}<mark>{escape(words)}</mark>")
    return "".join(pieces)


def _comparable(tokens: list[str]) -> list[str]:
    return [token.strip().lower() for token in tokens]
