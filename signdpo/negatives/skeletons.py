"""The four skeleton negatives of a clip: which operation, where, and with what seed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from signdpo.config import ConfigError, NegativesConfig
from signdpo.levels import SKELETON_LEVELS
from signdpo.negatives.guidance import region_of
from signdpo.negatives.operations import OPERATIONS, perturb
from signdpo.negatives.seeding import generator

UNCHANGED = "none"  # no operation of the mixture changes this clip: the level is masked for it


def check_operations(config: NegativesConfig) -> None:
    """Raise `ConfigError` if a mixture names an operation that does not exist."""
    for level, mixture in config.operations.items():
        for name in mixture:
            if name not in OPERATIONS:
                raise ConfigError(
                    f"negatives.operations.{level}.{name}: no such operation; there are {', '.join(OPERATIONS)}"
                )


def skeleton_negatives(
    keypoints: Tensor,
    frame_salience: Tensor,
    part_salience: Tensor,
    config: NegativesConfig,
    seed: tuple[str | int, ...],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Make the non-preferred skeletons of one clip.

    Args:
        keypoints: `(frames, 69, 3)` float32, normalised.
        frame_salience: `(frames,)` float32.
        part_salience: `(4,)` float32.
        config: mixtures and strength.
        seed: what the randomness derives from: `(run seed, epoch, clip id)`; the level is added here.

    Returns:
        Level -> perturbed keypoints, rounded to the float16 they are stored in, and level -> operation (`none` where no
        operation changed anything, for example exchanging hands that were never seen).
    """
    negatives, operations = {}, {}
    for level in SKELETON_LEVELS:
        rng = generator(*seed, level)
        where = generator(*seed, level, "region")  # of its own, so that any guidance meets the same operations
        region = region_of(level, frame_salience, part_salience, keypoints[..., 2] > 0, config, where)
        negatives[level], operations[level] = keypoints, UNCHANGED
        for operation in _drawn_order(config.operations[level], rng):
            changed = perturb(keypoints, operation, region, config.strength, rng).half().float()
            if not torch.equal(changed, keypoints):
                negatives[level], operations[level] = changed, operation
                break
    return negatives, operations


def _drawn_order(mixture: Mapping[str, float], rng: torch.Generator) -> list[str]:
    """All operations of a mixture in an order drawn without replacement by their weights."""
    names = sorted(name for name, weight in mixture.items() if weight > 0)
    weights = torch.tensor([mixture[name] for name in names], dtype=torch.float64)
    order = torch.multinomial(weights, len(names), replacement=False, generator=rng)
    return [names[index] for index in order.tolist()]
