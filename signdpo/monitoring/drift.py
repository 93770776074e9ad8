"""Whether the chosen sentences become less likely than they were at step zero, when the policy was the reference.

Preference training can raise every margin by lowering both log-probabilities; the translator then gets worse while all
preference metrics get better.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console

REPORTS: Final = 10  # whose mean counts: a drift of one batch is noise
LOWEST_DRIFT: Final = -1.0  # nats a sentence: chosen sentences are e times less likely than under the reference
REMEDY: Final = "Raise dpo.mle_weight or dpo.anchor_weight, or lower dpo.lr."


class DriftWatch:
    """Warns once, while training goes on, when the mean drift of the last reports falls below `LOWEST_DRIFT`.

    Args:
        console: where a person reads.
        dropout: whether the policy trains with it: it scores lower than the reference from the start, then, and the
            first reports are what is drifted from.
    """

    def __init__(self, console: Console, *, dropout: bool = False) -> None:
        self.console = console
        self.start: float | None = None if dropout else 0.0
        self.drifts: deque[float] = deque(maxlen=REPORTS)
        self.warned = False

    def see(self, row: Mapping[str, Any]) -> None:
        """Take a row with `step` and `logps/chosen_drift`, in nats a sentence."""
        if "logps/chosen_drift" not in row:  # of a step that was skipped
            return
        self.drifts.append(row["logps/chosen_drift"])
        mean = sum(self.drifts) / len(self.drifts)
        if self.warned or len(self.drifts) < REPORTS:
            return
        if self.start is None:
            self.start = mean
        mean -= self.start
        if mean >= LOWEST_DRIFT:
            return
        self.warned = True
        self.console.print(
            f"  step {row['step']}: over the last {REPORTS} steps log p(chosen) is {-mean:.2f} nats a sentence below "
            f"its value at step zero: the preferences are winning over the translator. {REMEDY}",
            style="yellow",
            markup=False,
        )
