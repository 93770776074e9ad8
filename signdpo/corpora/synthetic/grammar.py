"""The grammar: sentences as glosses in sign order and as English, which orders its words differently.

Sign order is time, place, object, subject, verb; adjectives, numbers and the repetition that marks a plural follow
their noun, modals and the negation follow the verb, question signs come last. English has articles, tense, agreement
and do-support, and places and times come at the end. A gloss sequence has exactly one English sentence, so that the
signs decide the translation.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from signdpo.config import ConfigError
from signdpo.corpora.source import SPLITS
from signdpo.corpora.synthetic.lexicon import SIGNS, Sign, in_category

ENGLISH_WORDS: Final = (6, 11)  # fewest and most words of a sentence
SIGN_COUNT: Final = (3, 5)  # fewest and most signs
SPLIT_SHARES: Final = {"train": 80, "dev": 10, "test": 10}  # percent of all sentences the grammar can make

_SKEW: Final = 0.6  # of the signs of a category: exponent of Zipf's law, in the order of the lexicon

# Which nouns a verb takes as its object.
_ANY = ("drink", "food", "text", "machine", "clothing", "animal")
_OBJECTS: Final[dict[str, tuple[str, ...]]] = {
    "BUY": _ANY,
    "SELL": _ANY,
    "SEE": ("machine", "clothing", "animal", "text"),
    "READ": ("text",),
    "LIKE": ("drink", "food", "animal"),
    "FIND": ("text", "machine", "clothing", "animal"),
    "NEED": ("drink", "text", "machine", "clothing"),
    "EAT": ("food",),
    "DRINK": ("drink",),
    "WASH": ("machine", "clothing", "animal"),
    "REPAIR": ("machine",),
}


@dataclass(frozen=True)
class Sentence:
    """Glosses in sign order, and the English sentence: lower case, ending in "." or "?" without a space before it."""

    gloss: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Phrase:
    """A part of a sentence in both languages; `person` is the agreement of a subject: "i", "third" or "plural"."""

    gloss: tuple[str, ...] = ()
    words: str = ""
    person: str = "third"


@dataclass(frozen=True)
class Setting:
    """When and where a sentence plays; `tense` is "past", "present" or "future"."""

    gloss: tuple[str, ...]
    words: str
    tense: str


def sentences(split: str, count: int, seed: int) -> list[Sentence]:
    """The first `count` distinct sentences of a split, always the same ones and never one of another split.

    A hash of the sentence decides its split, so splits cannot overlap, and asking for more only appends.

    Raises:
        ConfigError: if the grammar runs out of new sentences for the split.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    found: dict[str, Sentence] = {}
    for _ in range(1000 + 100 * count):
        if len(found) == count:
            return list(found.values())
        sentence = sample_sentence(rng)
        if split_of(sentence.text) == split:
            found.setdefault(sentence.text, sentence)
    raise ConfigError(f"the grammar gave only {len(found)} of {count} sentences: lower corpus.synthetic.{split}_clips")


def split_of(text: str) -> str:
    """The split a sentence belongs to."""
    percentile = zlib.crc32(text.encode()) % 100
    for split, share in SPLIT_SHARES.items():
        if percentile < share:
            return split
        percentile -= share
    raise AssertionError("SPLIT_SHARES must sum to 100")


def sample_sentence(rng: np.random.Generator) -> Sentence:
    """One random sentence within `ENGLISH_WORDS` and `SIGN_COUNT`."""
    while True:
        sentence = _PATTERNS[int(np.searchsorted(_PATTERN_BOUNDS, rng.random(), side="right"))](rng)
        words = len(sentence.text.split())
        if ENGLISH_WORDS[0] <= words <= ENGLISH_WORDS[1] and SIGN_COUNT[0] <= len(sentence.gloss) <= SIGN_COUNT[1]:
            return sentence


def _transitive(rng: np.random.Generator) -> Sentence:
    setting, subject, verb = _setting(rng), _subject(rng), _pick(rng, "verb")
    negated = rng.random() < 0.2
    thing = _object(rng, verb, uncountable="any" if negated else "some")
    gloss = (*setting.gloss, *thing.gloss, *subject.gloss, verb.gloss, *_negation(negated))
    return _statement(
        gloss, subject.words, _verb_group(verb, subject, setting.tense, negated), thing.words, setting.words
    )


