"""Where an operation may act."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from signdpo.negatives.seeding import integer
from signdpo.skeleton.layout import NUM_JOINTS, PARTS

Window = tuple[int, int]  # first and past-the-last frame


@dataclass(frozen=True)
class Region:
    """Spans of frames, and body parts within them."""

    windows: tuple[Window, ...]
    parts: tuple[str, ...]

    @classmethod
    def whole(cls, num_frames: int) -> Region:
        return cls(windows=((0, num_frames),), parts=tuple(PARTS))

    @property
    def hands(self) -> tuple[str, ...]:
        return tuple(part for part in self.parts if part.endswith("hand"))

    def mask(self, num_frames: int) -> Tensor:
        """`(frames, 69)` bool, True where the region allows change."""
        mask = torch.zeros(num_frames, NUM_JOINTS, dtype=torch.bool)
        for begin, end in self.windows:
            for part in self.parts:
                mask[begin:end, PARTS[part]] = True
        return mask

    def shrunk(self, share: float, rng: torch.Generator) -> list[Window]:
        """Each window cut to a share of its frames, two at least, at a random place inside it."""
        windows = []
        for begin, end in self.windows:
            length = max(2, round(share * (end - begin)))
            slack = max(0, end - begin - length)
            start = begin + (integer(rng, slack + 1) if slack else 0)
            windows.append((start, min(end, start + length)))
        return windows
