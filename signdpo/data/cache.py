"""Cached negatives: the preference rows of all epochs as Parquet, made once and read by every run they fit.

<directory>/<key>/part-<epoch>-<step>-<digest>.parquet ...   rows of one block each, plain Arrow columns
<directory>/<key>/manifest.json                              what decided the rows, and the parts; written last

Every run of the same data, policies, settings and seed finds them under the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import ray.data

from signdpo.config import Config, ConfigError, flat
from signdpo.data.actor_pool import on_actors
from signdpo.data.clips import CLIP_SCHEMA, read_parquet
from signdpo.data.schedule import Block, Schedule
from signdpo.data.stream import ClipStore, Recipe, scheduled
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.pipeline.actors import CacheNegatives
from signdpo.pipeline.stage import RunContext, input_key
from signdpo.storage.files import absolute, exists, fetch_folder, join, list_folder, read_json, write_json
from signdpo.storage.retries import retried

FORMAT = 2  # of the parts; raise it when the same settings come to make other rows
MANIFEST = "manifest.json"
DELIVERY = {"mode", "cache", "policy", "refresh_every"}  # keys of `negatives` that say how, not what
REMEDY = "set negatives.cache=null and this run makes its own"


class IncompleteCacheError(RuntimeError):
    """Some rows of a cache were not written, or are not in its files."""


def decided_by(config: Config, before: Mapping[str, Mapping[str, Any]], perturber: str) -> dict[str, Any]:
    """Everything that decides the negatives, by name. Beta, weights and learning rates do not.

    Batches and devices are left out too: they move reference log-probabilities by rounding alone (about 1e-5 nats).
    """
    return {
        "format": FORMAT,
        "clips": before["clips"]["hash"],
        "reference": before["pretrain"]["policy_hash"],
        "perturber": hash_folder(perturber),
        **deciding_settings(config),
    }


def deciding_settings(config: Config) -> dict[str, Any]:
    """The keys of the configuration that decide the negatives, and their values."""
    negatives = config.negatives.model_dump(mode="json", exclude=DELIVERY)
    return {
        "corpus.max_frames": config.corpus.max_frames,
        "corpus.shard_rows": config.corpus.shard_rows,  # donors are drawn shard by shard
        "policy.max_text_tokens": config.policy.max_text_tokens,
        "dpo.precision": config.dpo_precision,
        "dpo.epochs": config.dpo.epochs,
        "seed": config.seed,
        **flat(negatives, "negatives"),
    }


def hash_folder(uri: str) -> str:
    """A short hash over the names and bytes of all files in a folder."""
    folder, digest = Path(fetch_folder(uri)), hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def cached_negatives(
    context: RunContext, decided: dict[str, Any], store: ClipStore, schedule: Schedule, arguments: tuple[Any, ...]
) -> CachedNegatives:
    """The cache that the configuration names, else this run's own, made as far as it is lacking.

    Args:
        context: of the run.
        decided: from `decided_by`.
        store: the training clips.
        schedule: blocks are made as it would stream them, so that cached and streamed rows agree to the bit.
        arguments: of `NegativeGenerator`.

    Raises:
        ConfigError: if the named cache has nothing for this run, with what differs.
    """
    named = context.config.negatives.cache
    folder = join(context.path("negatives") if named is None else absolute(named), input_key(decided))
    if not exists(join(folder, MANIFEST)):
        if named is not None:
            raise ConfigError(_why_stale(named, decided))
        parts = _generate(context, folder, store, schedule.blocks(), arguments)
        write_json(join(folder, MANIFEST), {"decided": decided, "parts": parts})
    context.console.print(f"  negatives are read from {folder}", markup=False, soft_wrap=True)
    return CachedNegatives.load(folder, store, context.config.dpo.epochs)


def check_cache(config: Config) -> None:
    """Raise `ConfigError` if the configuration names a place without cached negatives; whether they fit shows later."""
    named = config.negatives.cache
    if named is not None and not _manifests(named):
        raise ConfigError(
            f"negatives.cache={named}: there are no finished negatives here; name the negatives/ of a run with "
            f"negatives.mode=cached, or {REMEDY}"
        )


def _manifests(directory: str) -> list[str]:
    places = [join(directory, name, MANIFEST) for name in list_folder(directory)]
    return [place for place in places if exists(place)]


def _why_stale(directory: str, decided: dict[str, Any]) -> str:
    """How the nearest of the caches in a directory differs from what this run needs."""
    differing = [
        [
            f"{name} (there {other.get(name)!r}, here {decided.get(name)!r})"
            for name in sorted({*decided, *other})
            if decided.get(name) != other.get(name)
        ]
        for other in (read_json(place)["decided"] for place in _manifests(directory))
    ]
    nearest = min(differing, key=len) if differing else ["nothing is in it any more"]
    return f"negatives.cache={directory} is stale for this run: {'; '.join(nearest)}; {REMEDY}"


def _generate(
    context: RunContext, folder: str, store: ClipStore, blocks: Sequence[Block], arguments: tuple[Any, ...]
) -> list[str]:
    """Write the parts that are not there yet; returns the names of all, in order."""
    names = [part_name(block.epochs, block.steps, [store.ids[row] for row in block.rows]) for block in blocks]
    there = set(list_folder(folder))
    missing = [block for block, name in zip(blocks, names, strict=True) if name not in there]
    if missing:
        if len(missing) < len(blocks):
            context.console.print(f"  negatives: goes on after {len(blocks) - len(missing)} of {len(blocks)} parts")
        watchdog, done = Watchdog(context.console, context.config.resources), 0
        stream, total = store.stream(missing), sum(len(block.rows) for block in missing)
        given, name = (folder, context.name, *arguments), f"{context.name}-negatives"
        made = on_actors(stream, CacheNegatives, given, context.config, watchdog.attempts, name=name)
        with StageProgress(context.console, "negatives", total=total, unit="clips", watchdog=watchdog) as meter:
            for batch in made.iter_batches(batch_size=None):
                done += int(np.sum(batch["rows"]))
                meter.update(done)
    lacking = set(names) - set(list_folder(folder))
    if lacking:
        raise IncompleteCacheError(f"{len(lacking)} parts were not written to {folder}, such as {min(lacking)}")
    return names


def part_name(epochs: np.ndarray, steps: np.ndarray, ids: Iterable[str]) -> str:
    """The file of a block's rows: another block, say of another batch size, never has the same name."""
    rows = "\x1f".join(f"{epoch} {clip}" for epoch, clip in zip(np.asarray(epochs).tolist(), ids, strict=True))
    digest = hashlib.blake2b(rows.encode(errors="backslashreplace"), digest_size=4).hexdigest()
    return f"part-{min(epochs):03d}-{min(steps):07d}-{digest}.parquet"


