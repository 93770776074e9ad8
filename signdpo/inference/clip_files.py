"""Clip files among files and folders: of which kind each is, and what it is called.

An id is the file's path in the folder that was named, without its ending, or for a file that was named its name; where
two would be alike, so much more of the path that they differ.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.labelled import LabelledSource
from signdpo.corpora.registry import open_source
from signdpo.corpora.uni_sign import PACKED
from signdpo.storage.files import is_local, open_storage, read_bytes
from signdpo.text.printable import printable

OPENPOSE: Final = "openpose"  # the one kind whose clips are folders
SYNTHETIC: Final = "synthetic"  # the one kind that has no files
FRAMES: Final = re.compile(r".*[0-9]_keypoints\.json")  # what such a folder holds
PICKLES: Final = (".pkl", ".pickle", *(f".pkl{packed}" for packed in PACKED))
ENDINGS: Final[dict[str, tuple[str, ...]]] = {
    "pose": (".pose",),
    "npz": (".npz",),
    "uni_sign": PICKLES,
    "csl_news": PICKLES,
}
# What a file begins with, for those whose ending says nothing: a version, an archive, a gzip file or a pickle.
BEGINNINGS: Final[dict[str, tuple[bytes, ...]]] = {
    "pose": tuple(struct.pack("<f", version) for version in (0.0, 0.1, 0.2)),
    "npz": (b"PK\3\4",),
    "uni_sign": (b"\x1f\x8b", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6))),
}
KNOWN: Final = (
    ".pose files, pickles of the Uni-Sign release (.pkl), .npz files and folders of OpenPose's JSON "
    "(<name>_<number>_keypoints.json)"
)
NAMES_SHOWN: Final = 3


@dataclass(frozen=True)
class ClipFile:
    """A file, or for OpenPose a folder, that is a clip.

    Args:
        id: unique among those that are found together; printable.
        uri: an absolute path or a URI.
        kind: of the reader, as `corpus.kind` names it; empty if nothing is known that reads it.
    """

    id: str
    uri: str
    kind: str

    @property
    def place(self) -> str:
        """The URI as it may be written and printed."""
        return printable(self.uri)


@dataclass(frozen=True)
class Place:
    """Where a clip was found: `root` is the input that was named, `name` what is below it, if anything."""

    root: str
    name: str
    kind: str

    @property
    def uri(self) -> str:
        return f"{self.root}/{self.name}" if self.name else self.root

    def called(self, length: int) -> str:
        """Its name without its ending; with it; with the folder it lies in; and so on, `length` more of the path."""
        base = self.name or self.root.rpartition("/")[2]
        if length == 0:
            return printable(without_ending(base, self.kind))
        above = self.uri.removesuffix(base).rstrip("/").split("/")
        return printable("/".join([*above[len(above) - length + 1 :], base]))


def find_clips(inputs: Sequence[str], kind: str | None = None) -> tuple[list[Place], list[str]]:
    """The clips that files and folders hold, in their order, and the names of the files of folders that are none.

    Args:
        inputs: local paths or fsspec URIs; of a folder all clips count, however deep they lie. What is named itself is
            listed as a clip, whatever it is.
        kind: of all of them; None: as their names, or else their first bytes, tell.

    Raises:
        ConfigError: if there is no clip at all, or no such kind.
    """
    endings = None if kind is None else _endings_of(kind)
    found: dict[str, Place] = {}
    others: list[str] = []
    for given in inputs:
        root = os.path.abspath(given.removeprefix("file://")) if is_local(given) else given.rstrip("/")
        filesystem, path = open_storage(root)
        if not filesystem.isdir(path):
            found.setdefault(root, Place(root, "", kind or kind_of(root, sniff=True)))
            continue
        for name, is_frames in _walk(filesystem, path, set()):
            place = Place(root, name, _kind_in_folder(f"{root}/{name}", is_frames, kind, endings))
            if place.kind:
                found.setdefault(place.uri, place)
            else:
                others.append(printable(name))
    if not found:
        raise ConfigError(_nothing(inputs, others, kind))
    return list(found.values()), others


def with_ids(places: Sequence[Place], known: Mapping[str, str]) -> list[ClipFile]:
    """The clips with the shortest ids that tell them apart.

    Args:
        places: the clips.
        known: id -> printable URI of clips whose ids are taken, unless they are among these.
    """
    ours = {printable(place.uri) for place in places}
    taken = {id_ for id_, uri in known.items() if uri not in ours}
    lengths = [0] * len(places)
    while True:
        ids = [place.called(length) for place, length in zip(places, lengths, strict=True)]
        counts = Counter(ids)
        alike = [index for index, id_ in enumerate(ids) if counts[id_] > 1 or id_ in taken]
        longer = [index for index in alike if ids[index] != printable(places[index].uri)]
        if not longer:
            return [ClipFile(id_, place.uri, place.kind) for id_, place in zip(ids, places, strict=True)]
        for index in longer:
            lengths[index] += 1


def kind_of(uri: str, *, sniff: bool) -> str:
    """The kind of a clip's file by its ending, or, if asked to, by what it begins with; empty if neither tells."""
    for kind, endings in ENDINGS.items():
        if uri.lower().endswith(endings):
            return kind
    if not sniff or (is_local(uri) and not os.path.isfile(uri)):  # a pipe would be waited for
        return ""
    begins = read_bytes(uri, 4)
    return next((kind for kind, known in BEGINNINGS.items() if begins.startswith(known)), "")


