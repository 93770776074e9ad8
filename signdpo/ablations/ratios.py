"""Ratios of means over clips, with their bootstrap intervals (Efron, 1979)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

SAMPLES = 2000


@dataclass(frozen=True)
class Ratio:
    """`value` with its 95 % percentile interval over `clips` resampled clips."""

    value: float
    low: float
    high: float
    clips: int

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f}–{self.high:.2f})"


def ratio_of_means(numerators: ArrayLike, denominators: ArrayLike, *, seed: int = 12345) -> Ratio:
    """Mean of one quantity over the mean of another of the same clips, which are resampled in pairs.

    Args:
        numerators, denominators: `(clips,)` each, in the same order.
        seed: of the resampling.

    An interval says little where the lower mean may be 0, which its width shows.

    Raises:
        ValueError: without clips, or with unequal numbers of values.
    """
    pairs = np.array([numerators, denominators], dtype=np.float64)  # (2, clips)
    clips = pairs.shape[1]
    if not clips:
        raise ValueError("there are no clips to take a ratio over")
    drawn = np.random.default_rng(seed).integers(clips, size=(SAMPLES, clips))
    above, below = pairs[:, drawn].mean(axis=-1)  # (samples,) each
    with np.errstate(divide="ignore", invalid="ignore"):  # a mean of nothing: the interval has no end
        low, high = np.nanpercentile(above / below, [2.5, 97.5])
    above, below = pairs.mean(axis=-1)
    return Ratio(float(above / below), float(low), float(high), clips)