def _intransitive(rng: np.random.Generator) -> Sentence:
    setting, subject, verb = _setting(rng), _subject(rng), _pick(rng, "action")
    negated = rng.random() < 0.25
    gloss = (*setting.gloss, *subject.gloss, verb.gloss, *_negation(negated))
    return _statement(gloss, subject.words, _verb_group(verb, subject, setting.tense, negated), setting.words)


def _predicate(rng: np.random.Generator) -> Sentence:
    setting, subject, state = _setting(rng), _subject(rng), _pick(rng, "state")
    negated = rng.random() < 0.25
    copula = _copula(subject, setting.tense, negated)
    gloss = (*setting.gloss, *subject.gloss, state.gloss, *_negation(negated))
    return _statement(gloss, subject.words, copula, state.words[0], setting.words)


def _modal(rng: np.random.Generator) -> Sentence:
    setting, subject, verb, modal = _setting(rng), _subject(rng), _pick(rng, "verb"), _pick(rng, "modal")
    thing = _object(rng, verb)
    plain, third, past = modal.words
    auxiliary = past if setting.tense == "past" else third if subject.person == "third" else plain
    gloss = (*setting.gloss, *thing.gloss, *subject.gloss, verb.gloss, modal.gloss)
    return _statement(gloss, subject.words, auxiliary, verb.words[0], thing.words, setting.words)


def _polar_question(rng: np.random.Generator) -> Sentence:
    setting, subject, verb = _setting(rng), _subject(rng, asked=True), _pick(rng, "verb")
    thing = _object(rng, verb)
    gloss = (*setting.gloss, *thing.gloss, *subject.gloss, verb.gloss, "QUESTION")
    return _question(gloss, _do(subject, setting.tense), subject.words, verb.words[0], thing.words, setting.words)


def _adverbial_question(rng: np.random.Generator) -> Sentence:
    """Where, when or why: what is asked for is left out of the setting."""
    asked = SIGNS[str(rng.choice(["WHERE", "WHEN", "WHY"]))]
    subject, verb = _subject(rng, asked=True), _pick(rng, "verb")
    setting = _setting(rng, place=asked.gloss != "WHERE", time=asked.gloss != "WHEN")
    thing = _object(rng, verb)
    gloss = (*setting.gloss, *thing.gloss, *subject.gloss, verb.gloss, asked.gloss)
    do = _do(subject, setting.tense)
    return _question(gloss, asked.words[0], do, subject.words, verb.words[0], thing.words, setting.words)


def _object_question(rng: np.random.Generator) -> Sentence:
    setting, subject, verb = _setting(rng), _subject(rng, asked=True), _pick(rng, "verb")
    gloss = (*setting.gloss, *subject.gloss, verb.gloss, "WHAT")
    return _question(gloss, "what", _do(subject, setting.tense), subject.words, verb.words[0], setting.words)


def _subject_question(rng: np.random.Generator) -> Sentence:
    setting, verb = _setting(rng), _pick(rng, "verb")
    thing = _object(rng, verb)
    gloss = (*setting.gloss, *thing.gloss, verb.gloss, "WHO")
    return _question(gloss, "who", _verb_group(verb, Phrase(), setting.tense, False), thing.words, setting.words)


_PATTERNS: Final[tuple[Callable[[np.random.Generator], Sentence], ...]] = (
    _transitive,
    _intransitive,
    _predicate,
    _modal,
    _polar_question,
    _adverbial_question,
    _object_question,
    _subject_question,
)
_PATTERN_SHARES: Final = (0.34, 0.12, 0.12, 0.14, 0.1, 0.08, 0.05, 0.05)
_PATTERN_BOUNDS: Final = np.cumsum(_PATTERN_SHARES)[:-1]


