"""From a corpus to Parquet, on Ray: every clip is read, checked, shortened, normalised and stored, or quarantined.

Each task makes one shard that was planned beforehand and writes it itself, then a record of what became of it. So the
driver sees counts and refusals only, a task that runs twice writes the same file twice, the outcome does not depend on
the parallelism, and an ingest that was cut off, or whose corpus has changed a little, reads what is missing only.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import fsspec
import numpy as np
import ray

from signdpo.config import CorpusConfig
from signdpo.corpora.planning import Shard, list_entries, plan_shards
from signdpo.corpora.source import SPLITS, Source, fingerprint
from signdpo.corpora.time_limit import time_limit
from signdpo.data.clips import (
    Manifest,
    Quarantined,
    SplitSummary,
    prepare_clip,
    shard_uri,
    write_manifest,
    write_quarantine,
    write_shard,
)
from signdpo.data.rows import clip_to_row, row_digest
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.layout import LAYOUT_VERSION
from signdpo.storage.files import absolute, join, list_folder, read_json, write_json
from signdpo.text.grouping import Group, grouped

CPUS_PER_SHARD: Final = 1.0
RECORDS: Final = "shards"  # folder of what became of each shard
WRITTEN_ENDINGS: Final = (".parquet", ".partial", ".json")


class TooManyBadClipsError(ValueError):
    """More of the corpus was refused than `corpus.max_bad_share` allows, or all of a split."""


@dataclass(frozen=True)
class ShardOutcome:
    """What became of a shard: the length in frames and the digest of each row, and the entries that were refused.

    Args:
        notes: what is to be said of the clips that were stored -> of how many.
        final: False if a clip was refused for a reason that reading it again may not meet, such as a broken connection.
    """

    split: str
    key: str
    frames: list[int]
    digests: list[str]
    quarantined: list[Quarantined]
    notes: dict[str, int]
    final: bool


def ingest(
    source: Source,
    directory: str,
    corpus: CorpusConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    any_split: bool = False,
) -> Manifest:
    """Read a corpus and store it under `directory`; shards that are there already and still right are kept.

    Args:
        source: the corpus.
        directory: a local path or any fsspec URI that every node of the cluster can write to.
        corpus: `max_frames`, `max_bad_share`, `clip_seconds`, `shard_rows` and `limit` count.
        progress: called with the number of entries done and of all entries, first of all and as shards are finished.
        any_split: whether a corpus is taken of which only some of the splits are there, for other uses than training.

    Raises:
        FileNotFoundError: if a split is missing, or there is no clip in any. One that is there and lists nothing is
            stored as empty: so small a corpus is converted all the same.
        TooManyBadClipsError: after `quarantine.jsonl` is written. There is no manifest then.
    """
    directory = absolute(directory)
    listing = list_entries(source, corpus.limit)
    listed = listing.entries if any_split else listing.whole()
    shards, duplicates = plan_shards(source, corpus, listed)
    if not shards:
        raise FileNotFoundError("the corpus lists no clip at all: check corpus.root and corpus.labels")
    outcomes = _kept(directory, shards)
    _clear(directory, keep=outcomes)
    total = sum(len(shard.entries) for shard in shards)
    done = sum(len(outcome.frames) + len(outcome.quarantined) for outcome in outcomes.values())
    if progress is not None:
        progress(done, total)
    missing = [shard for shard in shards if (shard.split, shard.key) not in outcomes]
    for outcome in _write_shards(missing, source, directory, corpus.clip_seconds):
        outcomes[outcome.split, outcome.key] = outcome
        done += len(outcome.frames) + len(outcome.quarantined)
        if progress is not None:
            progress(done, total)

    in_order = [outcomes[shard.split, shard.key] for shard in shards]  # tasks finish in any order
    quarantined = duplicates + [record for outcome in in_order for record in outcome.quarantined]
    quarantine_uri = write_quarantine(directory, quarantined)
    _refuse_too_many(quarantined, total + len(duplicates), corpus.max_bad_share, quarantine_uri)
    manifest = Manifest(
        language=source.language,
        source=fingerprint(source, (entry for shard in shards for entry in shard.entries)),
        layout=LAYOUT_VERSION,
        content_hash=_content_hash(in_order),
        splits={split: _summarise(split, in_order, quarantined, quarantine_uri) for split in listed},
        absent=listing.why_absent(),
        notes=_notes_of(in_order),
    )
    write_manifest(directory, manifest)
    return manifest


def _kept(directory: str, shards: list[Shard]) -> dict[tuple[str, str], ShardOutcome]:
    """The outcomes of those shards that an earlier ingest finished and whose files are still there."""
    names = {split: set(list_folder(join(directory, split))) for split in (*SPLITS, RECORDS)}
    outcomes = {}
    for shard in shards:
        record = _record_name(shard.split, shard.key)
        if record not in names[RECORDS]:
            continue
        outcome = _from_json(read_json(join(directory, RECORDS, record)))
        if not outcome.frames or shard_uri(directory, shard.split, shard.key).rsplit("/", 1)[-1] in names[shard.split]:
            outcomes[shard.split, shard.key] = outcome
    return outcomes


def _clear(directory: str, keep: dict[tuple[str, str], ShardOutcome]) -> None:
    """Remove what an earlier ingest left, its manifest first: what is half removed must not look finished."""
    filesystem, folder = fsspec.core.url_to_fs(directory)
    for name in ("manifest.json", "quarantine.jsonl"):
        if filesystem.exists(f"{folder}/{name}"):
            filesystem.rm_file(f"{folder}/{name}")
    kept = {_record_name(*shard) for shard in keep} | {shard_uri("", *shard).lstrip("/") for shard in keep}
    for part in (*SPLITS, RECORDS):
        for name in list_folder(join(directory, part)):
            ours = name if part == RECORDS else f"{part}/{name}"
            if ours not in kept and name.endswith(WRITTEN_ENDINGS):
                filesystem.rm_file(f"{folder}/{part}/{name}")


def _write_shards(shards: list[Shard], source: Source, directory: str, clip_seconds: float) -> Iterator[ShardOutcome]:
    if not shards:
        return
    # One row is one shard, and pickled it stays one whatever Ray Data does to blocks.
    rows = ray.data.from_items([{"shard": pickle.dumps(shard)} for shard in shards], override_num_blocks=len(shards))
    rows.set_name("ingest")
    task = partial(ingest_shard, source=source, directory=directory, clip_seconds=clip_seconds)
    for row in rows.map(task, num_cpus=CPUS_PER_SHARD).iter_rows():
        yield _from_json(json.loads(row["outcome"]))


def ingest_shard(row: dict[str, Any], source: Source, directory: str, clip_seconds: float) -> dict[str, str]:
    outcome = make_shard(pickle.loads(row["shard"]), source, directory, clip_seconds=clip_seconds)
    return {"outcome": json.dumps(asdict(outcome))}


def make_shard(shard: Shard, source: Source, directory: str, clip_seconds: float | None = None) -> ShardOutcome:
    """Read the clips of a shard, write those that are good to its file (no file if there are none), then its record."""
    rows, digests, quarantined = [], [], []
    notes = Counter[str]()
    final = True
    for entry in shard.entries:
        try:
            with time_limit(clip_seconds):
                clip = prepare_clip(source.read(entry), shard.max_frames)
            row = clip_to_row(clip)
            digests.append(row_digest(row))
        except BadClipError as error:
            quarantined.append(Quarantined(entry.id, entry.split, entry.location, str(error)))
        except Exception as error:  # whatever one file does to its reader, the run goes on
            final = False
            reason = f"{type(error).__name__}: {error}"
            quarantined.append(Quarantined(entry.id, entry.split, entry.location, reason))
        else:
            rows.append(row)
            notes.update(clip.notes)
    if rows:
        write_shard(shard_uri(directory, shard.split, shard.key), rows)
    frames = [row["num_frames"] for row in rows]
    outcome = ShardOutcome(shard.split, shard.key, frames, digests, quarantined, dict(notes), final)
    if final:
        write_json(join(directory, RECORDS, _record_name(shard.split, shard.key)), asdict(outcome))
    return outcome


def _record_name(split: str, key: str) -> str:
    return f"{split}-{key}.json"


def _from_json(plain: dict[str, Any]) -> ShardOutcome:
    return ShardOutcome(**plain | {"quarantined": [Quarantined(**record) for record in plain["quarantined"]]})


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
    groups = grouped((record.reason, record) for record in quarantined)[:count]
    return [f"{len(group.members)} x {group.text} ({_example(group)})" for group in groups]


def _example(group: Group[Quarantined]) -> str:
    clip = f"clip {group.members[0].id}"
    return clip if group.text == group.first else f"such as {clip}: {group.first}"


def _summarise(
    split: str, outcomes: list[ShardOutcome], quarantined: list[Quarantined], quarantine_uri: str
) -> SplitSummary:
    shards = [outcome for outcome in outcomes if outcome.split == split and outcome.frames]
    frames = [length for outcome in shards for length in outcome.frames]
    refused = sum(record.split == split for record in quarantined)
    if refused and not frames:
        raise TooManyBadClipsError(f"split {split} has no clip left; what was refused is listed in {quarantine_uri}")
    return SplitSummary(
        clips=len(frames),
        quarantined=refused,
        files=[shard_uri("", split, outcome.key).rsplit("/", 1)[-1] for outcome in shards],
        shortest=min(frames, default=0),
        median=float(np.median(frames or [0])),
        longest=max(frames, default=0),
    )


def _notes_of(outcomes: list[ShardOutcome]) -> dict[str, int]:
    """What is to be said of the clips -> of how many; what differs in numbers alone is one note."""
    counts = sum((Counter(outcome.notes) for outcome in outcomes), Counter[str]())
    groups = grouped(sorted(counts.items()))
    return dict(sorted((group.text, sum(group.members)) for group in groups))


def _content_hash(outcomes: list[ShardOutcome]) -> str:
    digest = hashlib.sha256()
    for outcome in outcomes:
        for row in outcome.digests:
            digest.update(f"{outcome.split} {row}\n".encode())
    return digest.hexdigest()
