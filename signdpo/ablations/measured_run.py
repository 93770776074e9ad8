"""What an ablation of a finished run starts from, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from signdpo.ablations.ratios import Ratio
from signdpo.config import Config, ConfigError, load_config
from signdpo.data.clips import read_clips
from signdpo.data.rows import rows_of
from signdpo.models.policy import Policy
from signdpo.storage.files import fetch_folder, join


@dataclass(frozen=True)
class MeasuredRun:
    """A finished run as it is measured.

    Args:
        directory: of the run.
        config: its configuration, with what is to be changed.
        policy: its baseline, in evaluation mode.
        split: of the clips.
        rows: the clips, as `CLIP_SCHEMA` has them.
    """

    directory: str
    config: Config
    policy: Policy
    split: str
    rows: Sequence[Mapping[str, Any]]


def open_measured_run(directory: str, overrides: Sequence[str], split: str, clips: int | None) -> MeasuredRun:
    """A run that has clips and a baseline policy.

    Args:
        directory: a local path or URI.
        overrides: changes of its configuration.
        split: "dev" or "test".
        clips: only the first so many of the split; all by default.

    Raises:
        ConfigError: if there is no run, or no clip is left.
        FileNotFoundError: if it has not come so far.
    """
    config = load_config(join(directory, "config.yaml"), overrides)
    rows = rows_of(read_clips(join(directory, "clips"), split).slice(0, clips))
    if not rows:
        raise ConfigError(f"--split {split} --clips {clips}: there are no clips to measure")
    policy = Policy.load(fetch_folder(join(directory, "pretrain", "policy")))
    policy.model.requires_grad_(False)
    return MeasuredRun(directory, config, policy, split, rows)


def new_table(title: str, first: str, *columns: str) -> Table:
    """A table whose first column is text, and whose others are numbers."""
    table = Table(first, title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


@dataclass(frozen=True)
class Findings:
    """What an ablation found.

    Args:
        table: for a person.
        note: what the table's words mean.
        figures: ready for JSON.
        ratios: what a chart shows, by title.
    """

    table: Table
    note: str
    figures: Mapping[str, object]
    ratios: Mapping[str, Ratio]

    def draw(self, path: str) -> None:
        """Bars with their intervals, from 1 (no better) up."""
        figure = Figure(figsize=(7.5, 0.9 + 0.28 * len(self.ratios)), layout="constrained")
        axes = figure.subplots()
        values = list(self.ratios.values())
        whiskers = [[each.value - each.low for each in values], [each.high - each.value for each in values]]
        lengths = [each.value - 1 for each in values]
        axes.barh(list(self.ratios), lengths, left=1, xerr=whiskers, color="#7a68c8", ecolor="#444444")
        axes.axvline(1, color="#444444", linewidth=1)
        axes.set_xlabel("ratio; 1 is no better")
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, dpi=150)