def _setting(rng: np.random.Generator, place: bool = True, time: bool = True) -> Setting:
    when = _pick(rng, "past", "present", "future") if time and rng.random() < 0.7 else None
    where = _pick(rng, "place") if place and rng.random() < 0.4 else None
    in_english = [sign.words[0] for sign in (where, when) if sign]
    return Setting(
        gloss=tuple(sign.gloss for sign in (when, where) if sign),
        words=" ".join(in_english),
        tense=when.category if when else "present",
    )


def _subject(rng: np.random.Generator, asked: bool = False) -> Phrase:
    """A pronoun or a person. In a question (`asked`) it is the listener's kin and never the speaker."""
    sign = _pick(rng, "pronoun", "kin", "person")
    if sign.category == "pronoun":
        if asked and sign.gloss in ("I", "WE"):
            sign = SIGNS["YOU"]
        return Phrase((sign.gloss,), sign.words[0], "i" if sign.gloss == "I" else "plural")
    article = "the" if sign.category == "person" else "your" if asked else "my"
    plural = len(sign.words) == 2 and rng.random() < 0.2
    return Phrase(
        (sign.gloss,) * (2 if plural else 1), f"{article} {sign.words[int(plural)]}", "plural" if plural else "third"
    )


def _object(rng: np.random.Generator, verb: Sign, uncountable: str = "some") -> Phrase:
    """A noun that the verb takes, bare, described, counted or repeated; `uncountable` is the article of a mass noun."""
    noun = _pick(rng, *_OBJECTS[verb.gloss])
    kind = rng.random()
    if kind < 0.35:
        quality = _pick(rng, "quality")
        words = f"{quality.words[0]} {noun.words[0]}"
        return Phrase((noun.gloss, quality.gloss), _with_article(words, noun, uncountable))
    if kind < 0.6 and len(noun.words) == 2:
        number = _pick(rng, "number")
        return Phrase((noun.gloss, number.gloss), f"{number.words[0]} {noun.words[1]}")
    if kind < 0.7 and len(noun.words) == 2:
        return Phrase((noun.gloss, noun.gloss), f"many {noun.words[1]}")
    return Phrase((noun.gloss,), _with_article(noun.words[0], noun, uncountable))


def _with_article(words: str, noun: Sign, uncountable: str) -> str:
    if len(noun.words) == 1:
        return f"{uncountable} {words}"
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _verb_group(verb: Sign, subject: Phrase, tense: str, negated: bool) -> str:
    base, third, past = verb.words
    if tense == "future":
        return f"will not {base}" if negated else f"will {base}"
    if negated:
        return f"{_do(subject, tense)} not {base}"
    if tense == "past":
        return past
    return third if subject.person == "third" else base


def _do(subject: Phrase, tense: str) -> str:
    """The auxiliary of questions and negations."""
    if tense == "present":
        return "does" if subject.person == "third" else "do"
    return "did" if tense == "past" else "will"


def _copula(subject: Phrase, tense: str, negated: bool) -> str:
    if tense == "future":
        return "will not be" if negated else "will be"
    forms = {
        "past": {"i": "was", "third": "was", "plural": "were"},
        "present": {"i": "am", "third": "is", "plural": "are"},
    }
    return forms[tense][subject.person] + (" not" if negated else "")


def _negation(negated: bool) -> tuple[str, ...]:
    return ("NOT",) if negated else ()


def _statement(gloss: tuple[str, ...], *words: str) -> Sentence:
    return Sentence(gloss, " ".join(filter(None, words)) + ".")


def _question(gloss: tuple[str, ...], *words: str) -> Sentence:
    return Sentence(gloss, " ".join(filter(None, words)) + "?")


def _pick(rng: np.random.Generator, *categories: str) -> Sign:
    """A sign of these categories; as in any language, some are used much more than others."""
    signs, cumulative = _choices(categories)
    return signs[int(np.searchsorted(cumulative, rng.random(), side="right"))]


@lru_cache(maxsize=64)
def _choices(categories: tuple[str, ...]) -> tuple[tuple[Sign, ...], np.ndarray]:
    """The signs of these categories and the cumulative probability of each."""
    signs = in_category(*categories)
    shares = (1.0 + np.arange(len(signs))) ** -_SKEW
    return signs, np.cumsum(shares)[:-1] / shares.sum()
