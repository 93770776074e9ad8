"""The signs: how each is formed, which English words it stands for, and what tells it from its neighbours."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from signdpo.corpora.synthetic.phonology import EXPRESSIONS, HANDSHAPES, LOCATIONS, MOVEMENTS, ORIENTATIONS

Hands = Literal["one", "both", "base"]

# The fields of `Sign` that say how it is formed, and the values they may take.
FORM: Final[dict[str, Collection[str]]] = {
    "handshape": HANDSHAPES,
    "end_handshape": ("", *HANDSHAPES),
    "location": LOCATIONS,
    "movement": MOVEMENTS,
    "orientation": ORIENTATIONS,
    "hands": ("one", "both", "base"),
    "expression": EXPRESSIONS,
}


@dataclass(frozen=True)
class Sign:
    """One sign of the lexicon.

    Args:
        gloss: its name.
        category: its part of speech or, for nouns, the class that verbs select.
        words: English forms: nouns `(singular, plural)` or one form, verbs `(base, third person, past)`, modals
            `(plain, third person, past)`, everything else one word or phrase.
        handshape: of the right hand, a key of `HANDSHAPES`.
        location: of the right wrist, a key of `LOCATIONS`.
        movement: a key of `MOVEMENTS`.
        orientation: a key of `ORIENTATIONS`.
        hands: `one`; `both` hands as mirror images; or the right hand acting on the left as a flat, still `base`.
        end_handshape: what the hand opens or closes to; empty if it keeps its handshape.
        expression: on the face, a key of `EXPRESSIONS`.
    """

    gloss: str
    category: str
    words: tuple[str, ...]
    handshape: str
    location: str
    movement: str
    orientation: str
    hands: Hands = "one"
    end_handshape: str = ""
    expression: str = "neutral"

    def __post_init__(self) -> None:
        for name, stock in FORM.items():
            if getattr(self, name) not in stock:
                raise ValueError(f"sign {self.gloss}: {name} {getattr(self, name)!r} is not in the inventory")


_TIMES = (
    Sign("YESTERDAY", "past", ("yesterday",), "thumb", "cheek", "out", "up_side"),
    Sign("LAST_WEEK", "past", ("last week",), "point", "palm", "in", "across_down", "base"),
    Sign("THIS_MORNING", "past", ("this morning",), "flat", "across", "up", "up_in", "base"),
    Sign("TOMORROW", "future", ("tomorrow",), "thumb", "cheek", "arc", "up_side"),
    Sign("NEXT_WEEK", "future", ("next week",), "point", "palm", "out", "across_down", "base"),
    Sign("THIS_EVENING", "future", ("this evening",), "flat", "across", "down", "up_in", "base"),
    Sign("EVERY_DAY", "present", ("every day",), "thumb", "cheek", "brush", "up_side"),
)

_PEOPLE = (
    Sign("I", "pronoun", ("i",), "point", "chest", "hold", "across_in"),
    Sign("YOU", "pronoun", ("you",), "point", "neutral", "hold", "forward_down"),
    Sign("WE", "pronoun", ("we",), "point", "chest", "circle", "across_in"),
    Sign("THEY", "pronoun", ("they",), "point", "side", "out", "forward_down"),
    Sign("MOTHER", "kin", ("mother",), "five", "chin", "tap", "up_side"),
    Sign("FATHER", "kin", ("father",), "five", "forehead", "tap", "up_side"),
    Sign("SISTER", "kin", ("sister", "sisters"), "ell", "cheek", "down", "up_side"),
    Sign("BROTHER", "kin", ("brother", "brothers"), "ell", "temple", "down", "up_side"),
    Sign("FRIEND", "kin", ("friend", "friends"), "hook", "palm", "tap", "across_down", "both"),
    Sign("NEIGHBOUR", "kin", ("neighbour", "neighbours"), "cup", "palm", "tap", "across_down", "both"),
    Sign("TEACHER", "person", ("teacher", "teachers"), "pinch", "high", "tap", "slant", "both"),
    Sign("STUDENT", "person", ("student", "students"), "claw", "palm", "up", "slant", "base", "pinch"),
    Sign("DOCTOR", "person", ("doctor", "doctors"), "three", "palm", "tap", "across_down", "base"),
    Sign("CHILD", "person", ("child", "children"), "flat", "side", "tap", "across_down"),
)

_VERBS = (
    Sign("BUY", "verb", ("buy", "buys", "bought"), "pinch", "palm", "arc", "forward_up", "base"),
    Sign("SELL", "verb", ("sell", "sells", "sold"), "pinch", "neutral", "twist", "forward_down", "both"),
    Sign("SEE", "verb", ("see", "sees", "saw"), "vee", "cheek", "arc", "up_in"),
    Sign("READ", "verb", ("read", "reads", "read"), "vee", "palm", "down", "across_down", "base"),
    Sign("LIKE", "verb", ("like", "likes", "liked"), "five", "chest", "out", "across_in", "one", "pinch"),
    Sign("FIND", "verb", ("find", "finds", "found"), "five", "neutral", "up", "forward_down", "one", "pinch"),
    Sign("NEED", "verb", ("need", "needs", "needed"), "hook", "neutral", "down", "forward_down"),
    Sign("EAT", "verb", ("eat", "eats", "ate"), "pinch", "chin", "tap", "up_in"),
    Sign("DRINK", "verb", ("drink", "drinks", "drank"), "cup", "chin", "up", "up_side"),
    Sign("WASH", "verb", ("wash", "washes", "washed"), "fist", "palm", "circle", "across_down", "both"),
    Sign("REPAIR", "verb", ("repair", "repairs", "repaired"), "pinch", "palm", "twist", "slant", "both"),
    Sign("WORK", "action", ("work", "works", "worked"), "fist", "palm", "tap", "across_down", "both"),
    Sign("SLEEP", "action", ("sleep", "sleeps", "slept"), "five", "forehead", "down", "up_in", "one", "cup"),
    Sign("DANCE", "action", ("dance", "dances", "danced"), "vee", "palm", "brush", "across_down", "base"),
    Sign("SWIM", "action", ("swim", "swims", "swam"), "flat", "neutral", "circle", "forward_down", "both"),
    Sign("WANT", "modal", ("want to", "wants to", "wanted to"), "claw", "neutral", "in", "forward_up", "both"),
    Sign("CAN", "modal", ("can", "can", "could"), "fist", "neutral", "down", "forward_down", "both"),
    Sign("MUST", "modal", ("must", "must", "had to"), "hook", "neutral", "tap", "forward_down"),
)

_THINGS = (
    Sign("COFFEE", "drink", ("coffee",), "fist", "palm", "circle", "across_down", "base"),
    Sign("TEA", "drink", ("tea",), "pinch", "palm", "circle", "across_down", "base"),
    Sign("MILK", "drink", ("milk",), "cup", "neutral", "hold", "up_side", "one", "fist"),
    Sign("WATER", "drink", ("water",), "three", "chin", "tap", "up_side"),
    Sign("APPLE", "food", ("apple", "apples"), "hook", "cheek", "twist", "up_in"),
    Sign("CAKE", "food", ("cake", "cakes"), "claw", "palm", "up", "across_down", "base"),
    Sign("BREAD", "food", ("bread",), "flat", "palm", "brush", "across_in", "base"),
    Sign("FISH", "food", ("fish",), "flat", "neutral", "wiggle", "up_side"),
    Sign("BOOK", "text", ("book", "books"), "flat", "palm", "out", "up_side", "both"),
    Sign("LETTER", "text", ("letter", "letters"), "thumb", "palm", "tap", "across_in", "base"),
    Sign("NEWSPAPER", "text", ("newspaper", "newspapers"), "ell", "palm", "tap", "across_in", "base"),
    Sign("CAR", "machine", ("car", "cars"), "fist", "neutral", "twist", "slant", "both"),
    Sign("BICYCLE", "machine", ("bicycle", "bicycles"), "fist", "neutral", "circle", "forward_down", "both"),
    Sign("COMPUTER", "machine", ("computer", "computers"), "cup", "across", "arc", "up_side", "base"),
    Sign("PHONE", "machine", ("phone", "phones"), "wye", "cheek", "hold", "up_in"),
    Sign("COAT", "clothing", ("coat", "coats"), "thumb", "chest", "down", "across_in", "both"),
    Sign("CAT", "animal", ("cat", "cats"), "pinch", "cheek", "out", "up_out"),
    Sign("DOG", "animal", ("dog", "dogs"), "flat", "belly", "tap", "slant"),
)

_PLACES = (
    Sign("SCHOOL", "place", ("at school",), "flat", "palm", "tap", "across_down", "base"),
    Sign("OFFICE", "place", ("at the office",), "ell", "neutral", "in", "up_side", "both"),
    Sign("HOSPITAL", "place", ("at the hospital",), "blade", "collar", "down", "across_in"),
    Sign("LIBRARY", "place", ("at the library",), "ell", "high", "circle", "up_out"),
    Sign("MARKET", "place", ("at the market",), "pinch", "high", "circle", "up_out"),
    Sign("PARK", "place", ("in the park",), "pinky", "high", "twist", "up_out"),
    Sign("GARDEN", "place", ("in the garden",), "five", "high", "circle", "up_out"),
)

_QUALITIES = (
    Sign("NEW", "quality", ("new",), "cup", "palm", "arc", "forward_up", "base"),
    Sign("BIG", "quality", ("big",), "ell", "neutral", "out", "up_side", "both", "", "open"),
    Sign("SMALL", "quality", ("small",), "flat", "neutral", "in", "up_side", "both", "", "round"),
    Sign("EXPENSIVE", "quality", ("expensive",), "pinch", "palm", "up", "forward_up", "base", "five", "open"),
    Sign("BEAUTIFUL", "quality", ("beautiful",), "five", "cheek", "circle", "up_in", "one", "pinch", "smile"),
    Sign("RED", "quality", ("red",), "point", "chin", "down", "up_in", "one", "hook"),
    Sign("BLUE", "quality", ("blue",), "four", "high", "twist", "up_out"),
    Sign("GREEN", "quality", ("green",), "ell", "high", "twist", "up_out"),
    Sign("WHITE", "quality", ("white",), "five", "chest", "out", "across_in", "one", "cup"),
    Sign("HAPPY", "state", ("happy",), "flat", "chest", "up", "across_in", "both", "", "smile"),
    Sign("SAD", "state", ("sad",), "cup", "chest", "down", "across_in", "both", "", "frown"),
    Sign("TIRED", "state", ("tired",), "cup", "chest", "down", "across_in", "both", "", "round"),
    Sign("ANGRY", "state", ("angry",), "claw", "chest", "up", "across_in", "both", "", "frown"),
)

_FUNCTION_SIGNS = (
    Sign("TWO", "number", ("two",), "vee", "high", "hold", "up_in"),
    Sign("THREE", "number", ("three",), "three", "high", "hold", "up_in"),
    Sign("FOUR", "number", ("four",), "four", "high", "hold", "up_in"),
    Sign("NOT", "negation", ("not",), "flat", "neutral", "brush", "up_out", "one", "", "negation"),
    Sign("QUESTION", "question", (), "flat", "neutral", "hold", "forward_up", "both", "", "polar_question"),
    Sign("WHAT", "question", ("what",), "five", "neutral", "brush", "forward_up", "both", "", "content_question"),
    Sign("WHERE", "question", ("where",), "point", "high", "brush", "up_out", "one", "", "content_question"),
    Sign("WHEN", "question", ("when",), "point", "palm", "circle", "across_down", "base", "", "content_question"),
    Sign("WHO", "question", ("who",), "ell", "chin", "wiggle", "up_side", "one", "", "content_question"),
    Sign("WHY", "question", ("why",), "five", "temple", "down", "up_in", "one", "wye", "content_question"),
)

SIGNS: Final[dict[str, Sign]] = {
    sign.gloss: sign for sign in (*_TIMES, *_PEOPLE, *_VERBS, *_THINGS, *_PLACES, *_QUALITIES, *_FUNCTION_SIGNS)
}


def in_category(*categories: str) -> tuple[Sign, ...]:
    """The signs of these categories, in the order of the lexicon."""
    return tuple(sign for sign in SIGNS.values() if sign.category in categories)


def differences(first: Sign, second: Sign) -> tuple[str, ...]:
    """The names of the fields in `FORM` in which two signs differ."""
    return tuple(name for name in FORM if getattr(first, name) != getattr(second, name))


def minimal_pairs() -> list[tuple[Sign, Sign]]:
    """All pairs of signs that differ in exactly one field of `FORM`, each once, in the order of the lexicon."""
    return [pair for pair in combinations(SIGNS.values(), 2) if len(differences(*pair)) == 1]


def distinguishing_parts(first: Sign, second: Sign) -> frozenset[str]:
    """The parts of the layout (`signdpo.skeleton.layout.PARTS`) in which two signs differ once rendered.

    Hands and face count relative to their root joint, as models see them: a hand in another place differs in `body`.
    """
    different = set(differences(first, second))
    hands = {"right_hand", "left_hand"} if "both" in (first.hands, second.hands) else {"right_hand"}
    parts: set[str] = set()
    if different & {"handshape", "end_handshape", "orientation"}:
        parts |= hands
    if "location" in different:
        parts.add("body")
    if "movement" in different:
        movements = MOVEMENTS[first.movement], MOVEMENTS[second.movement]
        parts |= {"body"} if any(movement.moves_wrist for movement in movements) else set()
        parts |= hands if any(movement.moves_hand for movement in movements) else set()
    if "hands" in different:
        parts |= {"body", "left_hand"}
    if "expression" in different:
        expressions = EXPRESSIONS[first.expression], EXPRESSIONS[second.expression]
        parts |= {"face", "body"} if any(expression.moves_head for expression in expressions) else {"face"}
    return frozenset(parts)


def distinguishing_share(first: Sign, second: Sign) -> tuple[float, float]:
    """When two signs differ, as shares of the sign's duration: `(0.5, 1.0)` is its second half.

    Hands that only open from, or only close to, different handshapes are told apart early or late, all others
    throughout.
    """
    different = differences(first, second)
    if different == ("end_handshape",):
        return 0.5, 1.0
    if different == ("handshape",) and first.end_handshape:
        return 0.0, 0.5
    return 0.0, 1.0


def neighbouring_words() -> list[tuple[str, str]]:
    """Words that one sign and its nearest neighbours of the same category stand for, the nearest first.

    Only forms that differ in one word: `at school` and `at the office` do in two.
    """
    found: dict[tuple[str, str], int] = {}
    for sign in SIGNS.values():
        others = [other for other in in_category(sign.category) if other is not sign]
        nearest = min((len(differences(sign, other)) for other in others), default=0)
        for other in others:
            for form, form_of_other in zip(sign.words, other.words, strict=False):
                changed = {*form.split()} ^ {*form_of_other.split()}
                alike = len(form.split()) == len(form_of_other.split())
                if len(differences(sign, other)) == nearest and alike and len(changed) == 2:
                    first, second = sorted(changed)
                    found[first, second] = nearest
    return sorted(found, key=lambda pair: (found[pair], pair))
