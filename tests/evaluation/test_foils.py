"""Foils differ from their reference in one word that carries meaning, and favour no word over another."""

from __future__ import annotations

from collections import Counter

import pytest

from signdpo.corpora.synthetic.grammar import sentences
from signdpo.corpora.synthetic.lexicon import neighbouring_words
from signdpo.evaluation.foils import PER_CLIP, balanced_foils, foils_of, similar_words
from signdpo.evaluation.training_sentences import TrainingSentences
from signdpo.text.units import Operation, align, split_units, words_of

TRAINING = TrainingSentences.of([sentence.text for sentence in sentences("train", 600, seed=1)])
REFERENCES = {f"t{place}": sentence.text for place, sentence in enumerate(sentences("test", 150, seed=1))}


def test_words_of_like_company_are_alike() -> None:
    pairs = similar_words(REFERENCES.values(), TRAINING)
    assert {("evening", "morning"), ("tea", "water"), ("bought", "sold")} <= set(pairs)
    assert all(TRAINING.is_content(word) for pair in pairs for word in pair)


def test_of_nearest_signs_the_words_differ_and_their_category_does_not() -> None:
    pairs = neighbouring_words()
    assert {("father", "mother"), ("library", "market"), ("repaired", "sold")} <= set(pairs)
    assert not {("coffee", "work"), ("repair", "sold")} & set(pairs)


def test_a_foil_differs_in_one_word_that_carries_meaning() -> None:
    made = balanced_foils(REFERENCES, similar_words(REFERENCES.values(), TRAINING), TRAINING, per_clip=3)
    assert sum(map(len, made.values())) > 2 * len(REFERENCES)
    for clip, foils in made.items():
        assert len({foil.sentence for foil in foils}) == len(foils) <= 3
        for foil in foils:
            edits = align(split_units(REFERENCES[clip]), split_units(foil.sentence))
            assert [edit.operation for edit in edits if edit.operation != Operation.KEEP] == [Operation.SUBSTITUTE]
            assert TRAINING.is_content(foil.word)
            assert TRAINING.is_content(foil.other)


@pytest.mark.parametrize("pairs", [similar_words(REFERENCES.values(), TRAINING), neighbouring_words()])
def test_words_are_exchanged_as_often_in_either_direction(pairs: list[tuple[str, str]]) -> None:
    made = balanced_foils(REFERENCES, pairs, TRAINING, per_clip=3)
    counts = Counter((foil.word, foil.other) for foils in made.values() for foil in foils)
    assert len(counts) > 20
    assert all(counts[first, second] == counts[second, first] for first, second in counts)


def test_a_system_that_looks_at_words_alone_is_at_chance() -> None:
    made = balanced_foils(REFERENCES, similar_words(REFERENCES.values(), TRAINING), TRAINING, per_clip=3)
    pairs = [(REFERENCES[clip], foil.sentence) for clip, foils in made.items() for foil in foils]
    for liking in (len, lambda word: TRAINING.counts[word], lambda word: word):  # short, frequent, or by the alphabet
        worth = [[sorted(map(liking, words_of(sentence))) for sentence in pair] for pair in pairs]
        wins = sum(0.5 if right == wrong else float(right < wrong) for right, wrong in worth)
        assert wins / len(pairs) == pytest.approx(0.5, abs=1e-9)


def test_capitals_and_commas_stay_where_they_are() -> None:
    training = TrainingSentences.of([f"{name} went, and {name.lower()} came" for name in ("Ann", "Bob")] + ["x"] * 9)
    training = TrainingSentences(training.texts, training.known, {"ann": 0, "bob": 0})
    made = balanced_foils({"a": "Ann, come", "b": "go, Bob!"}, [("ann", "bob")], training, per_clip=1)
    assert [foil.sentence for foils in made.values() for foil in foils] == ["Bob, come", "go, Ann!"]


def test_chinese_sentences_differ_in_a_character() -> None:
    texts = [f"{who}{when}去{where}。" for who in "我你他" for when in "早晚" for where in "京沪杭"]
    references = dict(
        zip("abcdef", ["我早去京。", "你晚去沪。", "他早去杭。", "我晚去杭。", "你早去京。", "他晚去沪。"], strict=True)
    )
    training = TrainingSentences.of(texts + [chr(code) for code in range(0x5000, 0x5040)])
    made = foils_of(references, training)
    assert sum(len(of["pairs_words"]) for of in made.values()) >= 4
    for clip, of in made.items():
        for sentence in of["pairs_words"]:
            assert len(sentence) == len(references[clip])
            assert sum(one != other for one, other in zip(sentence, references[clip], strict=True)) == 1


def test_a_clip_has_so_many_foils_at_most_and_without_signs_none_of_those() -> None:
    made = foils_of(REFERENCES, TRAINING, neighbouring_words())
    assert made.keys() == REFERENCES.keys()
    for kind, most in PER_CLIP.items():
        assert max(len(of[kind]) for of in made.values()) == most
    assert not any(of["pairs_signs"] for of in foils_of(REFERENCES, TRAINING).values())
