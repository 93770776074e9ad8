"""Keys of `dpo`: the objective and its optimisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from signdpo.config.base import Count, NonNegative, Positive, Precision, Section, did_you_mean
from signdpo.levels import LEVELS


class DpoConfig(Section):
    seed: int | None = Field(default=None, ge=0)
    epochs: Count = 1
    batch_size: Count = 32
    loss: str = "sigmoid"
    beta: Positive = 1.0
    betas: Mapping[str, Positive] = {"language": 0.1}
    weights: Mapping[str, NonNegative] = {
        "spatial_global": 0.1,
        "spatial_local": 0.1,
        "temporal_global": 0.1,
        "temporal_local": 0.1,
        "language": 0.3,
    }
    mle_weight: NonNegative = 1.0
    anchor_weight: NonNegative = 0.0
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    length_normalize: bool = False
    precision: Precision = "float32"
    lr: Positive = 1e-4
    warmup_steps: int = Field(default=10, ge=0)
    weight_decay: NonNegative = 0.0
    clip_grad_norm: Positive = 1.0
    checkpoint_every: Count = 25
    select_by: Literal["eval_bleu4", "eval_nll"] = "eval_bleu4"

    @model_validator(mode="after")
    def _levels_are_known(self) -> DpoConfig:
        for key, levels in (("betas", self.betas), ("weights", self.weights)):
            for level in levels:
                if level not in LEVELS:
                    raise ValueError(f"{key}.{level} is not a level{did_you_mean(level, LEVELS)}")
        return self

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels of a weight above 0, in their order: no other is made, scored or trained on."""
        return tuple(level for level in LEVELS if self.weight_of(level) > 0)

    def beta_of(self, level: str) -> float:
        return self.betas.get(level, self.beta)

    def weight_of(self, level: str) -> float:
        return self.weights.get(level, 0.0)
