"""Several seeds in one table: means, spread, and differences that keep all seeds of a clip together."""

import numpy as np
import pytest

from signdpo.evaluation.replicates import Replicates
from signdpo.evaluation.significance import Measurement, Measurements, compare


def measured(values: list[float]) -> Measurements:
    """A system whose BLEU-4 is the mean of what each clip has."""
    return {"bleu4": Measurement(np.array([[value, 1] for value in values]), lambda total: total[0] / total[1])}


SEEDS = {
    "control": {1: measured([10.0, 20.0, 30.0]), 2: measured([12.0, 22.0, 32.0])},
    "aligned": {1: measured([13.0, 20.0, 33.0]), 2: measured([12.0, 28.0, 32.0])},
}


def test_a_table_has_each_seed_then_mean_and_deviation() -> None:
    found = Replicates.of(SEEDS, [("aligned", "control")], samples=50)
    assert found.score_rows() == [
        ["system", "seed", "BLEU-4"],
        ["control", "1", "20.00"],
        ["control", "2", "22.00"],
        ["control", "mean ± sd", "21.00 ± 1.41"],  # |22 - 20| / sqrt(2)
        ["aligned", "1", "22.00"],
        ["aligned", "2", "24.00"],
        ["aligned", "mean ± sd", "23.00 ± 1.41"],
    ]
    assert found.to_dict()["systems"]["control"]["mean"]["bleu4"] == pytest.approx(21)


def test_differences_are_pooled_by_clip_and_seed() -> None:
    found = Replicates.of(SEEDS, [("aligned", "control"), ("aligned", "nobody")], samples=50, seed=3)
    pairs = [(SEEDS["aligned"][seed], SEEDS["control"][seed]) for seed in (1, 2)]
    assert found.comparison == {"aligned - control": compare(pairs, samples=50, seed=3)}
    assert found.comparison["aligned - control"]["bleu4"].by_seed == (pytest.approx(2), pytest.approx(2))


def test_seeds_that_only_one_of_two_systems_has_are_left_out_and_one_seed_has_no_deviation() -> None:
    lacking = {"control": SEEDS["control"], "aligned": {2: SEEDS["aligned"][2]}, "failed": {}}
    found = Replicates.of(lacking, [("aligned", "control"), ("failed", "control")], samples=50)
    assert found.comparison["aligned - control"]["bleu4"].by_seed == (pytest.approx(2),)
    assert list(found.comparison) == ["aligned - control"]
    assert (found.mean("aligned", "bleu4"), found.mean("failed", "bleu4")) == ("24.00", "-")
