"""From a corpus to Parquet, on Ray: every clip is read, checked, shortened, normalised and stored, or quarantined.

Each task makes one shard that was planned beforehand and writes it itself. So the driver sees counts and refusals only,
a task that runs twice writes the same file twice, and the outcome does not depend on the parallelism.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import fsspec
import numpy as np
import ray

from signdpo.config import CorpusConfig
from signdpo.corpora.clips import (
    Manifest,
    Quarantined,
    SplitSummary,
    clip_to_row,
    prepare_clip,
    row_digest,
    shard_files,
    shard_uri,
    write_manifest,
    write_quarantine,
    write_shard,
)
from signdpo.corpora.source import SPLITS, Entry, Source
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.layout import LAYOUT_VERSION
from signdpo.storage import absolute

CPUS_PER_SHARD: Final = 1.0


class TooManyBadClipsError(ValueError):
    """More of the corpus was refused than `corpus.max_bad_share` allows."""


@dataclass(frozen=True)
class Shard:
    """The entries of one Parquet file."""

    split: str
    index: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class ShardOutcome:
    """What became of a shard: the length in frames and the digest of each row, and the entries that were refused."""

    split: str
    index: int
    frames: list[int]
    digests: list[str]
    quarantined: list[Quarantined]


def ingest(
    source: Source,
    directory: str,
    corpus: CorpusConfig,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Read a whole corpus and store it under `directory`, replacing the clips that were there.

    Args:
        source: the corpus.
        directory: a local path or any fsspec URI that every node of the cluster can write to.
        corpus: `max_frames`, `max_bad_share`, `shard_rows` and `limit` count.
        progress: called with the number of entries done and of all entries, as shards are finished.

    Raises:
        FileNotFoundError: if a split is missing.
        TooManyBadClipsError: after `quarantine.jsonl` is written. There is no manifest then.
        ValueError: if a split has no clip left.
    """
    directory = absolute(directory)
    shards, duplicates = plan_shards(source, corpus)
    _clear(directory)
    total = sum(len(shard.entries) for shard in shards)
    done, outcomes = 0, []
    for outcome in _write_shards(shards, source, directory, corpus.max_frames):
        outcomes.append(outcome)
        done += len(outcome.frames) + len(outcome.quarantined)
        if progress is not None:
            progress(done, total)
    # Tasks finish in any order.
    outcomes.sort(key=lambda outcome: (SPLITS.index(outcome.split), outcome.index))

    quarantined = duplicates + [record for outcome in outcomes for record in outcome.quarantined]
    quarantine_uri = write_quarantine(directory, quarantined)
    _refuse_too_many(quarantined, total + len(duplicates), corpus.max_bad_share, quarantine_uri)
    manifest = Manifest(
        language=source.language,
        source=source.fingerprint(),
        layout=LAYOUT_VERSION,
        content_hash=_content_hash(outcomes),
        splits={split: _summarise(split, outcomes, quarantined, quarantine_uri) for split in SPLITS},
    )
    write_manifest(directory, manifest)
    return manifest


def plan_shards(source: Source, corpus: CorpusConfig) -> tuple[list[Shard], list[Quarantined]]:
    """Cut the listing of the corpus into shards; an id that appears a second time is refused.

    Ids are compared across splits too: a clip of the test split in the training split would spoil every score.
    """
    shards, duplicates = [], []
    first_split: dict[str, str] = {}
    for split in SPLITS:
        accepted = []
        for entry in source.entries(split)[: corpus.limit]:
            if entry.id in first_split:
                reason = f"the id appears a second time, after split {first_split[entry.id]}"
                duplicates.append(Quarantined(entry.id, split, entry.location, reason))
                continue
            first_split[entry.id] = split
            accepted.append(entry)
        starts = range(0, len(accepted), corpus.shard_rows)
        for index, start in enumerate(starts):
            shards.append(Shard(split, index, tuple(accepted[start : start + corpus.shard_rows])))
    return shards, duplicates


