"""How far luck puts the best of equal trials ahead."""

import math

import numpy as np
import pytest

from signdpo.evaluation.significance import PairedBootstrap
from signdpo.tuning.winner import describe_luck, expected_best


def test_the_expected_best_of_equal_trials_is_the_known_one() -> None:
    assert expected_best(1) == pytest.approx(0, abs=1e-6)
    assert expected_best(2) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-4)
    assert expected_best(3) == pytest.approx(1.5 / math.sqrt(math.pi), abs=1e-4)
    drawn = np.random.default_rng(0).normal(size=(200_000, 8)).max(axis=1).mean()
    assert expected_best(8) == pytest.approx(drawn, abs=0.01)


def test_luck_is_said_in_points_of_dev() -> None:
    error = math.sqrt(2)  # of the difference of two trainings: 1 of each
    ends = {"confidence_low": -1.96 * error, "confidence_high": 1.96 * error}
    difference = PairedBootstrap(delta=0.0, p_value=1.0, samples=1000, seed=1, **ends)
    said = describe_luck(difference, 8)
    assert said.startswith(
        "of 8 trials that are equal in truth the best is expected 1.42 BLEU-4 above their mean on dev"
    )
    assert "1.42 standard errors of 1.00" in said
