"""Clips as a Ray Data stream that follows a schedule.

Epochs are part of the data: one execution covers a whole run, so that the actors behind it load their models once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data import ExecutionOptions
from ray.train import DataConfig

from signdpo.data.clips import read_shard, shard_files
from signdpo.data.rows import clip_table, rows_of, shorten_row
from signdpo.data.schedule import Block
from signdpo.seeding import derive_seed

READ_CPUS = 0.5  # a task that only copies rows out of shared memory
READERS = 2  # such tasks at a time: left alone, Ray starts a process for every free fraction of a CPU


@dataclass(frozen=True)
class ClipStore:
    """The clips of a split in the cluster's object store, one Arrow table a shard; Ray spills what does not fit.

    Args:
        shards: references to `pa.Table`.
        shard_of, row_of: `(clips,)` where each clip is.
        num_frames: `(clips,)` its length, `max_frames` at most.
        ids: its id.
        max_frames: rows longer than that are shortened on their way out.
    """

    shards: list[ray.ObjectRef]
    shard_of: np.ndarray
    row_of: np.ndarray
    num_frames: np.ndarray
    ids: list[str]
    max_frames: int

    @classmethod
    def load(cls, clips: str, *splits: str, max_frames: int) -> ClipStore:
        """Read the shards of some splits in parallel. Losing a node loses nothing: Ray runs the read again."""
        files = [file for split in splits for file in shard_files(clips, split)]
        read = [_read_shard.remote(clips, file) for file in files]
        headers = ray.get([header for _, header in read])
        return cls(
            shards=[table for table, _ in read],
            shard_of=np.concatenate([np.full(len(ids), shard) for shard, (ids, _) in enumerate(headers)]),
            row_of=np.concatenate([np.arange(len(ids)) for ids, _ in headers]),
            num_frames=np.minimum(np.concatenate([frames for _, frames in headers]), max_frames),
            ids=[clip for ids, _ in headers for clip in ids],
            max_frames=max_frames,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def stream(self, blocks: Sequence[Block], *, draw_seed: int | None = None) -> ray.data.Dataset:
        """A dataset of these blocks: the rows of their clips, with `epoch` and `step` columns.

        Clips stored longer than `max_frames` are sampled evenly or, given a seed, at random and anew each epoch.
        """
        rows = np.concatenate([block.rows for block in blocks])
        recipe = Recipe.of(blocks, self.shards, self.shard_of[rows], self.row_of[rows])
        arguments = {"recipe": recipe, "max_frames": self.max_frames, "draw_seed": draw_seed}
        return scheduled(len(blocks), gather_clips, arguments)


@dataclass(frozen=True)
class Recipe:
    """Where the rows of every block of a stream are, as flat arrays, since every task unpickles all of this.

    Args:
        shards: references to tables, or the places of their files.
        begins: `(blocks + 1,)` first row of each block, and the end.
        shard_of, row_of, epochs, steps: `(rows,)`.
    """

    shards: list[Any]
    begins: np.ndarray
    shard_of: np.ndarray
    row_of: np.ndarray
    epochs: np.ndarray
    steps: np.ndarray

    @classmethod
    def of(cls, blocks: Sequence[Block], shards: list[Any], shard_of: np.ndarray, row_of: np.ndarray) -> Recipe:
        return cls(
            shards=shards,
            begins=np.cumsum([0, *(len(block.rows) for block in blocks)]),
            shard_of=shard_of,
            row_of=row_of,
            epochs=np.concatenate([block.epochs for block in blocks]),
            steps=np.concatenate([block.steps for block in blocks]),
        )

    def rows_of(
        self, block: int, read: Callable[[list[Any]], Iterable[pa.Table]]
    ) -> tuple[pa.Table, np.ndarray, np.ndarray]:
        """The rows of a block in order, with their epochs and steps; its shards may come one after the other."""
        span = slice(int(self.begins[block]), int(self.begins[block + 1]))
        shard_of, row_of = self.shard_of[span], self.row_of[span]
        needed = np.unique(shard_of).tolist()
        tables = read([self.shards[shard] for shard in needed])
        picked = [table.take(row_of[shard_of == shard]) for shard, table in zip(needed, tables, strict=True)]
        # A file whose clips all lack a gloss need not know what type glosses have.
        rows = pa.concat_tables(picked, promote_options="permissive").combine_chunks()
        places = np.argsort(np.argsort(shard_of, kind="stable"))  # of each row of the block among those picked
        return rows.take(places), self.epochs[span], self.steps[span]


def scheduled(blocks: int, gather: Callable[..., pa.Table], arguments: dict[str, Any]) -> ray.data.Dataset:
    """A dataset of so many blocks, each made by `gather` from its number in the column `id`."""
    return with_errors_kept(
        ray.data.range(blocks, override_num_blocks=blocks).map_batches(
            gather,
            batch_size=None,
            fn_kwargs=arguments,
            num_cpus=READ_CPUS,
            compute=ray.data.TaskPoolStrategy(size=min(READERS, blocks)),
        )
    )


def with_errors_kept(dataset: ray.data.Dataset) -> ray.data.Dataset:
    """The dataset, whose tasks' errors arrive as they are; else only their text would.

    Said of the dataset, since in Ray Train's processes it is not made under the driver's `DataContext`.
    """
    dataset.context.raise_original_map_exception = True
    return dataset


@ray.remote(num_cpus=READ_CPUS, num_returns=2)
def _read_shard(clips: str, file: str) -> tuple[pa.Table, tuple[list[str], np.ndarray]]:
    table = read_shard(clips, file).combine_chunks()
    return table, (table["id"].to_pylist(), table["num_frames"].to_numpy())


def gather_clips(
    batch: dict[str, np.ndarray], recipe: Recipe, max_frames: int, draw_seed: int | None = None
) -> pa.Table:
    """The clip rows of the blocks whose numbers are in the column `id`, with `epoch` and `step`."""
    tables = []
    for block in batch["id"]:
        rows, epochs, steps = recipe.rows_of(block, lambda shards: map(ray.get, shards))
        rows = _shortened(rows, epochs, max_frames, draw_seed)
        tables.append(rows.append_column("epoch", pa.array(epochs)).append_column("step", pa.array(steps)))
    return pa.concat_tables(tables)


def _shortened(rows: pa.Table, epochs: np.ndarray, max_frames: int, draw_seed: int | None) -> pa.Table:
    if len(rows) == 0 or max(rows["num_frames"].to_numpy()) <= max_frames:
        return rows
    shortened = []
    for row, epoch in zip(rows_of(rows), epochs.tolist(), strict=True):
        rng = None if draw_seed is None else np.random.default_rng(derive_seed(draw_seed, epoch, row["id"], "frames"))
        shortened.append(shorten_row(row, max_frames, rng))
    return clip_table(shortened)


class ScheduledDataConfig(DataConfig):
    """Hands a scheduled stream to the training workers whole and in order.

    Train's own `DataConfig` splits into equal numbers of rows and drops what is left over; a schedule has already made
    every worker's blocks, so here each block goes to one worker as it is.

    Args:
        label: of the datasets on the dashboard; None: the names they have in training.
    """

    def __init__(self, label: str | None = None) -> None:
        super().__init__()
        self.label = label

    def configure(
        self,
        datasets: dict[str, ray.data.Dataset],
        world_size: int,
        worker_handles: Any = None,
        worker_node_ids: Any = None,
        **kwargs: Any,
    ) -> list[dict[str, ray.data.DataIterator]]:
        shards: list[dict[str, ray.data.DataIterator]] = [{} for _ in range(world_size)]
        for name, dataset in datasets.items():
            dataset = dataset.copy(dataset)
            dataset.set_name(self.label or name)
            dataset.context.execution_options = ordered_execution()
            for rank, shard in enumerate(dataset.streaming_split(world_size, equal=False)):
                shards[rank][name] = shard
        return shards


def ordered_execution() -> ExecutionOptions:
    return ExecutionOptions(preserve_order=True)
