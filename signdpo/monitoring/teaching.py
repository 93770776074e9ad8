"""Whether the levels teach: a level whose pairs are nearly all masked weighs nothing, whatever its weight says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console

from signdpo.levels import BY_NAME

FIRST_STEPS: Final = 10  # after which it is said
LOWEST_SHARE: Final = 0.2  # of a level's pairs that should teach
REMEDIES: Final = {
    "skeleton": "the policy hardly notices the perturbations, or they are far outside of its band of margins: train it "
    "longer (pretrain.epochs), or widen negatives.hardness",
    "sentence": "no sentence of the perturber is near enough to the reference and wrong: widen "
    "negatives.perturber.min_chrf to max_chrf, or raise negatives.perturber.candidates",
    "both": "few signs could be exchanged: lower negatives.counterfactual.min_mass or min_logp",
}


class NothingTaughtError(RuntimeError):
    """Every pair of every level was masked: the alignment was plain likelihood."""


class TeachingWatch:
    """Counts pairs; says after the first steps, and at the end, which levels teach next to nothing.

    Args:
        console: where a person reads.
        levels: those of a weight above 0.
        steps: of the whole training.
    """

    def __init__(self, console: Console, levels: Sequence[str], steps: int) -> None:
        self.console, self.first = console, min(FIRST_STEPS, steps)
        self.taught = dict.fromkeys(levels, 0.0)
        self.rows = self.steps = 0

    def see(self, row: Mapping[str, Any]) -> None:
        """Take a row with `rows` and, of each level, `negatives/accepted/<level>`."""
        self.steps += 1
        self.rows += row["rows"]
        for level in self.taught:
            self.taught[level] += row["rows"] * row[f"negatives/accepted/{level}"]
        if self.steps == self.first:
            self._warn(f"in the first {self.steps} steps")

    def conclude(self, shares: Mapping[str, float]) -> None:
        """Take level -> share of its pairs that taught, over the whole run.

        Raises:
            NothingTaughtError: if no level taught anything.
        """
        self.taught, self.rows = dict(shares), 1
        if not any(shares.values()):
            kinds = {BY_NAME[level].perturbs for level in shares}
            raise NothingTaughtError(
                f"no pair of any level taught anything ({', '.join(shares)}): the aligned policy would be a control; "
                + "; ".join(remedy for kind, remedy in REMEDIES.items() if kind in kinds)
            )
        self._warn("in the whole run")

    def _warn(self, when: str) -> None:
        shares = {level: taught / max(self.rows, 1) for level, taught in self.taught.items()}
        for kind, remedy in REMEDIES.items():
            poor = [level for level, share in shares.items() if BY_NAME[level].perturbs == kind]
            poor = [level for level in poor if shares[level] < LOWEST_SHARE]
            if poor:
                said = ", ".join(f"{level} {100 * shares[level]:.1f} %" for level in poor)
                self.console.print(
                    f"  {when} few pairs taught ({said} of them): {remedy}",
                    style="yellow",
                    markup=False,
                    soft_wrap=True,
                )
