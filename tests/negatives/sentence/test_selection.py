"""Which wrong sentence is rejected."""

import pytest

from signdpo.config import PerturberConfig
from signdpo.negatives.sentence.selection import TrainingText, admissible, choose_rejected

TEXTS = [
    "the mother bought the coat",
    "the father bought a car",
    "the dog sees the cat",
    "a cat sleeps in the garden",
    "the cat slept in a garden",
    "我今天想吃面条。",
]
TEXT = TrainingText.of(TEXTS, function_share=0.5)
WIDE = PerturberConfig(min_chrf=0.0, max_chrf=100.0)


def test_function_words_are_the_words_of_most_sentences() -> None:
    assert {word for word in TEXT.counts if TEXT.is_function_word(word)} == {
        "the"
    }  # in 4 of 6; "a" is in 3, which is not more than half


@pytest.mark.parametrize(
    ("candidate", "why_not"),
    [
        ("The mother bought coat!", "punctuation, case and function words carry no meaning"),
        ("the coat bought the mother", "the same words in another order may be the same sentence"),
        ("the mother bought the caot", "no word of the training text"),
        ("the mother bought the coat a cat sees in the garden", "more than twice as long"),
        ("mother", "less than half as long"),
        ("", "nothing"),
    ],
)
def test_what_may_be_right_or_is_no_sentence_is_refused(candidate: str, why_not: str) -> None:
    assert not admissible(TEXTS[0], candidate, TEXT, WIDE), why_not
    assert admissible(TEXTS[0], "the father bought the coat", TEXT, WIDE)


def test_unknown_words_are_allowed_where_a_pretrained_model_writes() -> None:
    assert admissible(TEXTS[0], "the mother bought a jacket", TEXT, WIDE.model_copy(update={"known_words": False}))


def test_a_chinese_character_is_a_word() -> None:
    assert admissible(TEXTS[5], "我今天想吃。", TEXT, WIDE)
    assert not admissible(TEXTS[5], "我今天想吃面条！", TEXT, WIDE)


def test_digits_and_letters_of_full_width_are_the_same() -> None:
    text = TrainingText.of(["我有２只猫", "我有三只狗"])
    assert not admissible("我有２只猫", "我有2只猫", text, WIDE)
    assert admissible("我有２只猫", "我有三只猫", text, WIDE)


def test_the_likeliest_admissible_sentence_is_rejected_and_no_gibberish() -> None:
    candidates = ["the mother bought the coat", "the father bought the coat", "the mother bought a car", "the dog"]
    settings = PerturberConfig(min_chrf=30.0, max_chrf=90.0, min_fluency=-2.0)
    assert choose_rejected(TEXTS[0], candidates, [0.0, -1.5, -1.0, -0.5], TEXT, settings) == candidates[2]
    assert choose_rejected(TEXTS[0], candidates, [0.0, -1.5, -3.0, -0.5], TEXT, settings) == candidates[1]
    assert choose_rejected(TEXTS[0], candidates, [0.0, -2.5, -3.0, -0.5], TEXT, settings) == ""
    no_pair = float("-inf")
    assert choose_rejected(TEXTS[0], candidates, [0.0, -1.5, no_pair, -0.5], TEXT, settings) == candidates[1]
