"""Operations on where joints are: handshape, orientation, location, limbs, signing space.

See `signdpo.negatives.skeleton.operations` for what all operations promise. These act alike in all frames of a window,
rise and fall at its edges (except `mask_parts`: a detection is lost at once), and leave every missing joint missing
(`exchange_hands` moves what is missing along with the hand).

Apparent bone lengths stay, but for what is clipped at the border, in `bend_fingers` and `turn_hands` (hands) and in
`rotate_space` (hands and arms); `move_hands` lengthens no arm bone beyond the longest that the clip shows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from signdpo.negatives.seeding import integer, sign, uniform
from signdpo.negatives.skeleton.frames import ease, put
from signdpo.negatives.skeleton.region import Region, Window
from signdpo.skeleton.layout import (
    LEFT_ELBOW,
    LEFT_SHOULDER,
    LEFT_WRIST,
    PART_ROOTS,
    PARTS,
    RIGHT_ELBOW,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
)

# Shoulder, elbow and wrist that carry each hand.
ARMS = {
    "left_hand": (LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST),
    "right_hand": (RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST),
}
FINGERS, FINGER_JOINTS = 5, 4
MIDDLE_KNUCKLE = 9  # of a hand's joints: from the root to it is the palm, which shows the hand's size and orientation


def exchange_hands(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Give each hand the mirrored shape of the other, for a share `strength` of the frames; the arms stay.

    Where only one hand is seen nothing changes: that a hand is lost, or appears, would tell the clip from a right one.
    """
    left, right = x[:, PARTS["left_hand"]].clone(), x[:, PARTS["right_hand"]].clone()
    both = ((left[..., 2] > 0).any(-1) & (right[..., 2] > 0).any(-1))[:, None, None]
    mirror = x.new_tensor([-1.0, 1.0, 1.0])
    for window in region.shrunk(strength, rng):
        frames = slice(*window)
        put(x, window, torch.where(both, right * mirror, left)[frames], PARTS["left_hand"])
        put(x, window, torch.where(both, left * mirror, right)[frames], PARTS["right_hand"])
    return x


