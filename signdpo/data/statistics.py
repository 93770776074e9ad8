"""How the negatives of a batch, and of a run, came out, level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from signdpo.data.batches import PreferenceBatch
from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.totals import Total

ACCEPTED, REDRAWN, MARGIN, STRENGTH = (
    f"negatives/{statistic}" for statistic in ("accepted", "redrawn", "margin", "strength")
)


def batch_statistics(batch: PreferenceBatch) -> dict[str, Total]:
    """Metrics of a batch of preference rows.

    Returns:
        `negatives/accepted/<level>`: share of the clips whose level teaches; the others are masked.
        `negatives/redrawn/<level>`: share of the clips for which it was drawn more than once.
        `negatives/margin/<level>`: mean reference margin of the accepted ones, in nats.
        `negatives/strength/<level>`: their mean strength.
    """
    values = {}
    for level, kept in batch.valid.items():
        values[f"{ACCEPTED}/{level}"] = kept
        values[f"{MARGIN}/{level}"] = batch.reference_margins[level][kept]
        if level in SKELETON_LEVELS:
            values[f"{REDRAWN}/{level}"] = batch.redraws[level] > 0
            values[f"{STRENGTH}/{level}"] = batch.strengths[level][kept]
    return {name: Total(float(column.sum()), len(column)) for name, column in values.items()}


class LevelStatistics(BaseModel):
    """What became of the negatives of a level over a run.

    Args:
        accepted: share of the clips whose level taught.
        masked: share of the others.
        margin: mean reference margin of the accepted ones, in nats.
        redrawn: share of the clips for which it was drawn more than once; None for sentences.
        strength: mean strength of the accepted ones; None for sentences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accepted: float
    masked: float
    margin: float
    redrawn: float | None = None
    strength: float | None = None


def run_statistics(rows: Sequence[Mapping[str, Any]]) -> dict[str, LevelStatistics]:
    """Level -> its statistics over the steps of a run.

    Args:
        rows: logged metrics with those of `batch_statistics` and `rows`, the clips of the step.
    """
    clips = np.array([row["rows"] for row in rows], dtype=np.float64)

    def mean(name: str, weights: np.ndarray) -> float:
        values = np.array([row.get(name, 0.0) for row in rows])  # absent where the weight is 0
        return float(values @ weights / max(weights.sum(), 1e-9))

    table = {}
    for level in (level for level in LEVELS if all(f"{ACCEPTED}/{level}" in row for row in rows)):
        accepted = np.array([row[f"{ACCEPTED}/{level}"] for row in rows])
        share, taught = float(np.average(accepted, weights=clips)), accepted * clips
        drawn: dict[str, float] = {}
        if level in SKELETON_LEVELS:
            drawn = {"redrawn": mean(f"{REDRAWN}/{level}", clips), "strength": mean(f"{STRENGTH}/{level}", taught)}
        margin = mean(f"{MARGIN}/{level}", taught)
        table[level] = LevelStatistics(accepted=share, masked=1 - share, margin=margin, **drawn)
    return table
