"""The paired bootstrap tells a real difference from chance, and says the same each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from signdpo.evaluation.metrics import score
from signdpo.evaluation.significance import (
    Measurement,
    PairedBootstrap,
    compare,
    estimate,
    measure_translations,
    paired_bootstrap,
)

WORDS = [
    "we",
    "you",
    "they",
    "see",
    "go",
    "know",
    "like",
    "want",
    "home",
    "work",
    "friend",
    "today",
    "soon",
    "the",
    "a",
]


def random_sentences(count: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, size=generator.integers(5, 15))) for _ in range(count)]


def corrupt(sentences: list[str], share: float, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        " ".join("wrong" if generator.random() < share else word for word in sentence.split()) for sentence in sentences
    ]


def bleu4(baseline: list[str], system: list[str], references: list[str], **options: int) -> PairedBootstrap:
    return paired_bootstrap(baseline, system, references, language="en", **options)["bleu4"]


def measured(values: list[float]) -> dict[str, Measurement]:
    """A system whose score is the mean of what each clip has."""
    return {"share": Measurement(np.array([[value, 1] for value in values]), lambda total: total[0] / total[1])}


def test_a_system_does_not_differ_from_itself() -> None:
    references = random_sentences(50, seed=1)
    system = corrupt(references, 0.3, seed=2)
    result = bleu4(system, system, references, samples=100)
    assert (result.delta, result.p_value) == (0.0, 1.0)
    assert (result.confidence_low, result.confidence_high) == (0.0, 0.0)


def test_delta_is_the_difference_of_corpus_bleu4() -> None:
    references = random_sentences(40, seed=1)
    baseline, system = corrupt(references, 0.4, seed=2), corrupt(references, 0.2, seed=3)
    expected = score(system, references, language="en").bleu4 - score(baseline, references, language="en").bleu4
    result = bleu4(baseline, system, references, samples=10)
    assert result.delta == pytest.approx(expected)


def test_a_clear_difference_is_significant_and_its_interval_excludes_zero() -> None:
    references = random_sentences(100, seed=1)
    baseline, system = corrupt(references, 0.4, seed=2), corrupt(references, 0.1, seed=3)
    result = bleu4(baseline, system, references, samples=200)
    assert result.p_value == pytest.approx(1 / 201)
    assert 0 < result.confidence_low < result.delta < result.confidence_high


def test_exchanging_the_systems_turns_the_signs() -> None:
    references = random_sentences(60, seed=1)
    one, other = corrupt(references, 0.25, seed=2), corrupt(references, 0.2, seed=3)
    forward = bleu4(one, other, references, samples=100)
    backward = bleu4(other, one, references, samples=100)
    assert backward.delta == pytest.approx(-forward.delta)
    assert backward.confidence_low == pytest.approx(-forward.confidence_high)
    assert backward.p_value == forward.p_value


def test_systems_of_the_same_quality_are_rarely_called_different() -> None:
    # Twenty pairs drawn from the same distribution: at the 5 % level one is expected, and five or more have a
    # probability below 0.3 %.
    references = random_sentences(80, seed=1)
    p_values = [
        bleu4(
            corrupt(references, 0.3, seed=2 * pair),
            corrupt(references, 0.3, seed=2 * pair + 1),
            references,
            samples=100,
        ).p_value
        for pair in range(20)
    ]
    assert sum(p_value < 0.05 for p_value in p_values) < 5


def test_the_seed_decides_the_result() -> None:
    references = random_sentences(30, seed=1)
    systems = corrupt(references, 0.3, seed=2), corrupt(references, 0.2, seed=3)
    first = bleu4(*systems, references, samples=50, seed=7)
    assert first == bleu4(*systems, references, samples=50, seed=7)
    assert first != bleu4(*systems, references, samples=50, seed=8)


def test_chrf_of_the_statistics_is_the_corpus_score() -> None:
    for language, references, system in (
        ("en", random_sentences(30, seed=1), corrupt(random_sentences(30, seed=1), 0.3, seed=2)),
        ("zh", ["他今年五十岁。", "今天星期几？"], ["他今年四岁。", ""]),
    ):
        found = measure_translations(system, references, language=language)
        expected = score(system, references, language=language)
        assert found["bleu4"].value == pytest.approx(expected.bleu4)
        assert found["chrf"].value == pytest.approx(expected.chrf)


def test_all_scores_are_resampled_on_the_same_clips() -> None:
    values = [0.0, 1.0, 0.0, 1.0, 1.0]
    pair = (
        measured(values) | {"again": measured(values)["share"]},
        measured([0.5] * 5) | {"again": measured([0.5] * 5)["share"]},
    )
    found = compare([pair], samples=50)
    assert found["share"] == found["again"]


def test_a_deviation_and_a_mean_are_told_of_several_seeds() -> None:
    baseline = measured([0.0, 0.0, 0.0, 0.0])
    seeds = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]  # shares 0.25, 0.5 and 0.75
    found = compare([(measured(list(map(float, values))), baseline) for values in seeds], samples=100)["share"]
    assert found.by_seed == (0.25, 0.5, 0.75)
    assert (found.delta, found.deviation) == (0.5, 0.25)
    assert compare([(measured([1.0]), measured([0.0]))], samples=10)["share"].deviation is None


def width(pairs: list[Any]) -> float:
    found = compare(pairs, samples=2000)["share"]
    return found.confidence_high - found.confidence_low


def test_seeds_that_say_the_same_are_no_more_evidence_than_one() -> None:
    generator = np.random.default_rng(5)
    system, baseline = (measured(generator.integers(2, size=200).tolist()) for _ in range(2))
    one = width([(system, baseline)])
    assert width([(system, baseline)] * 4) == pytest.approx(one, rel=0.1)
    four_times = [
        {"share": Measurement(np.tile(side["share"].statistics, (4, 1)), side["share"].score)}
        for side in (system, baseline)
    ]
    assert width([tuple(four_times)]) == pytest.approx(one / 2, rel=0.1)  # what must not be: clips counted four times


def test_seeds_that_disagree_widen_the_interval() -> None:
    baseline = measured([0.0] * 50)
    better, worse = measured([0.2] * 50), measured([-0.2] * 50)  # of each seed alone the clips leave no doubt
    assert width([(better, baseline)]) == pytest.approx(0)
    found = compare([(better, baseline), (worse, baseline), (better, baseline)], samples=500)["share"]
    assert found.confidence_low == pytest.approx(-0.2)
    assert found.p_value > 0.2


def test_an_estimate_has_an_interval_of_the_binomial_width() -> None:
    found = estimate(measured([1.0] * 80 + [0.0] * 20), samples=2000)["share"]
    assert found.value == 0.8
    half = 1.96 * np.sqrt(0.8 * 0.2 / 100)
    assert (found.confidence_low, found.confidence_high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.015)


def test_systems_on_different_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="measured on different clips"):
        compare([(measured([1.0, 0.0]), measured([1.0]))], samples=10)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        bleu4(["a"], ["a"], ["a"], samples=0)
