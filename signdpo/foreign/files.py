"""Files as people have them: read no farther than a limit, and named for what they are where they hold no data.

A repository cloned without its large files, a download that met a login page, a copy that stopped half-way: each leaves
something under the right name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import fsspec

from signdpo.skeleton.clip import BadClipError
from signdpo.storage.files import SpecialFileError, is_local, open_local, read_bytes

HEAD_BYTES: Final = 1024  # that tell what a file is

_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_AGAIN: Final = "fetch it again"
# What the beginning of a file looks like, in lower case and without white space before it -> what the file is.
_INSTEAD_OF_DATA: Final = {
    re.compile(rb"\Z"): f"an empty file: {_AGAIN}",
    re.compile(rb"\0{64}"): f"a file of zeros, which an interrupted download leaves: {_AGAIN}",
    re.compile(rb"version https://git-lfs\.github\.com/spec/"): "a Git LFS pointer, not the file: run git lfs pull",
    re.compile(rb"[./a-z]*/annex/objects/"): "a git-annex pointer, not the file: run git annex get",
    re.compile(
        rb"<(!doctype html|html|head|body|!--)"
    ): f"an HTML page, not the file: its download asked for a login or failed, {_AGAIN}",
    re.compile(rb"<(\?xml|error)"): f"an XML message of a server, not the file: its download failed, {_AGAIN}",
}


def refuse_instead_of_data(head: bytes) -> None:
    """Raise `BadClipError` with its kind and the remedy if a file that begins so is no data of any format."""
    start = head[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    for pattern, kind in _INSTEAD_OF_DATA.items():
        if pattern.match(start):
            raise BadClipError(f"this is {kind}")


def read_file(uri: str, limit: int) -> bytes:
    """A whole file.

    Args:
        uri: local path or any fsspec URI.
        limit: on its size in bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        BadClipError: if it is larger, no data at all, or a pipe, a device, a socket or a folder.
    """
    with _regular():
        content = read_bytes(uri, limit + 1)
    refuse_instead_of_data(content)
    if len(content) > limit:
        raise BadClipError(f"the file is larger than {limit / 1024**2:.0f} MiB")
    return content


def read_text(uri: str, limit: int, *, lines: int) -> str:
    """A whole file of text in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Args:
        uri: local path or any fsspec URI.
        limit: on its size in bytes.
        lines: limit on their number.

    Raises:
        FileNotFoundError: if there is no such file.
        BadClipError: as `read_file` does, with the file, or the line that is not of this encoding.
    """
    try:
        content = read_file(uri, limit)
    except BadClipError as error:
        raise BadClipError(f"{uri}: {error}") from error
    if content.count(b"\n") > lines:
        raise BadClipError(f"{uri} has more than {lines} lines")
    try:
        return content.decode("utf-16" if content.startswith(_UTF_16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadClipError(
            f"{uri}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from error


@contextmanager
def _regular() -> Iterator[None]:
    try:
        yield
    except IsADirectoryError as error:
        raise BadClipError("this is a folder, expected a file") from error
    except SpecialFileError as error:
        raise BadClipError(f"this is {error}, expected a regular file") from error


@contextmanager
def open_file(uri: str) -> Iterator[BinaryIO]:
    """A file to be read in parts, from its beginning. Raises like `read_file`."""
    with _regular():
        opened = open_local(uri) if is_local(uri) else fsspec.open(uri, "rb")
    with opened as file:
        refuse_instead_of_data(file.read(HEAD_BYTES))
        file.seek(0)
        yield file


def parse_json(content: bytes, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """What JSON holds, `object_hook` of its objects. Raises `BadClipError` if it is none, and says if it is cut off."""
    try:
        return json.loads(content, object_hook=object_hook)
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :].strip()
        # What is left is nothing, or the beginning of a word, a name or a number.
        if len(rest) <= 1 or rest in ("tr", "tru", "fa", "fal", "fals", "nu", "nul") or "Unterminated" in error.msg:
            raise BadClipError(f"the file is cut off, its JSON ends too early: {_AGAIN}") from error
        raise BadClipError(f"this is not JSON: {error}") from error
    except (ValueError, RecursionError) as error:
        raise BadClipError(f"this is not JSON: {error}") from error
