"""Skeleton perturbations: small named operations that make a clip mean something else.

Each takes a clip `(frames, 69, 3)`, a `Region` and a strength in [0, 1], and changes nothing outside the region; at
strength 0 it is the identity, and the stronger it is, the farther joints move on average. The number of frames stays,
coordinates stay in [-1, 1], and a missing joint (confidence 0) is zero in all channels, before and after. Some
operations take shapes or frames from a donor, another clip.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Final

import torch
from torch import Tensor

from signdpo.config import look_up
from signdpo.negatives.skeleton import spatial, temporal
from signdpo.negatives.skeleton.region import Region

# Clip, region, strength and random generator, and `donor` in the last place of those that take one -> the changed clip.
Operation = Callable[..., Tensor]

OPERATIONS: Final[dict[str, Operation]] = {
    operation.__name__: operation
    for operation in (
        *(spatial.exchange_hands, spatial.transfer_handshape, spatial.bend_fingers, spatial.turn_hands),
        *(spatial.move_hands, spatial.distort_limbs, spatial.shear_space, spatial.rotate_space, spatial.mask_parts),
        *(temporal.swap_windows, temporal.shuffle_segments, temporal.reverse, temporal.freeze),
        *(temporal.warp_time, temporal.drop, temporal.repeat, temporal.splice),
    )
}


@cache
def operation_of(name: str, key: str = "negatives.operations") -> Operation:
    """The operation of a name. Raises `ConfigError`, which names the key, if there is none."""
    operation: Operation = look_up(name, OPERATIONS, key, FunctionType)
    return operation


@cache
def takes_donor(name: str) -> bool:
    """Whether an operation takes something from another clip."""
    return "donor" in inspect.signature(operation_of(name)).parameters


def perturb(
    keypoints: Tensor,
    operation: str,
    region: Region,
    strength: float,
    rng: torch.Generator,
    donor: Tensor | None = None,
) -> Tensor:
    """Apply a named operation inside a region.

    Args:
        keypoints: `(frames, 69, 3)` float, normalised, on any device.
        operation: a name in `OPERATIONS`, or `module:function`.
        region: where change is allowed; whatever the operation does outside it is undone.
        strength: in [0, 1]; 0 is the identity.
        rng: the only source of randomness, on the CPU.
        donor: `(any frames, 69, 3)`, normalised, for an operation that needs one; without it nothing changes.

    Returns:
        A new tensor of the same shape, equal to `keypoints` outside the region, bit for bit.
    """
    if strength <= 0 or (takes_donor(operation) and donor is None):
        return keypoints.clone()
    from_donor = (donor,) if takes_donor(operation) else ()
    changed = operation_of(operation)(keypoints.clone(), region, strength, rng, *from_donor)
    mask = region.mask(len(keypoints)).to(keypoints.device)
    return torch.where(mask[..., None], changed, keypoints)
