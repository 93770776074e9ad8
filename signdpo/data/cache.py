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
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import ray.data

from signdpo.config import Config, ConfigError, flat
from signdpo.data.clips import read_parquet
from signdpo.data.schedule import Block
from signdpo.data.stream import ClipStore, Recipe, scheduled
from signdpo.storage.files import exists, join, list_folder, read_json
from signdpo.storage.retries import retried

MANIFEST = "manifest.json"
REMEDY = "set negatives.cache=null and this run makes its own"


class IncompleteCacheError(RuntimeError):
    """Some rows of a cache were not written, or are not in its files."""


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


def why_stale(directory: str, decided: Mapping[str, Any]) -> str:
    """How the nearest of the caches in a directory differs from what a run needs.

    Args:
        directory: place that `negatives.cache` names.
        decided: what decides the rows that the run needs, in sections, as the caches' manifests have it.
    """
    here = flat(decided)
    differing = []
    for place in _manifests(directory):
        there = flat(read_json(place)["decided"])
        names = [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]
        differing.append([_difference(name, there.get(name), here.get(name)) for name in names])
    nearest = min(differing, key=len) if differing else ["nothing is in it any more"]
    return f"negatives.cache={directory} is stale for this run: {'; '.join(nearest)}; {REMEDY}"


def _difference(name: str, there: Any, here: Any) -> str:
    return f"{name.partition('.')[2]} (there {there!r}, here {here!r})"


def part_name(epochs: np.ndarray, steps: np.ndarray, ids: Iterable[str]) -> str:
    """The file of a block's rows: another block, say of another batch size, never has the same name."""
    rows = "\x1f".join(f"{epoch} {clip}" for epoch, clip in zip(np.asarray(epochs).tolist(), ids, strict=True))
    digest = hashlib.blake2b(rows.encode(errors="backslashreplace"), digest_size=4).hexdigest()
    return f"part-{min(epochs):03d}-{min(steps):07d}-{digest}.parquet"


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
