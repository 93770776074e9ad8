"""Operations on when things are seen: order, rhythm, what is lost, repeated or foreign.

See `signdpo.negatives.skeleton.operations` for what all operations promise. A joint that is missing in a frame is
missing wherever that frame goes. All of them join what they write to the frames around it over one or two frames, so
that no hand jumps at the edge of a window; where pieces meet inside a window (`shuffle_segments`, `drop`), they meet as
in a recording that was cut.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from signdpo.negatives.seeding import integer, sign, uniform
from signdpo.negatives.skeleton.frames import at_times, put, stretched
from signdpo.negatives.skeleton.region import Region, Window
from signdpo.skeleton.layout import PARTS

WARP_PIECES = 6  # stretches of a window with a speed of their own
WARP_LIMIT = math.log(6.0)  # of the logarithm of a speed; people's speeds differ by less than a factor of 2
LONGEST_CUT = 0.8  # of a window, at strength 1


def swap_windows(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Exchange what two windows of the region show: the parts of one sign in the place of another."""
    windows = region.shrunk(strength, rng)
    if len(windows) < 2:
        windows = _halves(windows[0])
    source = x.clone()
    for first, second in zip(windows[::2], windows[1::2], strict=False):
        put(x, first, at_times(source, stretched(second, first[1] - first[0])))
        put(x, second, at_times(source, stretched(first, second[1] - second[0])))
    return x


def shuffle_segments(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Cut each window into segments and put them in another order."""
    for begin, end in region.shrunk(strength, rng):
        pieces = max(2, min(5, (end - begin) // 4))
        order = torch.randperm(pieces, generator=rng)
        if torch.equal(order, torch.arange(pieces)):
            order = order.roll(1)
        segments = torch.arange(begin, end).tensor_split(pieces)
        put(x, (begin, end), x[torch.cat([segments[piece] for piece in order.tolist()])])
    return x


def reverse(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Play each window backwards."""
    for begin, end in region.shrunk(strength, rng):
        put(x, (begin, end), x[begin:end].flip(0))
    return x


def freeze(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Hold each part as a window first shows it: the movement is lost. Where a part is not seen, it stays unseen."""
    for begin, end in region.shrunk(strength, rng):
        for joints in PARTS.values():
            content = x[begin:end, joints]
            seen = (content[..., 2] > 0).any(-1)  # (length,)
            put(x, (begin, end), torch.where(seen[:, None, None], content[seen.int().argmax()], content), joints)
    return x


def warp_time(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Rush through some stretches of a window and linger in others, beyond how people's rhythm differs."""
    for begin, end in region.windows:
        speeds = [math.exp(strength * WARP_LIMIT * uniform(rng, 0.3, 1.0) * sign(rng)) for _ in range(WARP_PIECES)]
        piece = (torch.arange(end - begin - 1) * WARP_PIECES) // max(1, end - begin - 1)
        steps = torch.tensor(speeds, dtype=torch.float64)[piece]
        times = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
        times = begin + times / times[-1].clamp_min(1e-9) * (end - 1 - begin)
        put(x, (begin, end), at_times(x, times))
    return x


def drop(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Cut frames out of each window and stretch what is left of it over the gap."""
    for begin, end in region.windows:
        length = end - begin
        cut = min(length - 2, round(strength * LONGEST_CUT * length))
        if cut < 1:
            continue
        start = begin + 1 + integer(rng, length - cut - 1)
        kept = torch.cat([x[begin:start], x[start + cut : end]])
        put(x, (begin, end), at_times(kept, stretched((0, len(kept)), length)))
    return x


def repeat(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Play each window forwards, back and forwards again in its own time: a movement repeated that was made once."""
    for begin, end in region.shrunk(strength, rng):
        phase = torch.linspace(0, 3, end - begin, dtype=torch.float64)
        phase = torch.where(phase <= 1, phase, torch.where(phase <= 2, 2 - phase, phase - 2))
        put(x, (begin, end), at_times(x, begin + phase * (end - 1 - begin)))
    return x


def splice(x: Tensor, region: Region, strength: float, rng: torch.Generator, donor: Tensor) -> Tensor:
    """Put a stretch of a donor clip, at its own speed, in the place of each window, or of up to half of the clip.

    A part that either of the two never shows stays: that it is lost, or appears, would tell the clip from a right one.
    """
    own = {part: bool((x[:, joints, 2] > 0).any()) for part, joints in PARTS.items()}
    for begin, end in region.windows:
        limit = min(1.0, len(x) / 2 / (end - begin))
        ((begin, end),) = Region(((begin, end),), region.parts).shrunk(strength * limit, rng)
        length = min(end - begin, len(donor))
        start = integer(rng, len(donor) - length + 1)
        stretch = donor[start : start + length].to(x)
        for part, joints in PARTS.items():
            if own[part] and bool((stretch[:, joints, 2] > 0).any()):
                put(x, (begin, begin + length), stretch[:, joints], joints)
    return x


def _halves(window: Window) -> list[Window]:
    middle = (window[0] + window[1]) // 2
    return [(window[0], middle), (middle, window[1])] if middle > window[0] else []
