"""What a language model learns from where there are no clips: damaged sentences, the same ones in every process."""

from __future__ import annotations

from collections import Counter

import numpy as np

from signdpo.text.units import words_of
from signdpo.training.denoising import KEPT_SHARES, batch_bounds, damaged, denoising_batches

SENTENCES = [
    f"the {noun} saw my brother at {place} ." for noun in ("dog", "cat", "man") for place in ("home", "school")
]


def test_a_damaged_sentence_has_some_of_the_words_and_no_others() -> None:
    rng = np.random.default_rng(0)
    shares, moved = [], 0
    for _ in range(900):
        found = words_of(damaged(SENTENCES[0], rng))
        assert not Counter(found) - Counter(words_of(SENTENCES[0]))
        shares.append(len(found) / 7)
        places = [words_of(SENTENCES[0]).index(word) for word in found]
        moved += places != sorted(places)
    assert abs(np.mean(shares) - np.mean(KEPT_SHARES)) < 0.03
    assert 0.2 < np.mean(np.equal(shares, 0)) < 0.45  # a third is written from nothing
    assert 0.15 < moved / 900 < 0.45


def test_chinese_is_damaged_by_characters() -> None:
    rng = np.random.default_rng(1)
    assert {len(damaged("我们明天去学校", rng)) for _ in range(200)} >= {0, 2, 3, 5}


def test_an_epoch_has_every_sentence_once_and_depends_on_seed_and_epoch_alone() -> None:
    first = denoising_batches(0, SENTENCES, batch_size=4, seed=3)
    assert [len(targets) for _, targets in first] == [4, 2]
    assert sorted(text for _, targets in first for text in targets) == sorted(SENTENCES)
    assert denoising_batches(0, SENTENCES, batch_size=4, seed=3) == first
    assert denoising_batches(1, SENTENCES, batch_size=4, seed=3) != first
    assert denoising_batches(0, SENTENCES, batch_size=4, seed=4) != first
    by_text = {target: source for sources, targets in first for source, target in zip(sources, targets, strict=True)}
    for sources, targets in denoising_batches(0, SENTENCES, batch_size=2, seed=3):  # other steps, the same damage
        assert [by_text[target] for target in targets] == sources


def test_no_step_is_so_small_that_a_worker_might_have_no_sentence() -> None:
    assert batch_bounds(9, batch_size=4) == [slice(0, 4), slice(4, 9)]
    assert batch_bounds(10, batch_size=4) == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert batch_bounds(8, batch_size=4) == [slice(0, 4), slice(4, 8)]
    assert batch_bounds(1, batch_size=4) == [slice(0, 1)]
    assert batch_bounds(20_000, batch_size=64)[-1] == slice(19_968, 20_000)
