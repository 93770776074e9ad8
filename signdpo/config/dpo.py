"""Keys of `dpo`: the objective and its optimisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from signdpo.config.augmentation import AugmentationConfig
from signdpo.config.base import Count, NonNegative, Positive, Precision, Section, did_you_mean
from signdpo.levels import COUNTERFACTUAL, LEVELS


class DpoConfig(Section):
    seed: int | None = Field(default=None, ge=0)
    epochs: Count = 8
    batch_size: Count = 32
    loss: str = "sigmoid"
    beta: Positive = 1.0
    betas: Mapping[str, Positive] = {"language": 0.1, "counterfactual": 0.3}
    weights: Mapping[str, NonNegative] = {
        "spatial_global": 0.0,
        "spatial_local": 0.0,
        "temporal_global": 0.0,
        "temporal_local": 0.0,
        "language": 0.0,
        "counterfactual": 0.03,
    }
    mle_weight: NonNegative = 1.0
    counterfactual_mle_weight: NonNegative = 1.0
    anchor_weight: NonNegative = 0.0
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    length_normalize: bool = False
    precision: Precision = "float32"
    dropout: bool = True
    lr: Positive = 1e-3
    warmup_steps: int = Field(default=10, ge=0)
    weight_decay: NonNegative = 0.0
    clip_grad_norm: Positive = 1.0
    checkpoint_every: Count = 25
    augmentation: AugmentationConfig = AugmentationConfig()
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
        weights = {level: self.weight_of(level) for level in LEVELS}
        weights[COUNTERFACTUAL] += self.counterfactual_mle_weight
        return tuple(level for level, weight in weights.items() if weight > 0)

    def beta_of(self, level: str) -> float:
        return self.betas.get(level, self.beta)

    def weight_of(self, level: str) -> float:
        return self.weights.get(level, 0.0)
