"""Where the local levels act: on the salient windows and parts, or, for ablation, elsewhere on an equal area.

The area of a region is its number of present joints, summed over its frames: what an operation may change.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from signdpo.config import NegativesConfig
from signdpo.levels import BY_NAME
from signdpo.negatives.seeding import integer
from signdpo.negatives.skeleton.region import Region, Window
from signdpo.skeleton.layout import PARTS

WINDOW_SHARE = 6  # windows a clip: about one sign each in the sentences of the field's corpora
APART = 0.5  # distance between windows, of their length
PLACEMENTS = 8  # drawn at random, of which the one whose area is nearest is taken: hands come and go


def region_of(
    level: str, frames: Tensor, parts: Tensor, present: Tensor, config: NegativesConfig, rng: torch.Generator
) -> Region:
    """Where a level may act: everything for the global levels, the salient windows (and parts) for the local ones.

    With `guidance: random` or `uniform` a local level gets as many windows of the same area, in other places.

    Args:
        level: a skeleton level.
        frames: `(frames,)` salience of the clip's real frames.
        parts: `(4,)` salience of its parts.
        present: `(frames, 69)` bool, the joints that are there.
        config: the guidance, and the share of salience to cover.
        rng: the source of randomness of `guidance: random`, of nothing else.
    """
    if BY_NAME[level].scope == "global":
        return Region.whole(len(frames))
    share = config.salience.share
    chosen = salient_parts(parts, share) if BY_NAME[level].axis == "space" else tuple(PARTS)
    guided = Region(salient_windows(frames, share), chosen)
    if config.guidance == "random":
        return random_region(guided, present, rng)
    return uniform_region(guided, present) if config.guidance == "uniform" else guided


def salient_windows(frames: Tensor, share: float) -> tuple[Window, ...]:
    """The windows of a clip that hold the most salience.

    Args:
        frames: `(frames,)` salience of one clip's real frames.
        share: windows are taken, most salient first, until they hold this share of the salience; at least two, so that
            they can be exchanged.

    Returns:
        Non-overlapping windows in the order they were taken. Each lies where it holds the most, at a distance from
        those before: next to one there is mostly the rest of the same sign. Where none fits any more that is as long
        and as far, what is left in between is taken.
    """
    length = max(3, round(len(frames) / WINDOW_SHARE))
    mass = torch.cat([frames.new_zeros(1, dtype=torch.float64), frames.double().cumsum(0)])
    free: list[Window] = [(0, len(frames))]
    chosen: list[Window] = []
    held = 0.0
    while free and (held < share * float(mass[-1]) or len(chosen) < 2):
        candidates = [_best_window(mass, gap, length) for gap in free]
        index = max(range(len(free)), key=lambda gap: candidates[gap][:2])
        (first, last), (_, gained, (begin, end)) = free.pop(index), candidates[index]
        free[index:index] = [gap for gap in ((first, begin), (end, last)) if gap[0] < gap[1]]
        chosen.append((begin, end))
        held += gained
    return tuple(chosen)


def _best_window(mass: Tensor, gap: Window, length: int) -> tuple[int, float, Window]:
    """The window of a gap that holds the most: how well it fits, what it holds, the window.

    Args:
        mass: `(frames + 1,)`, cumulative.
        gap: frames between windows that are taken.
        length: of a window; the gap may be shorter.
    """
    first, last = gap
    distance = round(length * APART)
    inside = (first + distance * (first > 0), last - distance * (last < len(mass) - 1))
    fits = 2 if inside[1] - inside[0] >= length else int(last - first >= length)
    if fits == 2:
        first, last = inside
    length = min(length, last - first)
    held = mass[first + length : last + 1] - mass[first : last + 1 - length]
    begin = first + int(held.argmax())
    return fits, float(held.max()), (begin, begin + length)


def salient_parts(parts: Tensor, share: float) -> tuple[str, ...]:
    """The fewest parts, most salient first, that hold a share of the salience `(4,)`; at least one."""
    chosen: list[str] = []
    held = 0.0
    names = list(PARTS)
    for index in torch.argsort(parts, descending=True, stable=True).tolist():
        if chosen and held >= share:
            break
        chosen.append(names[index])
        held += float(parts[index])
    return tuple(chosen)


def area(region: Region, present: Tensor) -> int:
    """Present joints of a region, summed over its frames; `present` is `(frames, 69)` bool."""
    return int((region.mask(len(present)) & present).sum())


def random_region(guided: Region, present: Tensor, rng: torch.Generator) -> Region:
    """As many parts, drawn at random, in as many windows, placed at random; salience plays no part in either.

    Windows keep their lengths if the parts have as many joints, else all become longer or shorter until the area fits.
    """
    target = area(guided, present)
    everywhere = ((0, len(present)),)
    subsets = [
        subset
        for subset in itertools.combinations(PARTS, len(guided.parts))
        if area(Region(everywhere, subset), present) >= target
    ]
    drawn = subsets[integer(rng, len(subsets))] if subsets else guided.parts
    lengths = _fitting_lengths(guided, drawn, present)
    placed = [Region(_placed(lengths, len(present), rng), drawn) for _ in range(PLACEMENTS)]
    return min(placed, key=lambda region: abs(area(region, present) - target))


def uniform_region(guided: Region, present: Tensor) -> Region:
    """All parts, in as many windows at even distances, so long that the area fits: no frame or part is preferred."""
    lengths = _fitting_lengths(guided, tuple(PARTS), present)
    gap = (len(present) - sum(lengths)) / len(lengths)
    windows, before = [], 0
    for index, length in enumerate(lengths):
        begin = round((index + 0.5) * gap) + before
        windows.append((begin, begin + length))
        before += length
    return Region(tuple(windows), tuple(PARTS))


def _fitting_lengths(guided: Region, parts: tuple[str, ...], present: Tensor) -> list[int]:
    """Lengths of the guided windows, scaled so that other parts have the same area, to the nearest frame."""
    lengths = [end - begin for begin, end in guided.windows]
    joints = area(Region(((0, len(present)),), parts), present) / len(present)  # a frame, on average
    total = sum(lengths)
    if joints > 0 and sum(_joints(parts)) != sum(_joints(guided.parts)):
        total = min(len(present), max(len(lengths), round(area(guided, present) / joints)))
    ends = [round(total * end / sum(lengths)) for end in itertools.accumulate(lengths)]
    return [end - begin for begin, end in itertools.pairwise([0, *ends])]


def _joints(parts: tuple[str, ...]) -> list[int]:
    return [PARTS[part].stop - PARTS[part].start for part in parts]


def _placed(lengths: list[int], num_frames: int, rng: torch.Generator) -> tuple[Window, ...]:
    """Windows of these lengths at random places, none over another."""
    order = torch.randperm(len(lengths), generator=rng).tolist()
    cuts = sorted(integer(rng, num_frames - sum(lengths) + 1) for _ in lengths)
    windows, before = [], 0
    for cut, index in zip(cuts, order, strict=True):
        windows.append((cut + before, cut + before + lengths[index]))
        before += lengths[index]
    return tuple(windows)
