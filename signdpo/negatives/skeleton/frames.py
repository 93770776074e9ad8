"""Frames of a clip: read at times between them, and written so that nothing jumps at the edges of a window."""

from __future__ import annotations

import torch
from torch import Tensor

from signdpo.negatives.skeleton.region import Window

EASED_FRAMES = 2  # at an edge, at most: as long as the transition between two signs at ordinary speed


def ease(window: Window, num_frames: int, like: Tensor) -> Tensor:
    """How far an operation is in force in each frame of a window, `(length,)` in (0, 1], of the type of `like`.

    It rises and falls over one or two frames, and a window of fewer than four is too short for that. At the ends of the
    clip there is nothing to join, so there it is 1.
    """
    begin, end = window
    weights = like.new_ones(end - begin)
    eased = min(EASED_FRAMES, (end - begin) // 4)
    rise = torch.arange(1, eased + 1).to(like) / (eased + 1)
    if begin > 0:
        weights[:eased] = rise
    if end < num_frames:
        weights[end - begin - eased :] = rise.flip(0)
    return weights


def blend(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Between two poses `(frames, joints, 3)`, by the weight `(frames,)` of the second.

    At weight 0 and 1 they are the poses, bit for bit. A joint that one of them lacks is as in the nearer one.
    """
    weight = weight[:, None, None]
    both = (first[..., 2:] > 0) & (second[..., 2:] > 0)
    nearer = torch.where(weight < 0.5, first, second)
    return torch.where(both & (weight > 0) & (weight < 1), first + weight * (second - first), nearer)


def at_times(x: Tensor, times: Tensor) -> Tensor:
    """A clip `(frames, joints, 3)` at moments `(n,)` between its frames, counted in frames: `(n, joints, 3)`."""
    times = times.clamp(0, len(x) - 1)
    before = times.floor().long()
    after = (before + 1).clamp_max(len(x) - 1)
    return blend(x[before], x[after], (times - before).to(x))


def stretched(window: Window, length: int) -> Tensor:
    """Moments `(length,)` at which a window is seen faster or slower, its first and last frame included."""
    return torch.linspace(window[0], window[1] - 1, length, dtype=torch.float64)


def put(x: Tensor, window: Window, content: Tensor, joints: slice = slice(None)) -> None:
    """Write `content` `(length, joints, 3)` into the joints of a window, eased at its edges, in place."""
    begin, end = window
    x[begin:end, joints] = blend(x[begin:end, joints], content, ease(window, len(x), x))
