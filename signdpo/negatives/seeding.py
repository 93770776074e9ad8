"""Randomness as an argument: every draw comes from a seed derived from what it is for."""

from __future__ import annotations

import torch

from signdpo.seeding import derive_seed


def generator(*parts: str | int) -> torch.Generator:
    """A CPU generator seeded by `derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def uniform(rng: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """One float drawn uniformly from `[low, high)`."""
    return low + (high - low) * float(torch.rand((), generator=rng))


def integer(rng: torch.Generator, high: int) -> int:
    """One integer drawn uniformly from `[0, high)`."""
    return int(torch.randint(high, (), generator=rng))


def sign(rng: torch.Generator) -> float:
    """1 or -1 with equal probability."""
    return 1.0 if uniform(rng) < 0.5 else -1.0
