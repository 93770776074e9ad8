"""What a reader of a corpus offers to the ingest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from signdpo.skeleton.clip import Clip

SPLITS = ("train", "dev", "test")


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
    """

    id: str
    split: str
    location: str
    text: str
    gloss: tuple[str, ...] = ()
    signer: str = ""


class Source(Protocol):
    """A corpus on disk (or a synthetic one). Instances are pickled to Ray workers, so they hold settings, no data."""

    language: str

    def entries(self, split: str) -> list[Entry]:
        """List a split, cheaply: no clip is read. Raises `FileNotFoundError` with the remedy if it is not there."""
        ...

    def read(self, entry: Entry) -> Clip:
        """Read one clip: keypoints `(frames, 69, 3)` float32 in image coordinates, not normalised.

        Raises:
            BadClipError: with the reason, if the clip cannot be read or makes no sense.
        """
        ...

    def fingerprint(self) -> str:
        """A short hash of all that decides what `entries` lists and `read` returns, short of the files' bytes."""
        ...
