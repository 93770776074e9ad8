"""Systems that were trained with several seeds: their scores, the spread, and differences over clips and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from signdpo.evaluation.significance import Measurements, PairedBootstrap, compare
from signdpo.evaluation.systems import name_of
from signdpo.report.scores import SCORES, p_value

SHOWN: Final = ("bleu4", "chrf", "pairs_words", "pairs_signs", "pairs_clips")


@dataclass(frozen=True)
class Replicates:
    """What several systems scored with several seeds, all on the same clips.

    Args:
        scores: system -> seed -> score -> its value.
        comparison: two systems, the headline first -> score -> their difference over the seeds that both have.
    """

    scores: Mapping[str, Mapping[int, Mapping[str, float]]]
    comparison: Mapping[str, Mapping[str, PairedBootstrap]]

    @classmethod
    def of(
        cls,
        measured: Mapping[str, Mapping[int, Measurements]],
        comparisons: Sequence[tuple[str, str]],
        *,
        samples: int = 1000,
        seed: int = 12345,
    ) -> Self:
        """Score and compare; a comparison without a seed that both systems have is left out.

        Args:
            measured: system -> seed -> its measurements.
            comparisons: pairs of systems.
            samples, seed: as in `signdpo.evaluation.significance.compare`.
        """
        scores = {
            system: {each: {name: one.value for name, one in found.items()} for each, found in by_seed.items()}
            for system, by_seed in measured.items()
        }
        compared = {}
        for first, second in comparisons:
            both = [each for each in measured.get(first, {}) if each in measured.get(second, {})]
            if both:
                pairs = [(measured[first][each], measured[second][each]) for each in both]
                compared[name_of((first, second))] = compare(pairs, samples=samples, seed=seed)
        return cls(scores, compared)

    def shown(self) -> list[str]:
        """Those of `SHOWN` that every system has."""
        every = [values for by_seed in self.scores.values() for values in by_seed.values()]
        return [name for name in SHOWN if every and all(name in values for values in every)]

    def spread(self, system: str, name: str) -> tuple[float, float | None]:
        """Mean and standard deviation of a score over the seeds; no deviation of one."""
        values = [found[name] for found in self.scores[system].values()]
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None

    def mean(self, system: str, name: str) -> str:
        """Mean and standard deviation as people read them; `-` of a system without seeds."""
        if not self.scores.get(system):
            return "-"
        mean, deviation = self.spread(system, name)
        points = SCORES[name].points
        return f"{points(mean):.2f}" + ("" if deviation is None else f" ± {points(deviation):.2f}")

    def to_dict(self) -> dict[str, Any]:
        """`systems` with `seeds`, `mean` and `deviation` of every score, and `comparison`, ready for JSON."""
        systems: dict[str, Any] = {}
        for system, by_seed in self.scores.items():
            names = next(iter(by_seed.values()), {})
            spreads = {name: self.spread(system, name) for name in names}
            systems[system] = {
                "seeds": {str(seed): dict(values) for seed, values in by_seed.items()},
                "mean": {name: mean for name, (mean, _) in spreads.items()},
                "deviation": {name: deviation for name, (_, deviation) in spreads.items()},
            }
        pairs = self.comparison.items()
        compared = {pair: {name: test.to_dict() for name, test in tests.items()} for pair, tests in pairs}
        return {"systems": systems, "comparison": compared}

    def score_rows(self) -> list[list[str]]:
        """Headings, then a row for each system and seed, and one of the mean and standard deviation of each system."""
        shown = self.shown()
        rows = [["system", "seed", *(_heading(name) for name in shown)]]
        for system, by_seed in self.scores.items():
            for seed, values in by_seed.items():
                rows.append([system, str(seed), *(f"{SCORES[name].points(values[name]):.2f}" for name in shown)])
            if len(by_seed) > 1:
                rows.append([system, "mean ± sd", *(self.mean(system, name) for name in shown)])
        return rows

    def difference_rows(self) -> list[list[str]]:
        """Headings, then a row for each comparison and score."""
        rows = [["difference", "score", "points", "95 %", "p"]]
        for pair, tests in self.comparison.items():
            rows += [[pair, SCORES[name].title, *describe(tests[name], name)] for name in self.shown() if name in tests]
        return rows


def describe(test: PairedBootstrap, name: str) -> tuple[str, str, str]:
    """Points, 95 % interval and p-value of a difference in a score."""
    points = SCORES[name].points
    low, high = points(test.confidence_low), points(test.confidence_high)
    return (
        f"{points(test.delta):+.2f}",
        f"{low:+.2f} to {high:+.2f}",
        p_value(test.p_value).removeprefix("p = ").removeprefix("p "),
    )


def _heading(name: str) -> str:
    return SCORES[name].title + (", %" if SCORES[name].percent else "")


def show_rows(console: Console, rows: Sequence[Sequence[str]], *, words: int) -> None:
    """A table on the console; the first `words` columns are words, the others numbers."""
    table = Table(box=SIMPLE_HEAD)
    for place, heading in enumerate(rows[0]):
        table.add_column(heading, justify="left" if place < words else "right", no_wrap=place < words)
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)
