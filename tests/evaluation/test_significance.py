"""The paired bootstrap tells a real difference from chance, and says the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from signdpo.evaluation.metrics import score
from signdpo.evaluation.significance import paired_bootstrap

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


def test_a_system_does_not_differ_from_itself() -> None:
    references = random_sentences(50, seed=1)
    system = corrupt(references, 0.3, seed=2)
    result = paired_bootstrap(system, system, references, language="en", samples=100)
    assert (result.delta, result.p_value) == (0.0, 1.0)
    assert (result.confidence_low, result.confidence_high) == (0.0, 0.0)


def test_delta_is_the_difference_of_corpus_bleu4() -> None:
    references = random_sentences(40, seed=1)
    baseline, system = corrupt(references, 0.4, seed=2), corrupt(references, 0.2, seed=3)
    expected = score(system, references, language="en").bleu4 - score(baseline, references, language="en").bleu4
    result = paired_bootstrap(baseline, system, references, language="en", samples=10)
    assert result.delta == pytest.approx(expected)


def test_a_clear_difference_is_significant_and_its_interval_excludes_zero() -> None:
    references = random_sentences(100, seed=1)
    baseline, system = corrupt(references, 0.4, seed=2), corrupt(references, 0.1, seed=3)
    result = paired_bootstrap(baseline, system, references, language="en", samples=200)
    assert result.p_value == pytest.approx(1 / 201)
    assert 0 < result.confidence_low < result.delta < result.confidence_high


def test_exchanging_the_systems_turns_the_signs() -> None:
    references = random_sentences(60, seed=1)
    one, other = corrupt(references, 0.25, seed=2), corrupt(references, 0.2, seed=3)
    forward = paired_bootstrap(one, other, references, language="en", samples=100)
    backward = paired_bootstrap(other, one, references, language="en", samples=100)
    assert backward.delta == pytest.approx(-forward.delta)
    assert backward.confidence_low == pytest.approx(-forward.confidence_high)
    assert backward.p_value == forward.p_value


def test_systems_of_the_same_quality_are_rarely_called_different() -> None:
    # Twenty pairs drawn from the same distribution: at the 5 % level one is expected, and five or more have a
    # probability below 0.3 %.
    references = random_sentences(80, seed=1)
    p_values = [
        paired_bootstrap(
            corrupt(references, 0.3, seed=2 * pair),
            corrupt(references, 0.3, seed=2 * pair + 1),
            references,
            language="en",
            samples=100,
        ).p_value
        for pair in range(20)
    ]
    assert sum(p_value < 0.05 for p_value in p_values) < 5


def test_the_seed_decides_the_result() -> None:
    references = random_sentences(30, seed=1)
    systems = corrupt(references, 0.3, seed=2), corrupt(references, 0.2, seed=3)
    first = paired_bootstrap(*systems, references, language="en", samples=50, seed=7)
    assert first == paired_bootstrap(*systems, references, language="en", samples=50, seed=7)
    assert first != paired_bootstrap(*systems, references, language="en", samples=50, seed=8)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        paired_bootstrap(["a"], ["a"], ["a"], language="en", samples=0)
