"""Which clips share a shard: decided from the listing alone, before any clip is read.

Shards hold clips of like length, so that whoever reads them in order pads little, and they are cut where the content
says so: a clip that is added, removed or replaced changes the shard it lies in and leaves the other files alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass

from signdpo.config import CorpusConfig
from signdpo.corpora.source import SPLITS, Entry, Source
from signdpo.data.clips import Quarantined
from signdpo.skeleton.layout import LAYOUT_VERSION

PREPARATION = "2"  # raise it whenever the same clip, as read, is stored as something else


@dataclass(frozen=True)
class Shard:
    """The entries of one Parquet file.

    Args:
        split: they are of.
        key: a hash of all that decides the shard's content; also its file's name.
        entries: in the order of the rows.
        max_frames: of a stored clip.
    """

    split: str
    key: str
    entries: tuple[Entry, ...]
    max_frames: int


@dataclass(frozen=True)
class Listing:
    """What a corpus lists.

    Args:
        entries: split -> its entries, of the splits that are there.
        absent: split -> what its reader raised, of the others.
    """

    entries: Mapping[str, list[Entry]]
    absent: Mapping[str, FileNotFoundError]

    def whole(self) -> Mapping[str, list[Entry]]:
        """The entries of all splits. Raises `FileNotFoundError` with the remedy if one is absent."""
        for error in self.absent.values():
            raise error
        return self.entries

    def why_absent(self) -> dict[str, str]:
        """Absent split -> why, with the remedy."""
        return {split: str(error) for split, error in self.absent.items()}


def list_entries(source: Source, limit: int | None) -> Listing:
    """The listing of a corpus, at most `limit` entries a split.

    Raises:
        FileNotFoundError: if no split is there at all, and what else `Source.entries` raises.
    """
    entries, absent = {}, {}
    for split in SPLITS:
        try:
            entries[split] = source.entries(split)[:limit]
        except FileNotFoundError as error:
            absent[split] = error
    listing = Listing(entries, absent)
    if not entries:
        listing.whole()
    return listing


def plan_shards(
    source: Source, corpus: CorpusConfig, listed: Mapping[str, list[Entry]]
) -> tuple[list[Shard], list[Quarantined]]:
    """Cut the listing of a corpus, split -> entries, into shards; an id that appears a second time is refused.

    Ids are compared across splits too: a clip of the test split in the training split would spoil every score.
    """
    shards, duplicates = [], []
    first_split: dict[str, str] = {}
    for split, entries in listed.items():
        accepted = []
        for entry in entries:
            if entry.id in first_split:
                reason = f"the id appears a second time, after split {first_split[entry.id]}"
                duplicates.append(Quarantined(entry.id, split, entry.location, reason))
                continue
            first_split[entry.id] = split
            accepted.append(entry)
        accepted.sort(key=lambda entry: entry.size)  # stable: a corpus of unknown sizes keeps its order
        frames = (split == "train" and corpus.stored_frames) or corpus.max_frames
        for piece in cut(accepted, corpus.shard_rows):
            shards.append(Shard(split, _shard_key(source, piece, frames), piece, frames))
    return shards, duplicates


def cut(entries: list[Entry], shard_rows: int) -> Iterator[tuple[Entry, ...]]:
    """Cut a list after entries whose ids' hashes say so, into pieces of half of `shard_rows` to `shard_rows`.

    Content-defined boundaries, as in rsync and its kin: whatever changes in one piece, the next ones soon fall into
    step again.
    """
    fewest, one_in = max(shard_rows // 2, 1), max(shard_rows // 4, 1)
    begin = 0
    for end, entry in enumerate(entries, start=1):
        rows = end - begin
        if rows == shard_rows or (rows >= fewest and _number(entry.id) % one_in == 0):
            yield tuple(entries[begin:end])
            begin = end
    if begin < len(entries):
        yield tuple(entries[begin:])


def _number(id_: str) -> int:
    return int.from_bytes(hashlib.blake2b(id_.encode(errors="backslashreplace"), digest_size=8).digest())


def _shard_key(source: Source, entries: tuple[Entry, ...], max_frames: int) -> str:
    digest = hashlib.sha256(f"{PREPARATION} {LAYOUT_VERSION} {source.reading} {max_frames}".encode())
    for entry in entries:
        digest.update(repr(astuple(entry)).encode(errors="backslashreplace"))
    return digest.hexdigest()[:16]
