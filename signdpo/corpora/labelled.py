"""What the readers of clips in files of their own share: labels, splits, and stretches of longer files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Final

import numpy as np

from signdpo.config import CorpusConfig
from signdpo.corpora.labels import locate, path_of, read_labels
from signdpo.corpora.source import (
    MAX_CLIP_FRAMES,
    Entry,
    clip_file,
    with_files,
    with_other_files,
    without_video_ending,
)
from signdpo.corpora.splits import HELD_OUT, hold_out
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.skeleton.people import People
from signdpo.storage.files import absolute, join

LARGEST_SHARE: Final = 2.0  # pixels never end here, and shares of the picture hardly lead farther out of it


class LabelledSource(ABC):
    """A folder of clips and a table of labels (`signdpo.corpora.labels`).

    A corpus without a dev or a test split is split where `corpus.hold_out` says how (`signdpo.corpora.splits`).

    Args:
        corpus: `root` (the folder, local or any fsspec URI), `labels`, `person`, `hold_out` and `language`
            count.
    """

    kind: ClassVar[str]  # with a version, to be raised when the same file is read as something else
    ending: ClassVar[str]  # of a clip's file, where the labels name none

    def __init__(self, corpus: CorpusConfig) -> None:
        self.root = absolute(str(corpus.root))
        self.labels = corpus.labels
        self.person = corpus.person
        self.hold_out = corpus.hold_out
        self.language = corpus.language
        self.reading = f"{self.kind} {self.root} person={self.person}"

    @abstractmethod
    def keypoints(self, uri: str, stretch: tuple[int, int] | None) -> np.ndarray | People:
        """Keypoints `(frames, 69, 3)` float32 of a file, or of the frames from the first to before the second.

        Where a file may show several people, all that it shows: `corpus.person` decides who of them counts.

        Raises:
            FileNotFoundError: if there is no such file.
            BadClipError: with the reason, if it makes no sense.
        """

    def folder(self, split: str) -> str:
        """Where the files of a split lie in the corpus: a path that ends in a slash, or nothing for its own folder."""
        return ""

    def entries(self, split: str) -> list[Entry]:
        """List a split in the order of its labels; a row that makes no sense is listed so that `read` says why.

        Raises:
            FileNotFoundError: if there are no labels, or none of this split and nothing is held out for it.
            BadClipError: if a table of labels makes no sense as a whole.
            ValueError: if what is held out leaves nothing of the split.
        """
        labels = read_labels(self.root, self.labels, self.ending)
        by_split = {name: [entry for entry in labels if entry.split == name] for name in ("train", *HELD_OUT)}
        missing = tuple(name for name in HELD_OUT if not by_split[name])
        if split == "train" and not by_split["train"]:
            raise FileNotFoundError(f"the labels in {self.root} have no clip in split train; check column split")
        if split in missing and not self.hold_out:
            raise FileNotFoundError(
                f"the labels in {self.root} have no clip in split {split}; check column split, or set corpus.hold_out "
                "(for example to 0.05) to take that share of the training recordings"
            )
        listed = by_split[split]
        if self.hold_out and missing and split in ("train", *missing):
            listed = hold_out(by_split["train"], split, self.hold_out, missing)
        # Held-out clips still lie where the training split lies.
        prefix = self.folder("train" if split in missing else split)
        placed = [
            replace(entry, location=prefix + entry.location) if path_of(entry.location) else entry for entry in listed
        ]
        found = with_other_files(with_files(placed, self.root, path_of), self.root, path_of, self._other_places)
        if all(entry.size for entry in placed if path_of(entry.location)):
            # Lengths of clips tell more than sizes of files or folders.
            return [replace(entry, size=listed.size) for entry, listed in zip(found, placed, strict=True)]
        return found

    def _other_places(self, entry: Entry) -> Iterator[str]:
        """Where a clip lies whose label names a video, or a file without its ending."""
        path = path_of(entry.location)
        stretch = entry.location.removeprefix(path)
        name = path.removesuffix(self.ending)
        for place in (f"{without_video_ending(name)}{self.ending}", f"{path}{self.ending}"):
            yield f"{place}{stretch}"

    def read(self, entry: Entry) -> Clip:
        """Read one clip: keypoints `(frames, 69, 3)` float32 in the unit of the corpus, mostly pixels.

        Raises:
            BadClipError: naming what is wrong with the clip's file or its row in the labels.
        """
        path, stretch = locate(entry.location)
        uri = join(self.root, path)
        with clip_file(uri):
            found = self.keypoints(uri, stretch)
        keypoints, notes = found.signer(self.person) if isinstance(found, People) else (found, ())
        return Clip(entry.id, entry.text, keypoints, gloss=entry.gloss, signer=entry.signer, notes=notes)


def frames_of(stretch: tuple[int, int] | None, num_frames: int) -> range:
    """The frames of a clip in its file, once known to be there and not too many. Raises `BadClipError`."""
    first, last = stretch or (0, num_frames)
    if stretch and not first < last <= num_frames:
        raise BadClipError(f"start {first} and end {last} do not lie in the {num_frames} frames of the file")
    if not 0 < last - first <= MAX_CLIP_FRAMES:
        raise BadClipError(f"the clip has {last - first} frames, expected 1 to {MAX_CLIP_FRAMES}")
    return range(first, last)


def scale_notes(points: np.ndarray, shares: str, halves: str) -> Iterator[str]:
    """What is assumed of coordinates that are no pixels.

    Args:
        points: `(sightings, joints, 3)` x, y and confidence.
        shares: what they are if none is negative.
        halves: what they are if some are.
    """
    positions = points[points[..., 2] > 0, :2]
    if positions.size and np.abs(positions).max() <= LARGEST_SHARE:
        yield f"coordinates are {halves if positions.min() < 0 else shares}, which was taken to be as wide as high"
