"""What the training sentences alone say of which units may stand for which: no glosses, no dictionary."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise

from signdpo.text.units import folded, split_units

BEGIN, END = "^", "$"  # of a sentence, among its keys
CLASH = 3.0  # sentences that chance would have given two units, which have none: they do not go together
IDIOM_OF_BOTH, IDIOM_OF_ONE = 0.3, 0.6  # shares of its sentences in which a unit is next to the other
RARE = (3, 5)  # sentences that a unit is taken to have at least, so that one of a single sentence makes no idiom


def keys_of(units: Sequence[str]) -> list[str]:
    """Units as they are compared: folded, or as they are where nothing is left of them."""
    return [folded(unit) or unit.strip() for unit in units]


class Language:
    """Counts over training sentences.

    Args:
        sentences: of the train split.
        function_share: a unit in more than this share of them is a function word, which no sign stands for.
    """

    def __init__(self, sentences: Iterable[str], *, function_share: float) -> None:
        self.sentences_of: dict[str, set[int]] = defaultdict(set)
        self.follows: Counter[tuple[str, str]] = Counter()
        self.count = 0
        for sentence in sentences:
            keys = keys_of(split_units(sentence))
            for key in keys:
                self.sentences_of[key].add(self.count)
            self.follows.update(pairwise([BEGIN, *keys, END]))
            self.count += 1
        self.most = function_share * self.count

    def is_content(self, key: str) -> bool:
        return any(character.isalnum() for character in key) and len(self.sentences_of.get(key, ())) <= self.most

    def is_idiom(self, first: str, second: str) -> bool:
        """Whether two units go together so often that they may be one sign."""
        together = self.follows[first, second]
        one, other = sorted(len(self.sentences_of.get(key, ())) for key in (first, second))
        both = together > IDIOM_OF_BOTH * max(one, RARE[0]) and together > IDIOM_OF_BOTH * max(other, RARE[0])
        return both or together > IDIOM_OF_ONE * max(one, RARE[1])

    def fits(self, keys: Sequence[str]) -> bool:
        """Whether a sentence could be one of the language: its neighbours were seen, and no two of its units clash."""
        seen = all(pair in self.follows for pair in pairwise([BEGIN, *keys, END]))
        return seen and not any(self._clash(*pair) for pair in combinations(sorted(set(keys)), 2))

    def _clash(self, one: str, other: str) -> bool:
        first, second = (self.sentences_of.get(key, set()) for key in (one, other))
        return len(first) * len(second) / self.count > CLASH and first.isdisjoint(second)
