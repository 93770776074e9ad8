"""Statistics of wrong sentences, and distances between their distributions."""

import numpy as np
import pytest

from signdpo.ablations.failures import STATISTICS, distances, failure_statistics, wasserstein


def test_edits_are_counted_a_word_of_the_reference() -> None:
    values = failure_statistics(["the dog barks now", "他今年"], ["the cat barks", "她今年5岁"])
    np.testing.assert_allclose(values["length_ratio"], [3 / 4, 5 / 3])
    np.testing.assert_allclose(values["substituted"], [1 / 4, 1 / 3])
    np.testing.assert_allclose(values["omitted"], [1 / 4, 0])
    np.testing.assert_allclose(values["inserted"], [0, 2 / 3])


def test_wasserstein_is_the_mean_distance_of_the_sorted_samples() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=100), rng.normal(1.0, 2.0, size=100)
    assert wasserstein(first, second) == pytest.approx(np.abs(np.sort(first) - np.sort(second)).mean())
    assert wasserstein(first, first) == 0.0


def test_distances_are_in_standard_deviations_of_the_real() -> None:
    real = {name: np.array([0.0, 2.0]) for name in STATISTICS}  # standard deviation 1
    shifted = {name: values + 0.5 for name, values in real.items()}
    assert distances(real, shifted) == pytest.approx(dict.fromkeys((*STATISTICS, "mean"), 0.5))
