"""Names of files for ids that come from strangers."""

from __future__ import annotations

import hashlib
import re
from typing import Final

LONGEST: Final = 120  # bytes; with a hash and an ending they fit any file system


def file_stem(id_: str) -> str:
    """A file's name, without an ending, for an id; ids that would be alike as names of files get different ones."""
    name = re.sub(r"[^\w.-]", "_", id_).encode()[:LONGEST].decode(errors="ignore")
    if name == id_:
        return name
    return f"{name}-{hashlib.blake2b(id_.encode(errors='backslashreplace'), digest_size=4).hexdigest()}"
