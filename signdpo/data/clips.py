"""Clips as they are stored: Parquet shards that anybody can read, a manifest, and the quarantine.

<directory>/<split>/part-<key>.parquet ...
<directory>/manifest.json                    lists the parts of each split in order
<directory>/quarantine.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from signdpo.data.rows import CLIP_SCHEMA, clip_table
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.skeleton.layout import CHANNELS, NUM_JOINTS, PARTS
from signdpo.skeleton.normalisation import normalise
from signdpo.storage.files import join, read_text, write_bytes, write_text
from signdpo.storage.retries import retried


def prepare_clip(clip: Clip, max_frames: int) -> Clip:
    """Make a clip as read into a clip as stored: checked, at most `max_frames` long, normalised, with zeros for holes.

    A hand or a face that is never seen becomes one of the clip's notes.

    Raises:
        BadClipError: with the reason, if nothing can be learned from the clip.
    """
    if clip.keypoints.shape[1:] == (NUM_JOINTS, CHANNELS):
        clip = clip.without_holes()
    clip.check()
    clip = clip.sampled(max_frames)
    keypoints = normalise(clip.keypoints)
    if not keypoints.any():
        raise BadClipError(
            "the body is not visible: fewer than 4 of its joints are above confidence 0.3, or all in one"
        )
    absent = [part for part, joints in PARTS.items() if not keypoints[:, joints, 2].any()]
    notes = (f"the {part.replace('_', ' ')} is never seen" for part in absent)
    return replace(clip, keypoints=keypoints, notes=(*clip.notes, *notes))


def shard_uri(directory: str, split: str, key: str) -> str:
    return join(directory, split, f"part-{key}.parquet")


def write_shard(uri: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of `clip_to_row` to one Parquet file, whole or not at all."""
    write_parquet(uri, clip_table(rows))


def write_parquet(uri: str, table: pa.Table) -> None:
    """Write a table of keypoints to one Parquet file, whole or not at all."""
    buffer = pa.BufferOutputStream()
    # No two coordinates are equal, so dictionaries only cost. Splitting bytes would save another quarter of the space,
    # but few readers other than Arrow know it for half precision.
    pq.write_table(table, buffer, compression="zstd", use_dictionary=False)
    write_bytes(uri, memoryview(buffer.getvalue()).tobytes())


@retried
def read_parquet(uri: str, schema: pa.Schema | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet file, or some columns of it."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    return pq.read_table(path, filesystem=filesystem, schema=schema, columns=None if columns is None else list(columns))


def shard_files(directory: str, split: str) -> list[str]:
    """Paths of a split's shards on their filesystem, in order.

    Raises:
        FileNotFoundError: if the directory was not ingested to the end, or has no such split.
    """
    try:
        files = read_manifest(directory).splits[split].files
    except (FileNotFoundError, KeyError) as error:
        raise FileNotFoundError(f"there are no clips in {directory}/{split}: make them with jobs/prepare.py") from error
    _, folder = fsspec.core.url_to_fs(join(directory, split))
    return [f"{folder}/{file}" for file in files]


def read_clips(directory: str | Path, split: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a split, in the order of its shards.

    Args:
        directory: where clips were ingested to: a local path or any fsspec URI.
        split: "train", "dev" or "test".
        columns: names of `CLIP_SCHEMA` to read; all by default.

    Raises:
        FileNotFoundError: if the split is not there.
    """
    return _read_files(str(directory), shard_files(str(directory), split), columns)


@retried
def _read_files(directory: str, paths: list[str], columns: Sequence[str] | None) -> pa.Table:
    filesystem, _ = fsspec.core.url_to_fs(directory)
    shards = pa.dataset.dataset(paths, schema=CLIP_SCHEMA, filesystem=filesystem, format="parquet")
    return shards.to_table(columns=None if columns is None else list(columns))


@retried
def read_shard(directory: str, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one of the `shard_files` of a directory."""
    filesystem, _ = fsspec.core.url_to_fs(directory)
    return pq.read_table(
        path, filesystem=filesystem, schema=CLIP_SCHEMA, columns=None if columns is None else list(columns)
    )


class SplitSummary(BaseModel):
    """What a split holds: the names of its files in order, and lengths in frames, as stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clips: int
    quarantined: int
    files: list[str]
    shortest: int
    median: float
    longest: int


class Manifest(BaseModel):
    """What was ingested; its file is written last, so a directory without one is unfinished.

    Args:
        language: of the sentences.
        source: fingerprint of the corpus that was read.
        layout: version of the joint layout, `signdpo.skeleton.layout.LAYOUT_VERSION`.
        content_hash: of all stored rows in order, the same whatever the shards and the parallelism.
        splits: by name, of those that the corpus has.
        absent: split that it lacks -> why.
        notes: what their users should know of the clips -> how many it is true of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str
    source: str
    layout: str
    content_hash: str
    splits: dict[str, SplitSummary]
    absent: dict[str, str] = {}
    notes: dict[str, int] = {}

    def notes_in_words(self) -> list[str]:
        """The notes, a line each."""
        clips = sum(split.clips for split in self.splits.values())
        return [f"{count} of {clips} clips: {note}" for note, count in self.notes.items()]


def write_manifest(directory: str, manifest: Manifest) -> None:
    write_text(join(directory, "manifest.json"), manifest.model_dump_json(indent=2) + "\n")


def read_manifest(directory: str) -> Manifest:
    """Raises `FileNotFoundError` if the directory was not ingested to the end."""
    return Manifest.model_validate_json(read_text(join(directory, "manifest.json")))


@dataclass(frozen=True)
class Quarantined:
    """An input that was refused, and why."""

    id: str
    split: str
    location: str
    reason: str


def write_quarantine(directory: str, records: Iterable[Quarantined]) -> str:
    """Write `quarantine.jsonl` (an empty file if nothing was refused) and return its URI."""
    uri = join(directory, "quarantine.jsonl")
    lines = "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
    # A lone surrogate in a stranger's text is no UTF-8; JSON's own escape for it is.
    write_text(uri, lines.encode(errors="backslashreplace").decode())
    return uri


def read_quarantine(directory: str) -> list[Quarantined]:
    lines = read_text(join(directory, "quarantine.jsonl")).split("\n")
    return [Quarantined(**json.loads(line)) for line in lines if line]
