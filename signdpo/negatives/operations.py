"""Skeleton perturbations: small named operations that make a clip mean something else.

Each takes a clip `(frames, 69, 3)` and a `Region`, and changes nothing outside the region. `strength` in [0, 1] says
how far; at 0 every operation is the identity. Joints that are missing (confidence 0) stay missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signdpo.negatives.seeding import integer, uniform
from signdpo.skeleton.layout import PARTS

Window = tuple[int, int]  # first and past-the-last frame


@dataclass(frozen=True)
class Region:
    """Where an operation may act: spans of frames, and body parts within them."""

    windows: tuple[Window, ...]
    parts: tuple[str, ...]

    @classmethod
    def whole(cls, num_frames: int) -> Region:
        return cls(windows=((0, num_frames),), parts=tuple(PARTS))

    def mask(self, num_frames: int) -> Tensor:
        """`(frames, 69)` bool, True where the region allows change."""
        mask = torch.zeros(num_frames, max(joints.stop for joints in PARTS.values()), dtype=torch.bool)
        for begin, end in self.windows:
            for part in self.parts:
                mask[begin:end, PARTS[part]] = True
        return mask


Operation = Callable[[Tensor, Region, float, torch.Generator], Tensor]
OPERATIONS: dict[str, Operation] = {}


def _operation(function: Operation) -> Operation:
    name = getattr(function, "__name__", "")
    if name in OPERATIONS:
        raise ValueError(f"there is already an operation named {name}")
    OPERATIONS[name] = function
    return function


def perturb(keypoints: Tensor, operation: str, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Apply a named operation inside a region.

    Args:
        keypoints: `(frames, 69, 3)` float, normalised.
        operation: a key of `OPERATIONS`.
        region: where change is allowed; whatever the operation does outside it is undone.
        strength: in [0, 1]; 0 is the identity.
        rng: the only source of randomness.

    Returns:
        A new tensor of the same shape, equal to `keypoints` outside the region, bit for bit.
    """
    if strength <= 0:
        return keypoints.clone()
    changed = OPERATIONS[operation](keypoints.clone(), region, strength, rng)
    return torch.where(region.mask(len(keypoints))[..., None], changed, keypoints)


@_operation
def exchange_hands(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Give each hand the mirrored shape of the other; the arms stay."""
    for begin, end in _shrunk(region.windows, strength, rng):
        left, right = x[begin:end, PARTS["left_hand"]].clone(), x[begin:end, PARTS["right_hand"]].clone()
        x[begin:end, PARTS["left_hand"]], x[begin:end, PARTS["right_hand"]] = _mirrored(right), _mirrored(left)
    return x


@_operation
def bend_fingers(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Turn every finger about its knuckle and its middle joint: another handshape with the same bone lengths."""
    for hand in _hands(region):
        for finger in range(5):
            knuckle = PARTS[hand].start + 1 + 4 * finger
            for pivot in (knuckle, knuckle + 1):
                angle = strength * uniform(rng, 0.3, 1.0) * math.pi / 2 * _sign(rng)
                for begin, end in region.windows:
                    _turn(x, begin, end, slice(pivot + 1, knuckle + 4), pivot, angle)
    return x


@_operation
def turn_hands(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Turn each hand about its wrist: another orientation."""
    for hand in _hands(region):
        root = PARTS[hand].start
        angle = strength * uniform(rng, 0.4, 1.0) * math.pi * _sign(rng)
        for begin, end in region.windows:
            _turn(x, begin, end, slice(root + 1, PARTS[hand].stop), root, angle)
    return x


@_operation
def shear_space(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Move the arms through another signing space: elbows and wrists sheared and shifted about the shoulders."""
    arms = slice(5, 9)
    shear, shift = strength * uniform(rng, 0.3, 0.8) * _sign(rng), strength * uniform(rng, 0.1, 0.5) * _sign(rng)
    present = (x[:, arms, 2] > 0).to(x.dtype)
    for begin, end in region.windows:
        joints = x[begin:end, arms].clone()
        moved = torch.stack([joints[..., 0] + shear * joints[..., 1], joints[..., 1] + shift], dim=-1)
        x[begin:end, arms, :2] = (moved * present[begin:end, :, None]).clamp(-1, 1)
    return x


@_operation
def swap_windows(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Exchange what two windows of the region show: the parts of one sign in the place of another."""
    windows = _shrunk(region.windows, strength, rng)
    if len(windows) < 2:
        windows = _halves(windows[0])
    source = x.clone()
    for first, second in zip(windows[::2], windows[1::2], strict=False):
        x[first[0] : first[1]] = source[_resampled(second, first[1] - first[0])]
        x[second[0] : second[1]] = source[_resampled(first, second[1] - second[0])]
    return x


@_operation
def shuffle_segments(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Cut each window into segments and put them in another order."""
    for begin, end in _shrunk(region.windows, strength, rng):
        length = end - begin
        pieces = max(2, min(5, length // 4))
        order = torch.randperm(pieces, generator=rng)
        if torch.equal(order, torch.arange(pieces)):
            order = order.roll(1)
        segments = torch.arange(begin, end).tensor_split(pieces)
        x[begin:end] = x[torch.cat([segments[piece] for piece in order.tolist()])].clone()
    return x


@_operation
def reverse(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Play each window backwards."""
    for begin, end in _shrunk(region.windows, strength, rng):
        x[begin:end] = x[begin:end].flip(0)
    return x


@_operation
def freeze(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Hold the first frame of each window: the movement is lost."""
    for begin, end in _shrunk(region.windows, strength, rng):
        x[begin:end] = x[begin].clone()
    return x


def _hands(region: Region) -> list[str]:
    return [part for part in region.parts if part.endswith("hand")]


def _sign(rng: torch.Generator) -> float:
    return 1.0 if uniform(rng) < 0.5 else -1.0


def _mirrored(hand: Tensor) -> Tensor:
    return hand * hand.new_tensor([-1.0, 1.0, 1.0])


def _turn(x: Tensor, begin: int, end: int, joints: slice, pivot: int, angle: float) -> None:
    """Rotate joints about a pivot in place, by an angle in radians, where both are present."""
    cosine, sine = math.cos(angle), math.sin(angle)
    rotation = x.new_tensor([[cosine, sine], [-sine, cosine]])
    centre = x[begin:end, pivot : pivot + 1]
    present = (x[begin:end, joints, 2:] > 0) & (centre[..., 2:] > 0)
    turned = (x[begin:end, joints, :2] - centre[..., :2]) @ rotation + centre[..., :2]
    x[begin:end, joints, :2] = torch.where(present, turned.clamp(-1, 1), x[begin:end, joints, :2])


def _shrunk(windows: tuple[Window, ...], strength: float, rng: torch.Generator) -> list[Window]:
    """Each window cut to a share `strength` of its frames, at a random place inside it."""
    result = []
    for begin, end in windows:
        length = max(2, round(strength * (end - begin)))
        slack = max(0, end - begin - length)
        start = begin + (integer(rng, slack + 1) if slack else 0)
        result.append((start, min(end, start + length)))
    return result


def _halves(window: Window) -> list[Window]:
    middle = (window[0] + window[1]) // 2
    return [(window[0], middle), (middle, window[1])] if middle > window[0] else []


def _resampled(window: Window, length: int) -> Tensor:
    """Frame indices of a window, stretched or squeezed to a length."""
    return torch.linspace(window[0], window[1] - 1, length).round().long()