def plain_table(columns: Mapping[str, Any]) -> pa.Table:
    """The columns of a batch as plain Arrow: numbers, strings, booleans, and lists of them with their own types.

    Raises:
        TypeError: naming a column that Parquet has no type for.
    """
    return pa.table({name: _plain_column(name, values) for name, values in columns.items()})


def _plain_column(name: str, values: Iterable[Any]) -> pa.Array:
    known = CLIP_SCHEMA.field(name).type if name in CLIP_SCHEMA.names else None
    values = [list(row) if isinstance(row, np.ndarray) and row.ndim > 1 else row for row in values]
    try:
        return pa.array(values, known)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TypeError(f"the column {name} of the preference rows cannot be cached: {error}") from error


@dataclass(frozen=True)
class CachedNegatives:
    """A finished cache, for the clips of a store.

    Args:
        parts: places of the files.
        part_of, row_of: `(epochs, clips)` where the row of each clip is.
    """

    parts: list[str]
    part_of: np.ndarray
    row_of: np.ndarray

    @classmethod
    def load(cls, folder: str, store: ClipStore, epochs: int) -> CachedNegatives:
        """Find every row; only ids and epochs are read here.

        Raises:
            IncompleteCacheError: unless there is exactly one row of every clip in every epoch.
        """
        names = read_json(join(folder, MANIFEST))["parts"]
        number, clips = {name: i for i, name in enumerate(names)}, {clip: i for i, clip in enumerate(store.ids)}
        rows = _read_places(folder, names)
        part = np.array([number[str(file).rsplit("/", 1)[-1]] for file in rows["__filename"].to_pylist()])
        place = np.arange(len(part)) - np.searchsorted(part, part)  # parts come in order, each whole
        epoch, clip = rows["epoch"].to_numpy(), np.array([clips[clip] for clip in rows["id"].to_pylist()])
        part_of, row_of = np.full((2, epochs, len(store)), -1)
        part_of[epoch, clip], row_of[epoch, clip] = part, place
        if len(part) != part_of.size or (part_of < 0).any():
            raise IncompleteCacheError(
                f"{folder} has {len(part)} rows, of {int((part_of >= 0).sum())} clips and epochs; there are "
                f"{part_of.size}: remove it, and the run makes it again"
            )
        return cls([join(folder, name) for name in names], part_of, row_of)

    def stream(self, blocks: Sequence[Block]) -> ray.data.Dataset:
        """A dataset of these blocks of preference rows, as the generators would stream it."""
        rows, epochs = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("rows", "epochs"))
        recipe = Recipe.of(blocks, self.parts, self.part_of[epochs, rows], self.row_of[epochs, rows])
        return scheduled(len(blocks), gather_preferences, {"recipe": recipe})


@retried
def _read_places(folder: str, names: list[str]) -> pa.Table:
    """`id`, `epoch` and `__filename` of all rows."""
    filesystem, path = fsspec.core.url_to_fs(folder)
    files = pyarrow.dataset.dataset([f"{path}/{name}" for name in names], filesystem=filesystem, format="parquet")
    return files.to_table(columns=["id", "epoch", "__filename"])


def gather_preferences(batch: dict[str, np.ndarray], recipe: Recipe) -> pa.Table:
    """The preference rows of the blocks whose numbers are in the column `id`; steps are those of this run."""
    tables = []
    for block in batch["id"]:
        rows, _, steps = recipe.rows_of(block, _read_parts)
        tables.append(rows.set_column(rows.column_names.index("step"), "step", pa.array(steps)))
    return pa.concat_tables(tables)


def _read_parts(files: list[str]) -> list[pa.Table]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(read_parquet, files))
