"""The rule-based perturber: random edits with words of the training text, the baseline a learned one must beat."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from signdpo.seeding import derive_seed
from signdpo.text.units import folded, join_units, split_units

RULES_FILE = "rules.json"
RULES = ("omit", "substitute", "insert", "swap", "change")


@dataclass(frozen=True)
class RulePerturber:
    """Edits a share of a sentence's units, each by a rule drawn evenly.

    The rules omit a unit, substitute it, insert one before it, swap it with the next, or change it for another of its
    kind: a number for a number, a name (a word that is capitalised inside sentences) for a name. Where a rule does not
    apply, the unit is substituted. Punctuation stays.

    Args:
        units: of the training text, how often each occurs.
        edit_share: of a sentence's units, at least one.
    """

    units: dict[str, int]
    edit_share: float = 0.25

    @classmethod
    def of(cls, texts: Sequence[str], *, edit_share: float) -> RulePerturber:
        """Rules that write units of these sentences, as often as they occur in them."""
        counts: Counter[str] = Counter()
        for text in texts:
            units = split_units(text)
            # What stands first in a script with capitals says nothing about its own spelling.
            counts.update(unit for place, unit in enumerate(units) if folded(unit) and (place or unit.islower()))
        return cls(dict(sorted(counts.items())), edit_share)

    @classmethod
    def load(cls, folder: str | Path) -> RulePerturber:
        return cls(**json.loads(Path(folder, RULES_FILE).read_text(encoding="utf-8")))

    def to_json(self) -> str:
        return json.dumps({"units": self.units, "edit_share": self.edit_share}, ensure_ascii=False)

    def propose(self, references: Sequence[str], seeds: Sequence[int], *, candidates: int) -> list[list[str]]:
        """Candidate sentences for each reference; row `i` depends on `references[i]` and `seeds[i]` alone."""
        pools = {kind: [u for u in self.units if _kind(u) == kind] for kind in ("number", "name", "word")}
        weights = {kind: [self.units[unit] for unit in pool] for kind, pool in pools.items()}

        def draw(kind: str, rng: random.Random, instead_of: str) -> str:
            kind = kind if pools[kind] else "word"
            drawn = rng.choices(pools[kind] or [instead_of], weights[kind] or [1], k=8)
            return next((unit for unit in drawn if folded(unit) != folded(instead_of)), drawn[0])

        def edited(reference: str, rng: random.Random) -> str:
            units = split_units(reference)
            places = [place for place, unit in enumerate(units) if folded(unit)]
            count = max(1, math.ceil(self.edit_share * len(places) * rng.uniform(0.5, 1.5)))
            drawn = rng.sample(places, min(count, len(places)))
            for place in sorted(drawn, reverse=True):  # those before stay in place
                rule, unit = rng.choice(RULES), units[place]
                if rule == "omit" and len(places) > 1:
                    del units[place]
                elif rule == "insert":
                    units.insert(place, draw("word", rng, unit))
                elif rule == "swap" and place + 1 < len(units) and folded(units[place + 1]):
                    units[place], units[place + 1] = units[place + 1], unit
                else:
                    units[place] = draw(_kind(unit) if rule == "change" and place else "word", rng, unit)
            return join_units(units)

        return [
            [edited(text, random.Random(derive_seed(seed, candidate))) for candidate in range(candidates)]
            for text, seed in zip(references, seeds, strict=True)
        ]


def _kind(unit: str) -> str:
    word = unit.strip()
    if any(character.isdigit() for character in word):
        return "number"
    return "name" if word[:1].isupper() and len(word) > 1 else "word"