def without_ending(name: str, kind: str) -> str:
    """A name without the ending of its kind."""
    endings = (*(ending for known in ENDINGS.values() for ending in known), *_own_ending(kind))
    found = max((ending for ending in endings if name.lower().endswith(ending)), key=len, default="")
    return name[: len(name) - len(found)] if len(found) < len(name.rpartition("/")[2]) else name


def _endings_of(kind: str) -> tuple[str, ...]:
    """What names of a kind's files end in. Raises `ConfigError` if there is no such kind."""
    own = ENDINGS.get(kind) or _own_ending(kind)
    if not own and kind != OPENPOSE:
        raise ConfigError(
            f"--kind {kind}: its clips are no files of their own; known are {', '.join(ENDINGS)}, {OPENPOSE}"
        )
    return own


def _own_ending(kind: str) -> tuple[str, ...]:
    """The ending of a reader that is not in the table: someone's own."""
    if not kind or kind in ENDINGS or kind in (OPENPOSE, SYNTHETIC):
        return ()
    source = open_source(CorpusConfig(kind=kind, root="."))
    return (source.ending,) if isinstance(source, LabelledSource) and source.ending else ()


def _kind_in_folder(uri: str, is_frames: bool, kind: str | None, endings: tuple[str, ...] | None) -> str:
    """The kind of what was found in a folder: `kind`, if one was asked for and it looks like it; empty if none."""
    if is_frames:
        return OPENPOSE if kind in (None, OPENPOSE) else ""
    if kind is not None and endings is not None:
        return kind if uri.lower().endswith(endings) else ""
    return kind_of(uri, sniff="." not in uri.rpartition("/")[2])


def _walk(filesystem: Any, path: str, seen: set[str]) -> Iterator[tuple[str, bool]]:
    """Names of the files below a folder, and of the folders of frames, which is told; empty for the folder itself."""
    real = os.path.realpath(path) if "file" in filesystem.protocol else path
    if real in seen:  # a link to a folder above
        return
    seen.add(real)
    items = sorted(filesystem.ls(path, detail=True), key=lambda item: str(item["name"]))
    named = {str(item["name"]).rstrip("/").rpartition("/")[2]: item for item in items}
    named = {name: item for name, item in named.items() if not name.startswith(".")}  # of macOS, too: ._clip.pose
    if any(map(FRAMES.fullmatch, named)):
        yield "", True
    for name, item in named.items():
        inner = f"{path.rstrip('/')}/{name}"
        if item["type"] == "directory" or (item.get("islink") and filesystem.isdir(inner)):
            for below, is_frames in _walk(filesystem, inner, seen):
                yield f"{name}/{below}" if below else name, is_frames
        elif not FRAMES.fullmatch(name):
            yield name, False


def _nothing(inputs: Collection[str], others: list[str], kind: str | None) -> str:
    named = ", ".join(map(printable, inputs))
    if not others:
        return f"{named}: the folder is empty; expected {KNOWN}"
    shown = ", ".join(others[:NAMES_SHOWN])
    more = f" and {len(others) - NAMES_SHOWN} more" if len(others) > NAMES_SHOWN else ""
    asked = f" of kind {kind}" if kind else ""
    return f"{named}: no clip{asked} among its files ({shown}{more}); expected {KNOWN}, or name the kind with --kind"
