"""Which frames of a clip speak which units of its sentence, as the policy's cross-attention has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signdpo.config import CounterfactualConfig
from signdpo.counterfactuals.language import Language, keys_of
from signdpo.text.units import split_units

SAME_SIGN = 5  # eighths of a window that two neighbours share, if they may be one sign
MOST_SHARED = 3  # eighths that windows of different signs may share


@dataclass(frozen=True)
class Segment:
    """Neighbouring units of a sentence and the frames that speak them.

    Args:
        first: place of the first unit in the sentence.
        count: number of units.
        begin, end: first frame and past the last.
        mass: share of the units' attention that falls on them.
    """

    first: int
    count: int
    begin: int
    end: int
    mass: float


def token_places(sentence: str, units: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The tokens of each unit.

    Args:
        sentence: the sentence.
        units: of `split_units`.
        offsets: of each token, its first character in the sentence and past its last; empty for special tokens.
    """
    places, at = [], 0
    for unit in (each.strip() for each in units):
        begin = sentence.index(unit, at)
        at = begin + len(unit)
        places.append([token for token, (first, last) in enumerate(offsets) if first < at and last > begin])
    return places


def segments_of(
    sentence: str,
    offsets: Sequence[tuple[int, int]],
    attention: np.ndarray,
    language: Language,
    config: CounterfactualConfig,
) -> list[Segment]:
    """The units that have frames of their own, from left to right; those whose frames others share are left out.

    Args:
        sentence: of the clip.
        offsets: of its tokens, as in `token_places`.
        attention: `(tokens, frames)`, each row a distribution.
        language: of the training sentences.
        config: `negatives.counterfactual`.
    """
    units = split_units(sentence)
    keys, places = keys_of(units), token_places(sentence, units, offsets)
    frames = min(config.frames, attention.shape[1] - 2)
    if frames < 1:
        return []

    def window(group: Sequence[int]) -> tuple[int, int, float]:
        profile = attention[[token for unit in group for token in places[unit]]].mean(0)
        sums = np.concatenate([[0.0], np.cumsum(profile)])
        mass = sums[frames:] - sums[:-frames]
        begin = int(mass.argmax())
        return begin, begin + frames, float(mass[begin] / max(sums[-1], 1e-9))

    def shared(one: Sequence[float], other: Sequence[float]) -> float:
        return 8 * max(0.0, min(one[1], other[1]) - max(one[0], other[0])) / frames

    alone = {unit: window([unit]) for unit, key in enumerate(keys) if language.is_content(key) and places[unit]}
    groups: list[list[int]] = []
    for unit, where in alone.items():
        last = groups[-1] if groups else []
        joins = len(last) == 1 and last[0] == unit - 1 and language.is_idiom(keys[unit - 1], keys[unit])
        if joins and shared(where, alone[unit - 1]) >= SAME_SIGN:
            last.append(unit)
        else:
            groups.append([unit])
    segments = []
    for group in groups:
        begin, end, mass = window(group)
        others = (where for unit, where in alone.items() if unit not in group)
        if mass >= config.min_mass and all(shared((begin, end), where) <= MOST_SHARED for where in others):
            segments.append(Segment(group[0], len(group), begin, end, mass))
    return segments
