"""The systems of a run on a terminal of 80 characters: scores, how they speak, and what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from signdpo.evaluation.judgement import Judgement
from signdpo.evaluation.significance import PairedBootstrap
from signdpo.evaluation.systems import CONTROL
from signdpo.report.scores import LENGTH, MEANING, NO_CONTROL, QUALITY, SCORES, SPLITS, Score, p_value


def show_systems(console: Console, found: Mapping[str, Judgement], length_penalties: Mapping[str, float]) -> None:
    """Tables of all splits, the one of the headline first.

    Args:
        console: where a person reads.
        found: split -> scores of the systems, and their differences, the headline first.
        length_penalties: system -> exponent that its beams were ranked with.
    """
    splits = [split for split in SPLITS if split in found]
    for split in splits:
        whole = split == splits[0]
        console.print(f"\nBeam search on {SPLITS[split]}", style="bold", markup=False)
        for columns in (QUALITY, LENGTH, MEANING) if whole else (QUALITY,):
            _show_scores(console, found[split].by_system(), columns)
        _show_differences(console, found[split].comparison, SCORES if whole else QUALITY)
    first = found[splits[0]]
    samples = next(iter(next(iter(first.comparison.values())).values())).samples
    told = [f"95 % intervals and p: paired bootstrap, {samples} samples"]
    if any(penalty != 1.0 for penalty in length_penalties.values()):
        told += ["length penalty: " + ", ".join(f"{system} {value:g}" for system, value in length_penalties.items())]
    for line in (*told, next(iter(first.scores.values())).signature):
        console.print(line, style="dim", markup=False)
    if CONTROL not in first.scores:
        console.print(NO_CONTROL, style="yellow", markup=False)


def _show_scores(console: Console, systems: Mapping[str, Mapping[str, Any]], columns: Mapping[str, Score]) -> None:
    shown = {name: score for name, score in columns.items() if all(name in values for values in systems.values())}
    table = Table("", box=SIMPLE_HEAD)
    for score in shown.values():
        table.add_column(score.title, justify="right")
    for system, values in systems.items():
        table.add_row(system, *(score.write(values[name]) for name, score in shown.items()))
    if shown:
        console.print(table)


def _show_differences(
    console: Console, compared: Mapping[str, Mapping[str, PairedBootstrap]], scores: Mapping[str, Score]
) -> None:
    """A row per score that was resampled: of the headline all, of other comparisons those that the field reports."""
    table = Table("", "", box=SIMPLE_HEAD)
    for heading in ("points", "95 %", "p"):
        table.add_column(heading, justify="right")
    for place, (name, tests) in enumerate(compared.items()):
        shown = [key for key in (scores if place == 0 else QUALITY) if key in tests]
        for row, key in enumerate(shown):
            test, points = tests[key], SCORES[key].points
            table.add_row(
                name if row == 0 else "",
                SCORES[key].title,
                f"{points(test.delta):+.2f}",
                f"{points(test.confidence_low):+.2f} to {points(test.confidence_high):+.2f}",
                p_value(test.p_value).removeprefix("p = ").removeprefix("p "),
            )
    console.print(table)
