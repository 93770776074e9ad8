"""Stored clips as rows to be scored: views of the table against Python's numbers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, Final

import numpy as np
import pyarrow as pa

from signdpo.benchmarks.measurement import SEED, Figures, seconds_of
from signdpo.data.rows import clip_table, clip_to_row, clips_of, rows_of
from signdpo.skeleton.clip import Clip
from signdpo.skeleton.layout import CHANNELS, NUM_JOINTS

ROUNDS: Final = 5  # of the two in turn


def rows(clips: int, frames: int) -> Figures:
    """`rows_of` a table and the clips in them against `to_pylist`, alternately.

    Raises:
        AssertionError: if the clips differ.
    """
    generator = np.random.default_rng(SEED)
    shape = (frames, NUM_JOINTS, CHANNELS)
    table = clip_table(
        [clip_to_row(Clip(f"{n}", "a sentence", generator.random(shape, np.float32))) for n in range(clips)]
    )
    ways: dict[str, Callable[[pa.Table], Any]] = {"views": rows_of, "numbers": pa.Table.to_pylist}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, read in ways.items():
            seconds[way].append(seconds_of(partial(_clips, read), [table]))
    ratios = [slow / fast for slow, fast in zip(seconds["numbers"], seconds["views"], strict=True)]
    views, numbers = (clips_of(read(table)) for read in ways.values())
    assert all(np.array_equal(one, other) for one, other in zip(views, numbers, strict=True)), "the clips differ"
    return {
        "clips": clips,
        "frames": frames,
        **{f"{way}, s": median(taken) for way, taken in seconds.items()},
        **{f"{way}, MiB": _peak(read, table) for way, read in ways.items()},
        "ratio of seconds": median(ratios),
        "least and largest": f"{min(ratios):.3g} to {max(ratios):.3g}",
    }


def _clips(read: Callable[[pa.Table], Any], table: pa.Table) -> list[np.ndarray]:
    return clips_of(read(table))


def _peak(read: Callable[[pa.Table], Any], table: pa.Table) -> float:
    """The memory that the rows alone take."""
    tracemalloc.start()
    kept = read(table)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return taken / 2**20
