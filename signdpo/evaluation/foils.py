"""Sentences that differ from a reference in one word that carries meaning.

Substitutions are balanced: over the clips of a split, as many references lose a word to another as lose that other to
the first. What a system makes of the words alone (how frequent they are, in how many tokens they are written) then
speaks for the right sentence as often as against it, so that chance is 50 %.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from signdpo.evaluation.training_sentences import TrainingSentences
from signdpo.text.units import folded, join_units, split_units, words_of

WordPair = tuple[str, str]  # two folded words
Foils = dict[str, dict[str, list[str]]]  # clip -> kind of pair -> wrong sentences

NEIGHBOURS: Final = 5  # words that a word may be exchanged for
LEAST_COUNT: Final = 5  # sentences that have a word whose company says something about it
CONTEXT_WORDS: Final = 500  # the most frequent words, whose company tells words apart
BLOCK: Final = 512  # words that are compared with all others at a time
ATTEMPTS: Final = 2  # substitutions of the same word of a sentence
SEED: Final = 20260  # the same foils in every run on the same clips
# Foils of a clip by the score that counts them: a word of like company; the word of the sign that looks most alike.
PER_CLIP: Final = {"pairs_words": 3, "pairs_signs": 1}


@dataclass(frozen=True)
class Foil:
    """A wrong sentence.

    Args:
        sentence: reference with one word replaced.
        word: word of the reference, folded.
        other: word in its place, folded.
    """

    sentence: str
    word: str
    other: str


def foils_of(references: Mapping[str, str], training: TrainingSentences, signs: Sequence[WordPair] = ()) -> Foils:
    """The wrong sentences for all clips of a split, by kind.

    Args:
        references: clip -> its sentence.
        training: the training sentences.
        signs: words of signs that look alike, where the corpus knows any, the most alike first.
    """
    kinds = {"pairs_words": similar_words(references.values(), training), "pairs_signs": signs}
    made = {kind: balanced_foils(references, pairs, training, per_clip=PER_CLIP[kind]) for kind, pairs in kinds.items()}
    return {clip: {kind: [foil.sentence for foil in of[clip]] for kind, of in made.items()} for clip in references}


def similar_words(texts: Iterable[str], training: TrainingSentences) -> list[WordPair]:
    """Content words of some sentences that stand in like places, the most alike first.

    Two words are alike as far as the distributions of their left and right neighbours in the training sentences overlap
    (Bhattacharyya coefficient). Each word is paired with a few others whose frequency differs by less than a factor of
    four.
    """
    counts = training.counts
    words = sorted({word for text in texts for word in training.content(text) if counts.get(word, 0) >= LEAST_COUNT})
    left, right = _contexts(words, training.texts)
    classes = np.array([int(math.log2(counts[word])) for word in words])
    found: dict[WordPair, float] = {}
    for begin in range(0, len(words), BLOCK):
        block = slice(begin, begin + BLOCK)
        alike = (left[block] @ left.T + right[block] @ right.T) / 2  # (block, words)
        alike[np.abs(classes[block, None] - classes) > 1] = 0.0
        for row, word in enumerate(words[block]):
            alike[row, begin + row] = 0.0
            for place in np.argsort(-alike[row], kind="stable")[:NEIGHBOURS].tolist():
                if alike[row, place] > 0:
                    found[min(word, words[place]), max(word, words[place])] = float(alike[row, place])
    return sorted(found, key=lambda pair: (-found[pair], pair))


def balanced_foils(
    references: Mapping[str, str], pairs: Sequence[WordPair], training: TrainingSentences, *, per_clip: int
) -> dict[str, list[Foil]]:
    """Foils of each clip of a split, up to a number, each pair of words as often in one direction as in the other.

    Args:
        references: clip -> its sentence.
        pairs: words that may stand for each other, the best first.
        training: how words are spelled.
        per_clip: foils of a clip, at most.
    """
    units = {clip: split_units(text) for clip, text in references.items()}
    places: dict[str, dict[str, int]] = defaultdict(dict)  # word -> clip -> where it stands first
    for clip, sentence in units.items():
        for index, unit in reversed(list(enumerate(sentence))):
            places[folded(unit)][clip] = index
    spelled = _spellings(training.texts)
    rng = np.random.default_rng(SEED)
    foils: dict[str, list[Foil]] = {clip: [] for clip in references}
    attempts: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        directions = (pair, pair[::-1])
        sides = []
        for word, other in directions:
            free = [
                clip
                for clip in places[word]
                if clip not in places[other] and len(foils[clip]) < per_clip and attempts[clip, word] < ATTEMPTS
            ]
            sides.append(
                sorted((free[place] for place in rng.permutation(len(free))), key=lambda clip: len(foils[clip]))
            )
        for (word, other), side in zip(directions, sides, strict=True):
            for clip in side[: min(map(len, sides))]:
                sentence = list(units[clip])
                unit = sentence[places[word][clip]]
                sentence[places[word][clip]] = _written(spelled.get(other, other), unit)
                foils[clip].append(Foil(join_units(sentence), word, other))
                attempts[clip, word] += 1
    return foils


def _contexts(words: Sequence[str], texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Square roots of the shares of each word's left and right neighbours, `(words, contexts)` float32 each."""
    sentences = [["<s>", *words_of(text), "</s>"] for text in texts]
    frequent = [word for word, _ in Counter(word for each in sentences for word in each).most_common(CONTEXT_WORDS)]
    columns = {word: column for column, word in enumerate(frequent)}
    rows = {word: row for row, word in enumerate(words)}
    left, right = (np.zeros((len(words), len(frequent) + 1), dtype=np.float32) for _ in range(2))  # the last: any other
    for sentence in sentences:
        for first, second in pairwise(sentence):
            if first in rows:
                right[rows[first], columns.get(second, -1)] += 1
            if second in rows:
                left[rows[second], columns.get(first, -1)] += 1
    left, right = (np.sqrt(side / np.maximum(side.sum(1, keepdims=True), 1)) for side in (left, right))
    return left, right


def _spellings(texts: Iterable[str]) -> dict[str, str]:
    """Folded word -> how it is written most often."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        for unit in split_units(text):
            counts[folded(unit)][unit.strip()] += 1
    return {word: spellings.most_common(1)[0][0] for word, spellings in counts.items()}


def _written(word: str, unit: str) -> str:
    """A word in the place of a unit: with the space before it, and with a capital where the unit has one."""
    text = unit.strip()
    capital = text[:1].isupper() and not text[1:2].isupper()
    return unit[: len(unit) - len(text)] + (word[:1].upper() + word[1:] if capital else word)
