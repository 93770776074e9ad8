"""What became of the trials: as rows, as a table, as files, and the best one's configuration."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from signdpo.training.checkpoint import better
from signdpo.tuning.scores import EPOCH, EPOCHS, SCORE

WIDEST = 1000  # columns that a table may want
SCORE_NAMES = {"eval_bleu4": "dev BLEU-4", "eval_nll": "dev NLL"}


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Args:
        id: also of its folder.
        settings: key -> the value it had.
        score: its best dev score; None if it got none.
        epoch, epochs: finished, and planned.
        state: `finished`, `stopped` (by the scheduler), `failed` or `unfinished` (the search was interrupted).
        error: the last line of what a failed trial raised.
    """

    id: str
    settings: dict[str, Any]
    score: float | None
    epoch: int
    epochs: int
    state: str
    error: str | None = None

    @classmethod
    def of(cls, trial: Trial) -> TrialResult:
        """What Ray Tune knows of a trial."""
        last = trial.last_result
        epoch, epochs = last.get(EPOCH, 0), last.get(EPOCHS, 0)
        error = None
        if trial.status == Trial.ERROR:
            state, error = "failed", last_line(trial.get_error())
        elif trial.status != Trial.TERMINATED:
            state = "unfinished"
        else:
            state = "finished" if epoch >= epochs else "stopped"
        return cls(trial.trial_id, dict(trial.config), last.get(SCORE), epoch, epochs, state, error)


def last_line(error: str | None) -> str:
    """What an exception said in the end."""
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    return lines[-1] if lines else "no error was recorded: its process was killed"


def ranked(results: Sequence[TrialResult], metric: str) -> list[TrialResult]:
    """Best first; trials without a score come last."""
    sign = 1.0 if better(metric) == "min" else -1.0
    return sorted(results, key=lambda result: (result.score is None, sign * (result.score or 0.0), result.id))


def describe_settings(settings: Mapping[str, Any]) -> str:
    names = labels(settings)
    return "  ".join(f"{names[key]}={number(value)}" for key, value in settings.items())


def labels(keys: Iterable[str]) -> dict[str, str]:
    """Key -> its last part or parts, as few as tell it from the others."""
    parts = {key: key.split(".") for key in keys}

    def shortest(key: str) -> str:
        for length in range(1, len(parts[key])):
            if sum(other[-length:] == parts[key][-length:] for other in parts.values()) == 1:
                return ".".join(parts[key][-length:])
        return key

    return {key: shortest(key) for key in parts}


def number(value: Any) -> str:
    return f"{value:.3g}".replace("e-0", "e-") if isinstance(value, float) else str(value)


def show_results(console: Console, results: Sequence[TrialResult], metric: str, baseline: float) -> None:
    """The trials, best first, beside the policy they all began with."""
    table = _table(results, metric, baseline, by_key=True)
    options = console.options.update(max_width=WIDEST)
    if Measurement.get(console, options, table).maximum > console.width:
        table = _table(results, metric, baseline, by_key=False)
    console.print(table)
    for result in results:
        if result.state == "failed":
            settings = describe_settings(result.settings)
            console.print(
                f"trial {result.id} failed ({settings}): {result.error}", style="yellow", markup=False, soft_wrap=True
            )


def _table(results: Sequence[TrialResult], metric: str, baseline: float, *, by_key: bool) -> Table:
    """A row a trial, with a column a key or, where that is too wide, one of all settings."""
    names = list(labels(results[0].settings).values()) if by_key else ["settings"]
    table = Table(title="Trials", title_justify="left")
    for column in ("trial", SCORE_NAMES[metric], "epoch", "state"):
        table.add_column(column, justify="right" if column in (SCORE_NAMES[metric], "epoch") else "left", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right" if by_key else "left")
    for result in results:
        score = "" if result.score is None else f"{result.score:.2f}"
        epoch = f"{result.epoch}/{result.epochs}" if result.epochs else ""
        settings = map(number, result.settings.values()) if by_key else [describe_settings(result.settings)]
        table.add_row(result.id, score, epoch, result.state, *settings)
    table.add_section()
    table.add_row("baseline", f"{baseline:.2f}")
    return table


def to_csv(results: Sequence[TrialResult]) -> str:
    """A row a trial: `trial`, its settings by key, `score`, `epoch`, `epochs`, `state`, `error`."""
    text = io.StringIO()
    fields = ["trial", *results[0].settings, "score", "epoch", "epochs", "state", "error"]
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for result in results:
        own = {name: getattr(result, name) for name in fields[-5:]}
        writer.writerow({"trial": result.id, **result.settings, **own})
    return text.getvalue()
