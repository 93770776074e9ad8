"""Text of strangers, shown: what steers a terminal is no part of a sentence or a name."""

from __future__ import annotations

import unicodedata


def printable(name: str) -> str:
    """A name with escapes in place of characters that are no text: control characters, half characters, backslashes."""
    return "".join(
        sign if sign.isprintable() and sign != "\\" else sign.encode("unicode_escape", "backslashreplace").decode()
        for sign in name
    )


def control_character(text: str) -> str | None:
    """The first character of a text that is a command to a terminal and no white space, escaped; None without one."""
    found = (sign for sign in text if unicodedata.category(sign) == "Cc" and not sign.isspace())
    return next(map(printable, found), None)
