"""Augmentation of training clips: operations that leave what is signed as it is, each with a strength.

They work on normalised clips (`signdpo.skeleton.normalisation`) and keep their rules: coordinates stay in [-1, 1], the
root of a hand or a face at (0, 0), and a joint that is missing stays missing, all zeros. Nothing happens at strength 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from signdpo.skeleton.layout import MIRRORED, PART_ROOTS, PARTS

Operation = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

WARPED_FRAMES: Final = 16  # between two changes of speed, about: two signs at ordinary speed
LARGEST_JITTER: Final = 3.0  # standard deviations

_ROOTS: Final = list(PART_ROOTS.values())


def augment(keypoints: np.ndarray, strengths: Mapping[str, float], seed: int) -> np.ndarray:
    """A clip with some operations applied, in the order of `OPERATIONS`.

    Each draws from a generator of its own, so that what one does to a clip does not depend on the others.

    Args:
        keypoints: `(frames, 69, 3)` float32, normalised; it is left alone.
        strengths: operation -> strength. Those of 0 do nothing.
        seed: of this clip in this epoch.

    Returns:
        `(frames, 69, 3)` float32; fewer frames with `frame_drop`, never none.
    """
    changed = keypoints.astype(np.float32, copy=True)
    for name, operation in OPERATIONS.items():
        if strength := strengths.get(name, 0.0):
            changed = operation(changed, strength, np.random.default_rng([seed, *name.encode()]))
    return changed


def mirror(x: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Left for right, with the probability `strength`: the signer is left-handed, or was."""
    return mirrored(x) if rng.random() < strength else x


def mirrored(x: np.ndarray) -> np.ndarray:
    """The mirror image of a clip: what the normalisation makes of the mirror image of the picture."""
    image: np.ndarray = x[:, MIRRORED]
    image[..., 0] = 0 - image[..., 0]  # and so the zeros of missing joints keep their sign
    return image


def rotation(x: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A camera held askew, by up to `strength` degrees: every part is turned about its own origin.

    Where the body would leave its square, the whole clip becomes so much smaller that it does not.
    """
    angle = np.radians(rng.uniform(-strength, strength))
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across, down = cosine * x[..., 0] - sine * x[..., 1], sine * x[..., 0] + cosine * x[..., 1]  # (frames, 69) each
    largest = np.float32(max(1.0, *(np.abs(places[:, PARTS["body"]]).max() for places in (across, down))))
    return _placed(x, across / largest, down / largest)


def scale(x: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Smaller by a share of up to `strength`, as where one large gesture widens the box of the body."""
    factor = np.float32(rng.uniform(1 - strength, 1))
    return _placed(x, factor * x[..., 0], factor * x[..., 1])


def time_warp(x: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Faster here and slower there, by factors of up to `1 + strength`; as many frames, each one of the clip's."""
    knots = 2 + len(x) // WARPED_FRAMES
    speeds = (1 + strength) ** rng.uniform(-1, 1, knots)
    places = np.cumsum(np.interp(np.linspace(0, knots - 1, len(x)), np.arange(knots), speeds))  # (frames,)
    times = (places - places[0]) / max(places[-1] - places[0], 1e-9) * (len(x) - 1)
    warped: np.ndarray = x[np.rint(times).astype(np.int64)]
    return warped


def frame_drop(x: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Each frame is left out with the probability `strength`, but one."""
    kept = rng.random(len(x)) >= strength
    kept[rng.integers(len(x))] |= not kept.any()
    return x[kept]


def joint_jitter(x: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A detector's noise: joints move in each frame by a normal draw of the standard deviation `strength`."""
    noise = rng.standard_normal((2, *x.shape[:2]), dtype=np.float32)  # (2, frames, 69)
    np.clip(noise, -LARGEST_JITTER, LARGEST_JITTER, out=noise)
    noise[..., _ROOTS] = 0
    noise *= np.float32(strength) * (x[..., 2] > 0)
    return _placed(x, x[..., 0] + noise[0], x[..., 1] + noise[1])


def part_dropout(x: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A detector that loses a part for a while: of each hand and of the face a stretch of up to a share `strength`."""
    for part in PART_ROOTS:
        length = int(rng.uniform(0, strength) * len(x))
        begin = rng.integers(len(x) - length + 1)
        x[begin : begin + length, PARTS[part]] = 0
    return x


def joint_dropout(x: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A detector that misses joints: each is lost in each frame with the probability `strength`, but for the roots."""
    lost = rng.random(x.shape[:2], dtype=np.float32) < strength  # (frames, 69)
    lost[:, _ROOTS] = False
    x[lost] = 0
    return x


def _placed(x: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """A clip with its joints at these places `(frames, 69)`, in place; those beyond the square are at its border."""
    for axis, places in enumerate((across, down)):
        np.clip(places, -1, 1, out=places)
        x[..., axis] = places
    return x


# In the order in which they are applied: what the picture shows, then what a detector makes of it.
OPERATIONS: Final[Mapping[str, Operation]] = {
    operation.__name__: operation
    for operation in (mirror, rotation, scale, time_warp, frame_drop, joint_jitter, part_dropout, joint_dropout)
}