def bend_fingers(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Turn every finger about its knuckle and its middle joint: another handshape with the same bone lengths."""
    for hand in region.hands:
        draws = [strength * uniform(rng, 0.3, 1.0) * math.pi / 2 * sign(rng) for _ in range(2 * FINGERS)]
        angles = x.new_tensor(draws).view(2, FINGERS)
        for window in region.windows:
            begin, end = window
            in_force = ease(window, len(x), x)[:, None]  # (length, fingers)
            fingers = x[begin:end, PARTS[hand].start + 1 : PARTS[hand].stop]
            fingers = fingers.reshape(end - begin, FINGERS, FINGER_JOINTS, 3).clone()
            for pivot in range(2):
                _turn(fingers[:, :, pivot + 1 :], fingers[:, :, pivot], in_force * angles[pivot])
            x[begin:end, PARTS[hand].start + 1 : PARTS[hand].stop] = fingers.flatten(1, 2)
    return x


def turn_hands(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Turn each hand about its wrist: another orientation."""
    for hand in region.hands:
        angle = strength * uniform(rng, 0.4, 1.0) * math.pi * sign(rng)
        for window in region.windows:
            _turn_hand(x, window, hand, angle)
    return x


def move_hands(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Sign at another place: wrists moved, the elbows following half the way; the handshapes stay.

    The region's hands say which wrists; without one, both. Wrists belong to the body, so the region must hold it.
    """
    for hand in region.hands or tuple(ARMS):
        shoulder, elbow, wrist = ARMS[hand]
        distance, angle = strength * uniform(rng, 0.3, 0.7), uniform(rng, 0, 2 * math.pi)
        shift = distance * x.new_tensor([math.cos(angle), math.sin(angle)])
        upper, fore = _longest(x, shoulder, elbow), _longest(x, elbow, wrist)
        for window in region.windows:
            frames = slice(*window)
            shifts = ease(window, len(x), x)[:, None] * shift  # (length, 2)
            joints = x[frames][:, [shoulder, elbow, wrist]]
            seen = joints[..., 2:] > 0
            positions = joints[..., :2]
            elbows = positions[:, 1] + shifts / 2
            held = positions[:, 0] + _capped(elbows - positions[:, 0], upper)
            elbows = torch.where(seen[:, 0] & seen[:, 1], held, elbows)
            wrists = positions[:, 2] + shifts
            wrists = torch.where(seen[:, 1] & seen[:, 2], elbows + _capped(wrists - elbows, fore), wrists)
            x[frames, elbow, :2] = torch.where(seen[:, 1], elbows.clamp(-1, 1), positions[:, 1])
            x[frames, wrist, :2] = torch.where(seen[:, 2], wrists.clamp(-1, 1), positions[:, 2])
    return x


def distort_limbs(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Lengthen or shorten upper arms and forearms, far beyond how people differ, and bend the elbows otherwise."""
    for shoulder, elbow, wrist in ARMS.values():
        upper, fore = (strength * uniform(rng, 0.3, 0.8) * sign(rng) for _ in range(2))  # logarithms of factors
        angle = strength * uniform(rng, 0.2, 0.7) * sign(rng)
        for window in region.windows:
            frames = slice(*window)
            in_force = ease(window, len(x), x)
            joints = x[frames][:, [shoulder, elbow, wrist]]
            seen = joints[..., 2:] > 0
            positions = joints[..., :2]
            arm, forearm = positions[:, 1] - positions[:, 0], positions[:, 2] - positions[:, 1]
            elbows = positions[:, 0] + arm * (in_force * upper).exp()[:, None]
            wrists = elbows + _rotated(forearm, in_force * angle) * (in_force * fore).exp()[:, None]
            measurable = seen[:, 0] & seen[:, 1]
            x[frames, elbow, :2] = torch.where(measurable, elbows.clamp(-1, 1), positions[:, 1])
            x[frames, wrist, :2] = torch.where(measurable & seen[:, 2], wrists.clamp(-1, 1), positions[:, 2])
    return x


def shear_space(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Move the arms through another signing space: elbows and wrists sheared and shifted."""
    arms = slice(LEFT_ELBOW, RIGHT_WRIST + 1)
    shear, shift = strength * uniform(rng, 0.3, 0.8) * sign(rng), strength * uniform(rng, 0.1, 0.5) * sign(rng)
    for window in region.windows:
        frames = slice(*window)
        in_force = ease(window, len(x), x)[:, None]  # (length, joints)
        joints = x[frames, arms]
        moved = torch.stack(
            [joints[..., 0] + in_force * shear * joints[..., 1], joints[..., 1] + in_force * shift], dim=-1
        )
        x[frames, arms, :2] = torch.where(joints[..., 2:] > 0, moved.clamp(-1, 1), joints[..., :2])
    return x


def rotate_space(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Turn the arms about their shoulders, and the hands with them, far more than a camera is tilted."""
    angle = strength * uniform(rng, 0.4, 1.0) * math.pi / 3 * sign(rng)
    for hand, (shoulder, *arm) in ARMS.items():
        for window in region.windows:
            frames = slice(*window)
            angles = angle * ease(window, len(x), x)
            joints = x[frames][:, arm]
            _turn(joints, x[frames, shoulder], angles)
            x[frames, arm] = joints
            _turn_hand(x, window, hand, angle)
    return x


def transfer_handshape(x: Tensor, region: Region, strength: float, rng: torch.Generator, donor: Tensor) -> Tensor:
    """Give the hands the shapes of a donor clip's, turned and scaled so that the palms stay as they are.

    The shapes follow each other as in the donor. Frames in which the donor's hand lacks a joint are passed over, and
    frames in which the own palm cannot be measured keep their shape.
    """
    for hand in region.hands:
        shapes = donor[:, PARTS[hand]].to(x)
        shapes = shapes[(shapes[..., 2] > 0).all(-1)]  # (complete frames, 21, 3)
        for window in region.windows:
            begin, end = window
            length = end - begin
            start = integer(rng, max(1, len(shapes) - length + 1))
            if not len(shapes):
                continue
            chosen = torch.linspace(start, min(start + length, len(shapes)) - 1, length).round().long()
            own = x[begin:end, PARTS[hand]]
            fitted, measurable = _fitted(shapes[chosen, :, :2], own)
            moved = own[..., :2] + strength * ease(window, len(x), x)[:, None, None] * (fitted - own[..., :2])
            changed = measurable[:, None, None] & (own[..., 2:] > 0)
            x[begin:end, PARTS[hand], :2] = torch.where(changed, moved.clamp(-1, 1), own[..., :2])
    return x


def mask_parts(x: Tensor, region: Region, strength: float, rng: torch.Generator) -> Tensor:
    """Lose the region's parts, as a detector would, for a share `strength` of the frames."""
    for begin, end in region.shrunk(strength, rng):
        for part in region.parts:
            x[begin:end, PARTS[part]] = 0.0
    return x


def _fitted(shapes: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Hands `(length, 21, 2)` turned and scaled so that their palms are those of `own` `(length, 21, 3)`; and where
    that could be done, `(length,)` bool."""
    palm = own[:, MIDDLE_KNUCKLE] - own[:, 0]
    other = shapes[:, MIDDLE_KNUCKLE] - shapes[:, 0]
    size = other.square().sum(-1)
    seen = (own[:, 0, 2] > 0) & (own[:, MIDDLE_KNUCKLE, 2] > 0)
    # As complex numbers the similarity is the quotient palm / other.
    real = (palm[:, 0] * other[:, 0] + palm[:, 1] * other[:, 1]) / size.clamp_min(1e-12)
    imaginary = (palm[:, 1] * other[:, 0] - palm[:, 0] * other[:, 1]) / size.clamp_min(1e-12)
    # A palm seen edge-on is too short to tell a size from: bounded, a hand does not explode.
    scale = torch.hypot(real, imaginary).clamp_min(1e-6)
    bounded = scale.clamp(0.5, 2.0) / scale
    real, imaginary = (real * bounded)[:, None], (imaginary * bounded)[:, None]
    points = shapes - shapes[:, :1]
    turned = torch.stack(
        [real * points[..., 0] - imaginary * points[..., 1], imaginary * points[..., 0] + real * points[..., 1]],
        dim=-1,
    )
    return turned + own[:, :1, :2], seen & (size > 1e-6)


def _turn_hand(x: Tensor, window: Window, hand: str, angle: float) -> None:
    """Rotate a hand about its root in place."""
    frames = slice(*window)
    root = PART_ROOTS[hand]
    joints = slice(root + 1, PARTS[hand].stop)
    _turn(x[frames, joints], x[frames, root], angle * ease(window, len(x), x))


def _turn(joints: Tensor, pivots: Tensor, angles: Tensor) -> None:
    """Rotate joints `(..., joints, 3)` about pivots `(..., 3)` by angles `(...,)` in radians, in place.

    Joints that are missing, or whose pivot is, stay.
    """
    centre = pivots[..., None, :2].clone()
    present = (joints[..., 2:] > 0) & (pivots[..., None, 2:] > 0)
    turned = _rotated(joints[..., :2] - centre, angles[..., None]) + centre
    joints[..., :2] = torch.where(present, turned.clamp(-1, 1), joints[..., :2])


def _rotated(vectors: Tensor, angles: Tensor) -> Tensor:
    """Vectors `(..., 2)` turned by angles `(...,)` in radians."""
    cosine, sine = angles.cos(), angles.sin()
    x, y = vectors.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)


def _longest(x: Tensor, first: int, second: int) -> Tensor:
    """The longest that a bone is seen in a clip, a scalar; 0 if it never is."""
    seen = (x[:, first, 2] > 0) & (x[:, second, 2] > 0)
    return ((x[:, first, :2] - x[:, second, :2]).norm(dim=-1) * seen).max()


def _capped(vectors: Tensor, length: Tensor) -> Tensor:
    """Vectors `(frames, 2)` shortened to a length where they are longer."""
    return vectors * (length / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-9)).clamp_max(1.0)
