"""Which words carry meaning, and which translations are training sentences."""

from __future__ import annotations

import pytest

from signdpo.evaluation.training_sentences import TrainingSentences

# `the` is in all of ten sentences, each other word in one.
NAMES = ["ann", "bob", "carl", "dora", "emil", "fay", "gus", "hal", "ida", "jon"]
TRAINING = TrainingSentences.of([f"The {name} went." if name == "ann" else f"the {name}" for name in NAMES])


def test_frequent_words_carry_no_meaning() -> None:
    assert not TRAINING.is_content("the")
    assert TRAINING.is_content("ann")
    assert TRAINING.is_content("unheard")
    assert TRAINING.content("The Ann, the Ann!") == {"ann": 2}


def test_precision_and_recall_count_content_words_of_the_whole_corpus() -> None:
    # (bob carl | bob dora): 1 of 2 and 1 of 2; (emil emil emil | emil): 1 of 3 and 1 of 1; the empty one: 0 of 0 and 1.
    found = TRAINING.measure(["the bob, carl", "emil emil emil", ""], ["the bob the dora", "the emil", "fay"])
    assert found["content_precision"].value == pytest.approx(2 / 5)
    assert found["content_recall"].value == pytest.approx(2 / 4)


def test_a_copy_is_a_training_sentence_but_for_case_and_punctuation() -> None:
    found = TRAINING.measure(["THE BOB!", "the ann", "the ann went", "ida"], [""] * 4)
    assert found["copies"].value == 0.5


def test_nothing_said_is_a_share_of_0() -> None:
    assert TRAINING.measure([""], [""])["content_precision"].value == 0.0


def test_chinese_is_taken_by_characters() -> None:
    training = TrainingSentences.of([f"他{character}" for character in "去来买卖学看书"])
    assert training.content("他去图书馆。") == dict.fromkeys("去图书馆", 1)
