"""What the report warns of."""

from __future__ import annotations

import pytest

from signdpo.monitoring.drift import LOWEST_DRIFT
from signdpo.pipeline.stages.report import likelihood_warning


@pytest.mark.parametrize(
    ("drifts", "dropout", "said"),
    [
        ([0.0] * 20, False, ""),
        ([0.0] * 10 + [LOWEST_DRIFT + 0.01] * 10, False, ""),  # as much as the console tolerates
        ([0.0] * 10 + [LOWEST_DRIFT - 0.01] * 10, False, "fell 1.01 nats below the reference's"),
        ([-3.0] * 10 + [LOWEST_DRIFT - 3.01] * 10, True, "fell 1.01 nats"),  # dropout lowers it from the start
        ([-3.0] * 20, True, ""),
        ([], False, ""),
    ],
)
def test_a_likelihood_that_fell_is_warned_of(drifts: list[float], dropout: bool, said: str) -> None:
    warning = likelihood_warning([{"logps/chosen_drift": drift} for drift in drifts], dropout=dropout)
    assert said in warning
    assert bool(warning) == bool(said)
