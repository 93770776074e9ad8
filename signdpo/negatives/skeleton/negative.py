"""A skeleton negative of a clip: which operation, where, how far, and with what seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from signdpo.config import NegativesConfig
from signdpo.negatives.seeding import generator
from signdpo.negatives.skeleton.donors import NO_DONORS, DonorPool
from signdpo.negatives.skeleton.guidance import region_of
from signdpo.negatives.skeleton.operations import operation_of, perturb, takes_donor

UNCHANGED = "none"  # no operation of the mixture changes this clip: the level is masked for it


def check_operations(config: NegativesConfig) -> None:
    """Raise `ConfigError` if a mixture names an operation that does not exist."""
    for level, mixture in config.operations.items():
        for name in mixture:
            operation_of(name, f"negatives.operations.{level}")


def needs_donors(config: NegativesConfig, levels: Sequence[str]) -> bool:
    """Whether an operation of these skeleton levels takes something from another clip."""
    mixtures = [config.operations[level] for level in levels]
    return any(weight > 0 and takes_donor(name) for mixture in mixtures for name, weight in mixture.items())


@dataclass(frozen=True)
class ClipToPerturb:
    """What the skeleton negatives of a clip are made of.

    Args:
        clip: its id.
        text: its sentence.
        keypoints: `(frames, 69, 3)` float32, normalised.
        frame_salience: `(frames,)` float32.
        part_salience: `(4,)` float32.
        seed: `(run seed, epoch, clip id)`; level and redraw are added to it.
        donors: for the operations that need one.
    """

    clip: str
    text: str
    keypoints: Tensor
    frame_salience: Tensor
    part_salience: Tensor
    seed: tuple[str | int, ...]
    donors: DonorPool = NO_DONORS


@dataclass(frozen=True)
class SkeletonNegative:
    """A non-preferred skeleton.

    Args:
        keypoints: `(frames, 69, 3)` float32, rounded to the float16 they are stored in.
        operation: what was done; `none` where no operation changed anything, for example exchanging hands that were
            never seen.
        strength: of the operation.
    """

    keypoints: Tensor
    operation: str
    strength: float


def skeleton_negative(
    source: ClipToPerturb, level: str, config: NegativesConfig, *, strength: float, redraw: int = 0
) -> SkeletonNegative:
    """Make one skeleton negative; the same for equal arguments, wherever and whenever it is made."""
    rng = generator(*source.seed, level, redraw)
    donor = source.donors.draw(source.clip, source.text, rng)
    where = generator(*source.seed, level, redraw, "region")  # so that any guidance meets the same operations
    present = source.keypoints[..., 2] > 0
    region = region_of(level, source.frame_salience, source.part_salience, present, config, where)
    for operation in _drawn_order(config.operations[level], rng):
        changed = perturb(source.keypoints, operation, region, strength, rng, donor).half().float()
        if not torch.equal(changed, source.keypoints):
            return SkeletonNegative(changed, operation, strength)
    return SkeletonNegative(source.keypoints, UNCHANGED, strength)


def _drawn_order(mixture: Mapping[str, float], rng: torch.Generator) -> list[str]:
    """All operations of a mixture in an order drawn without replacement by their weights."""
    names = sorted(name for name, weight in mixture.items() if weight > 0)
    weights = torch.tensor([mixture[name] for name in names], dtype=torch.float64)
    order = torch.multinomial(weights, len(names), replacement=False, generator=rng)
    return [names[index] for index in order.tolist()]
