"""The benchmarks that are told how many clips of how many frames; `policy` has questions of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from signdpo.benchmarks.ingest import ingest
from signdpo.benchmarks.measurement import Figures
from signdpo.benchmarks.preprocess import preprocess
from signdpo.benchmarks.rows import rows
from signdpo.benchmarks.search import TRIALS, search


class Benchmark(NamedTuple):
    run: Callable[[int, int], Figures]  # of so many clips of so many frames
    description: str
    clips: int  # by default


BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "preprocess": Benchmark(preprocess, "normalisation of clips, whole against frame by frame", 1000),
    "ingest": Benchmark(ingest, "from pickles to Parquet, on one CPU", 500),
    "rows": Benchmark(rows, "stored clips as rows to be scored, views against Python's numbers", 200),
    "search": Benchmark(search, f"a search of {TRIALS} trials against as many runs, all tiny: ten minutes", 120),
}
