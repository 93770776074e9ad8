"""Archives from strangers: a file within gzip or zip, unpacked no farther than a limit."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from typing import BinaryIO, Final

from signdpo.skeleton.clip import BadClipError

GZIP_MAGIC: Final = b"\x1f\x8b"
ZIP_MAGIC: Final = b"PK\3\4"
MAX_DIRECTORY_BYTES: Final = 1024**2  # of a zip archive's own list of what it holds
_END_OF_ARCHIVE: Final = b"PK\5\6"
_END_BYTES: Final = 22
_ZIP64_LOCATOR: Final = b"PK\6\7"
_LOCATOR_BYTES: Final = 20
# What macOS and Windows put beside the file that was meant.
_BESIDE: Final = ("__MACOSX/", ".DS_Store", "._", "Thumbs.db")


def unpacked(content: bytes, limit: int) -> bytes:
    """The one file in a gzip or zip archive; anything else as it is.

    Args:
        content: of a file.
        limit: in bytes, on what is unpacked; one byte more may come back.

    Raises:
        BadClipError: if the archive is damaged, cut off or of several files.
    """
    try:
        if content.startswith(GZIP_MAGIC):
            return gzip.GzipFile(fileobj=io.BytesIO(content)).read(limit + 1)
        if content.startswith(ZIP_MAGIC):
            return _unzipped(content, limit)
    except EOFError as error:
        raise BadClipError(f"the gzip file is cut off: {error}") from error
    except (OSError, zlib.error) as error:
        raise BadClipError(f"damaged gzip file: {error}") from error
    return content


def check_directory(file: BinaryIO) -> None:
    """Refuse a zip archive that is cut off, or lists more than a few files: the list is read whole.

    Raises:
        BadClipError: saying which.
    """
    begins = file.read(len(ZIP_MAGIC))
    file.seek(max(file.seek(0, 2) - _END_BYTES - _LOCATOR_BYTES, 0))
    tail = file.read()
    file.seek(0)
    end = tail[-_END_BYTES:]
    if begins not in (ZIP_MAGIC, _END_OF_ARCHIVE):
        raise BadClipError("this is no zip archive")
    if not end.startswith(_END_OF_ARCHIVE):
        raise BadClipError("the archive is cut off, or was not written by numpy or zip")
    if tail.startswith(_ZIP64_LOCATOR) or int.from_bytes(end[12:16], "little") > MAX_DIRECTORY_BYTES:
        raise BadClipError("the archive lists too many files")


def _unzipped(content: bytes, limit: int) -> bytes:
    file = io.BytesIO(content)
    check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            files = [
                info
                for info in archive.infolist()
                if not info.is_dir() and not any(part.startswith(_BESIDE) for part in (info.filename, _base(info)))
            ]
            if len(files) != 1:
                raise BadClipError(f"the zip archive holds {len(files)} files, expected one")
            with archive.open(files[0]) as member:
                return member.read(limit + 1)
    except BadClipError:
        raise
    except Exception as error:  # a file made to hurt fails in ways that no list of exceptions covers
        raise BadClipError(f"damaged zip archive: {error}") from error


def _base(info: zipfile.ZipInfo) -> str:
    return info.filename.rpartition("/")[2]
