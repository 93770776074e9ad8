"""Keys of `pretrain.augmentation` and `dpo.augmentation`: an operation of `signdpo.skeleton.augmentation` each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from signdpo.config.base import NonNegative, Section, Share

PartOfAll = Annotated[float, Field(ge=0.0, lt=1.0)]


class AugmentationConfig(Section):
    mirror: Share = 0.0
    rotation: Annotated[float, Field(ge=0.0, le=90.0)] = 0.0
    scale: PartOfAll = 0.0
    time_warp: NonNegative = 0.0
    frame_drop: PartOfAll = 0.0
    joint_jitter: NonNegative = 0.0
    part_dropout: Share = 0.0
    joint_dropout: PartOfAll = 0.0

    @property
    def strengths(self) -> dict[str, float]:
        """Operation -> strength, of those that are on."""
        return {name: strength for name, strength in self.model_dump().items() if strength > 0}
