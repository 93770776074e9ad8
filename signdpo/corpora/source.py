"""What a reader of a corpus offers to the ingest."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from typing import Any, Final, Protocol

from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.storage.files import FileInfo, list_files

SPLITS = ("train", "dev", "test")
MISSING: Final = "missing"
MAX_CLIP_FRAMES: Final = 100_000  # an hour at 25 frames a second: no sentence, and more than should be stacked
MAX_CLIP_BYTES: Final = 256 * 1024**2
_VIDEO: Final = re.compile(r"\.(?:mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|flv|mts)$", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """One line of a corpus' listing: enough to read the clip elsewhere, small enough to send around a cluster.

    Args:
        id: unique within the corpus.
        split: one of `SPLITS`.
        location: what the reader needs to find the clip: a path, or a seed for a synthetic clip.
        text: the reference sentence.
        gloss: glosses in sign order, if any.
        signer: who signs, if known.
        size: of the clip's file in bytes, 0 if unknown. It stands in for the length before anything is read.
        stamp: changes when the clip's file does (modification time or the like); `MISSING` if there is no file, empty
            where there are no files.
    """

    id: str
    split: str
    location: str
    text: str
    gloss: tuple[str, ...] = ()
    signer: str = ""
    size: int = 0
    stamp: str = ""


class Source(Protocol):
    """A corpus on disk (or a synthetic one). Instances are pickled to Ray workers, so they hold settings, no data.

    Attributes:
        language: of the sentences.
        reading: a short text of all that, beside an entry and its file, decides what `read` returns: the kind of reader
            and its version, its settings, the corpus' root.
    """

    language: str
    reading: str

    def entries(self, split: str) -> list[Entry]:
        """List a split, cheaply: no clip is read. Raises `FileNotFoundError` with the remedy if it is not there."""
        ...

    def read(self, entry: Entry) -> Clip:
        """Read one clip: keypoints `(frames, 69, 3)` float32 in image coordinates, not normalised.

        Raises:
            BadClipError: with the reason, if the clip cannot be read or makes no sense.
        """
        ...


@contextmanager
def clip_file(uri: str) -> Iterator[None]:
    """While a clip's file is opened and read: what no further attempt can mend becomes a `BadClipError`.

    That there is no such file, or that its name is none; not that a disk or a connection fails.
    """
    try:
        yield
    except BadClipError:
        raise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise BadClipError(f"{uri} is missing") from error
    except (ValueError, OSError) as error:
        # A zero byte or half a character in the name, or too much of it.
        if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
            raise
        raise BadClipError(f"{uri!r:.100} is not the name of a file: {error!r:.50}") from error


def text_of(value: Any) -> str:
    """A label's string, empty if it is none. Half characters (lone surrogates), which no file can hold, become `?`."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def with_files(entries: list[Entry], folder: str, name_of: Callable[[str], str]) -> list[Entry]:
    """The entries with size and stamp of their files; `name_of` makes a location the file's name in `folder`."""
    files = list_files(folder, (name_of(entry.location) for entry in entries))
    nothing = FileInfo(0, MISSING)
    found = ((entry, files.get(name_of(entry.location), nothing)) for entry in entries)
    return [replace(entry, size=info.size, stamp=info.stamp) for entry, info in found]


def with_other_files(
    entries: list[Entry],
    folder: str,
    name_of: Callable[[str], str],
    other_places: Callable[[Entry], Iterable[str]],
) -> list[Entry]:
    """The entries, those without a file at the first of other locations where there is one.

    Args:
        entries: as `with_files` returns them.
        folder: that the names of files are relative to.
        name_of: a location's file.
        other_places: further locations that may stand for an entry's clip.
    """
    places = [
        tuple(other_places(entry)) if entry.stamp == MISSING and name_of(entry.location) else () for entry in entries
    ]
    files = list_files(folder, (name_of(place) for tried in places for place in tried))
    found = []
    for entry, tried in zip(entries, places, strict=True):
        there = next((place for place in tried if name_of(place) in files), None)
        if there is not None:
            info = files[name_of(there)]
            entry = replace(entry, location=there, size=info.size, stamp=info.stamp)
        found.append(entry)
    return found


def without_video_ending(name: str) -> str:
    """The name of a clip, without the ending of the video that it was made from, in whatever case."""
    return _VIDEO.sub("", name)


def fingerprint(source: Source, entries: Iterable[Entry]) -> str:
    """A hash of all that decides what a listing's clips will be: 16 hexadecimal digits. No clip is read."""
    digest = hashlib.sha256(f"{source.language} {source.reading}".encode())
    for entry in entries:
        digest.update(repr(astuple(entry)).encode(errors="backslashreplace"))
    return digest.hexdigest()[:16]
