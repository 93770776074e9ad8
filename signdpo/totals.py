"""Means over all rows of a step, whichever worker has them: sums and counts until everyone's are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Total:
    """A sum over some rows or tokens, and how many they are; a mean where there is none is not 0, but unknown.

    Args:
        sum: a number, or a scalar tensor with a gradient.
        count: of rows or tokens.
    """

    sum: Any
    count: float

    @property
    def mean(self) -> Any:
        return self.sum / self.count

    @property
    def numbers(self) -> Total:
        """Without a gradient, ready to be sent."""
        number = self.sum.item() if hasattr(self.sum, "item") else self.sum
        return Total(float(number), self.count)


Totals = Mapping[str, Total]


def means(totals: Totals) -> dict[str, float]:
    """The mean of each as a number; none where there is nothing to count."""
    return {name: total.numbers.mean for name, total in totals.items() if total.count}