def _clear(directory: str) -> None:
    """Remove an earlier ingest, its manifest first: what is half removed must not look finished."""
    filesystem, folder = fsspec.core.url_to_fs(directory)
    for name in ("manifest.json", "quarantine.jsonl"):
        if filesystem.exists(f"{folder}/{name}"):
            filesystem.rm_file(f"{folder}/{name}")
    for split in SPLITS:
        for path in shard_files(directory, split, unfinished=True):
            filesystem.rm_file(path)


def _write_shards(shards: list[Shard], source: Source, directory: str, max_frames: int) -> Iterator[ShardOutcome]:
    if not shards:
        return
    # One row is one shard, and pickled it stays one whatever Ray Data does to blocks.
    rows = ray.data.from_items([{"shard": pickle.dumps(shard)} for shard in shards], override_num_blocks=len(shards))
    task = partial(_run_task, source=source, directory=directory, max_frames=max_frames)
    for row in rows.map(task, num_cpus=CPUS_PER_SHARD).iter_rows():
        outcome = json.loads(row["outcome"])
        outcome["quarantined"] = [Quarantined(**record) for record in outcome["quarantined"]]
        yield ShardOutcome(**outcome)


def _run_task(row: dict[str, Any], source: Source, directory: str, max_frames: int) -> dict[str, str]:
    outcome = make_shard(pickle.loads(row["shard"]), source, directory, max_frames)
    return {"outcome": json.dumps(asdict(outcome))}


def make_shard(shard: Shard, source: Source, directory: str, max_frames: int) -> ShardOutcome:
    """Read the clips of a shard and write those that are good to its file; no file if there are none."""
    rows, digests, quarantined = [], [], []
    for entry in shard.entries:
        try:
            row = clip_to_row(prepare_clip(source.read(entry), max_frames))
            digests.append(row_digest(row))
        except BadClipError as error:
            quarantined.append(Quarantined(entry.id, entry.split, entry.location, str(error)))
        except Exception as error:  # whatever one file does to its reader, the run goes on
            reason = f"{type(error).__name__}: {error}"
            quarantined.append(Quarantined(entry.id, entry.split, entry.location, reason))
        else:
            rows.append(row)
    if rows:
        write_shard(shard_uri(directory, shard.split, shard.index), rows)
    return ShardOutcome(shard.split, shard.index, [row["num_frames"] for row in rows], digests, quarantined)


def _refuse_too_many(quarantined: list[Quarantined], total: int, max_bad_share: float, quarantine_uri: str) -> None:
    if len(quarantined) <= max_bad_share * total:
        return
    raise TooManyBadClipsError(
        f"{len(quarantined)} of {total} clips were refused, more than corpus.max_bad_share={max_bad_share:g} allows:\n"
        + "\n".join(f"  {line}" for line in commonest_reasons(quarantined))
        + f"\nAll are listed in {quarantine_uri}. Repair or remove them, or raise corpus.max_bad_share."
    )


def commonest_reasons(quarantined: list[Quarantined], count: int = 3) -> list[str]:
    """The reasons most often met, a line each with an example; reasons that differ in numbers or paths are one."""
    groups: dict[str, list[Quarantined]] = {}
    for record in quarantined:
        groups.setdefault(re.sub(r"\S*/\S*|\d+", "", record.reason), []).append(record)
    largest = sorted(groups.values(), key=len, reverse=True)[:count]
    return [f"{len(group)} x {group[0].reason} (clip {group[0].id})" for group in largest]


def _summarise(
    split: str, outcomes: list[ShardOutcome], quarantined: list[Quarantined], quarantine_uri: str
) -> SplitSummary:
    shards = [outcome for outcome in outcomes if outcome.split == split and outcome.frames]
    frames = [length for outcome in shards for length in outcome.frames]
    if not frames:
        raise ValueError(f"split {split} has no clip left; what was refused is listed in {quarantine_uri}")
    return SplitSummary(
        clips=len(frames),
        quarantined=sum(record.split == split for record in quarantined),
        shards=len(shards),
        shortest=min(frames),
        median=float(np.median(frames)),
        longest=max(frames),
    )


def _content_hash(outcomes: list[ShardOutcome]) -> str:
    digest = hashlib.sha256()
    for outcome in outcomes:
        for row in outcome.digests:
            digest.update(f"{outcome.split} {row}\n".encode())
    return digest.hexdigest()
