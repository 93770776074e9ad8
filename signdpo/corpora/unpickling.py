"""Reading pickles from strangers: containers, scalars and numeric numpy arrays, and nothing else.

The public corpora come as pickles, and unpickling runs whatever program the file holds. Here no unpickler runs at all:
`signdpo.corpora.pickle_machine` carries out those opcodes that build plain data. Globals are mere names to it; four of
them stand for constructors of its own (`signdpo.corpora.pickle_arrays`).
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, Final

from signdpo.corpora.pickle_machine import MEBIBYTE, Machine
from signdpo.skeleton.clip import BadClipError
from signdpo.storage.files import read_bytes

MAX_BYTES: Final = 256 * MEBIBYTE
GZIP_MAGIC: Final = b"\x1f\x8b"


def load_pickle(path: str | Path, max_bytes: int = MAX_BYTES) -> Any:
    """Read a pickle, plain or gzip, without running anything it holds.

    Args:
        path: a local path or any fsspec URI.
        max_bytes: at most this many bytes are read, decompressed, and again as many allocated for arrays and for all
            other objects together.

    Raises:
        FileNotFoundError: if there is no such file.
        BadClipError: if the file is damaged, too large, or holds anything but None, bool, int, float, str, bytes, list,
            tuple, dict, set and numeric numpy arrays and scalars; the message names the forbidden global.
    """
    content = read_bytes(str(path), max_bytes + 1)
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(max_bytes + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise BadClipError(f"damaged gzip file: {error}") from error
    if len(content) > max_bytes:
        raise BadClipError(f"the pickle is larger than {max_bytes / MEBIBYTE:.0f} MiB")
    return parse_pickle(content, max_bytes)


def parse_pickle(content: bytes, max_bytes: int = MAX_BYTES) -> Any:
    """`load_pickle` of bytes at hand. Raises `BadClipError` alike."""
    try:
        return Machine(max_bytes).run(content)
    except BadClipError:
        raise
    except Exception as error:  # a program written to hurt fails in ways that no list of exceptions covers
        raise BadClipError(f"damaged pickle: {error}") from error
