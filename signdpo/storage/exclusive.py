"""Files that are created only if there is none, where the storage can do that."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path
from typing import Final

from signdpo.storage.files import is_local, join, open_storage, remove_file

CONDITIONAL: Final = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}  # protocols with a conditional write


def creates_exclusively(folder: str) -> bool:
    """Whether the storage creates a file only if there is none, by two tries: old clients and some stores do not."""
    probe = join(folder, f"probe-{uuid.uuid4().hex}")
    if not is_local(folder) and folder.partition("://")[0] not in CONDITIONAL:
        return False
    try:
        return create(probe, b"") and not create(probe, b"")
    except Exception:  # a client that does not know the condition, a disk without links; claims need neither
        return False
    finally:
        remove_file(probe)


def create(uri: str, content: bytes) -> bool:
    """Write a whole file unless there is one; whether it was written.

    By a hard link on a local disk, where a file opened with O_EXCL would be there before its content; elsewhere by the
    conditional write of fsspec.

    Raises:
        OSError, or what the storage's client raises, if neither could be told.
    """
    filesystem, path = open_storage(uri)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    try:
        if is_local(uri):
            _link(path, content)
        else:
            filesystem.pipe_file(path, content, mode="create")
    except OSError as error:
        if isinstance(error, FileExistsError) or error.errno == errno.EINVAL:  # s3fs has no other for some stores' 412
            return False
        raise
    return True


def _link(path: str, content: bytes) -> None:
    partial = Path(f"{path}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.write_bytes(content)
        os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)
