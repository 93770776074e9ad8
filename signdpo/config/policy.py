"""Keys of `policy` and `pretrain`: the translator and its training by maximum likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from signdpo.config.augmentation import AugmentationConfig
from signdpo.config.base import Count, NonNegative, Positive, Precision, Section, Share

GRAMMAR = "grammar"  # as `pretrain_text`: sentences of the embedded language


class EncoderConfig(Section):
    kind: str


class StGcnConfig(EncoderConfig):
    kind: Literal["st_gcn"] = "st_gcn"
    standardize: bool = True
    joint_dim: Count = 8
    spatial_channels: tuple[Count, ...] = (16,)
    joint_pooling: Literal["early", "late"] = "early"
    temporal_channels: Count = 64
    temporal_strides: tuple[Count, ...] = (4,)
    temporal_kernel: Count = 5

    @model_validator(mode="after")
    def _kernel_is_odd(self) -> StGcnConfig:
        if self.temporal_kernel % 2 == 0:
            raise ValueError(f"temporal_kernel must be odd, got {self.temporal_kernel}")
        return self


class OtherEncoderConfig(EncoderConfig, extra="allow"):
    """Keys of another kind of encoder, as given: `signdpo.models.encoders.base` checks them before a run."""


class TextPretrainConfig(Section):
    epochs: Count = 10
    batch_size: Count = 64
    lr: Positive = 2e-3
    warmup_steps: int = Field(default=100, ge=0)
    clip_grad_norm: Positive = 1.0


class LanguageModelConfig(Section):
    path: str | None = None
    pretrain_text: str | None = None
    pretrain: TextPretrainConfig = TextPretrainConfig()
    d_model: Count = 128
    d_ff: Count = 384
    layers: Count = 2
    heads: Count = 4

    @model_validator(mode="after")
    def _a_pretrained_one_has_read(self) -> LanguageModelConfig:
        if self.path is not None and self.pretrain_text is not None:
            raise ValueError(
                f"pretrain_text={self.pretrain_text} is for a model from scratch, and path={self.path} names one that "
                "has been trained on text: leave one of them out"
            )
        return self


class PolicyConfig(Section):
    init: str | None = None
    init_saw_held_out: bool = True
    encoder: SerializeAsAny[EncoderConfig] = StGcnConfig()
    language_model: LanguageModelConfig = LanguageModelConfig()
    vocab_size: Annotated[int, Field(ge=32)] = 512
    prompt: str = ""
    max_text_tokens: Count = 64

    @field_validator("encoder", mode="before")
    @classmethod
    def _keys_are_the_kinds(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        own = given.get("kind", "st_gcn") == "st_gcn"
        return StGcnConfig.model_validate(given) if own else OtherEncoderConfig.model_validate(given)


class PretrainConfig(Section):
    epochs: Count = 50
    score_every: Count = 10
    batch_size: Count = 32
    lr: Positive = 2e-3
    warmup_steps: int = Field(default=60, ge=0)
    weight_decay: NonNegative = 0.01
    label_smoothing: Share = 0.05
    dropout: Share = 0.05
    frame_sampling: Literal["even", "random"] = "even"
    precision: Precision = "auto"
    clip_grad_norm: Positive = 1.0
    augmentation: AugmentationConfig = AugmentationConfig()
