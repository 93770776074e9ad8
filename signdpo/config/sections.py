"""The sections of the configuration: frozen, validated classes, each with its defaults."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from signdpo.levels import LEVELS, SKELETON_LEVELS

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
MINING = ("sample", "beam", "perturbed")  # how the policy is made to fail
Precision = Literal["auto", "float32", "bfloat16"]
Guidance = Literal["attention", "random", "uniform"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f": did you mean {close[0]}?" if close else f"; valid are {', '.join(known)}"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SyntheticConfig(Section):
    train_clips: Count = 2400
    dev_clips: Count = 200
    test_clips: Count = 400
    signers: Count = 8
    noise: NonNegative = 1.0
    seed: int = 7


class CorpusConfig(Section):
    kind: str = "synthetic"
    root: str | None = None
    labels: str | None = None
    hold_out: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    language: Literal["en", "zh", "de"] = "en"
    max_frames: Count = 256
    stored_frames: Count | None = None
    max_bad_share: Share = 0.05
    shard_rows: Count = 256
    limit: Count | None = None
    synthetic: SyntheticConfig = SyntheticConfig()

    @model_validator(mode="after")
    def _root_is_given(self) -> CorpusConfig:
        if self.kind != "synthetic" and self.root is None:
            raise ValueError(f"corpus.root is missing: kind={self.kind} reads a folder, --set corpus.root=/data/mine")
        if self.stored_frames is not None and self.stored_frames < self.max_frames:
            raise ValueError(f"stored_frames={self.stored_frames} is less than max_frames={self.max_frames}")
        return self


class EncoderConfig(Section):
    standardize: bool = True
    joint_dim: Count = 8
    spatial_channels: tuple[Count, ...] = (16,)
    joint_pooling: Literal["early", "late"] = "early"
    temporal_channels: Count = 64
    temporal_strides: tuple[Count, ...] = (2, 2)
    temporal_kernel: Count = 5

    @model_validator(mode="after")
    def _kernel_is_odd(self) -> EncoderConfig:
        if self.temporal_kernel % 2 == 0:
            raise ValueError(f"temporal_kernel must be odd, got {self.temporal_kernel}")
        return self


class LanguageModelConfig(Section):
    path: str | None = None
    d_model: Count = 128
    d_ff: Count = 384
    layers: Count = 2
    heads: Count = 4


class PolicyConfig(Section):
    init: str | None = None
    encoder: EncoderConfig = EncoderConfig()
    language_model: LanguageModelConfig = LanguageModelConfig()
    vocab_size: Annotated[int, Field(ge=32)] = 512
    prompt: str = ""
    max_text_tokens: Count = 64


class PretrainConfig(Section):
    epochs: Count = 6
    batch_size: Count = 32
    lr: Positive = 2e-3
    warmup_steps: int = Field(default=60, ge=0)
    weight_decay: NonNegative = 0.01
    label_smoothing: Share = 0.05
    dropout: Share = 0.05
    frame_sampling: Literal["even", "random"] = "even"
    precision: Precision = "auto"
    clip_grad_norm: Positive = 1.0


class PerturberConfig(Section):
    kind: Literal["learned", "rules", "policy"] = "learned"
    path: str | None = None
    architecture: Literal["seq2seq", "edits"] = "seq2seq"
    samples_per_clip: Count = 2
    temperature: Positive = 0.8
    mine_clips: Count = 800
    mining: Mapping[str, NonNegative] = {"sample": 0.6, "beam": 0.2, "perturbed": 0.2}
    held_out_share: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    d_model: Count = 128
    layers: Count = 2
    epochs: Count = 5
    copy_epochs: int = Field(default=3, ge=0)
    batch_size: Count = 64
    lr: Positive = 1.5e-3
    edit_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    candidates: Count = 5
    max_chrf: Annotated[float, Field(gt=0.0, le=100.0)] = 95.0
    min_chrf: Annotated[float, Field(ge=0.0, le=100.0)] = 40.0
    max_length_ratio: Annotated[float, Field(ge=1.0)] = 2.0
    min_fluency: float = -4.0
    function_share: Share = 0.25
    known_words: bool = True

    @model_validator(mode="after")
    def _what_is_given_is_used(self) -> PerturberConfig:
        if self.path is not None and (self.kind, self.architecture) != ("learned", "seq2seq"):
            raise ValueError(
                f"path={self.path} is fine-tuned by kind=learned with architecture=seq2seq, not by "
                f"kind={self.kind} with architecture={self.architecture}"
            )
        if set(self.mining) != set(MINING) or sum(self.mining.values()) <= 0:
            raise ValueError(f"mining must give a share to each of {list(MINING)}, one of them above 0")
        return self


class SalienceConfig(Section):
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.35
    layers: Literal["all", "last"] = "last"
    heads: Literal["mean", "max"] = "mean"
    tokens: Literal["max", "mean"] = "max"
    weighting: Literal["none", "gradient"] = "none"
    parts: Literal["freeze", "gradient"] = "freeze"


class HardnessConfig(Section):
    min_margin: float = 0.5
    max_margin: float = 12.0
    redraws: int = Field(default=2, ge=0)
    harden: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0

    @model_validator(mode="after")
    def _band_is_a_range(self) -> HardnessConfig:
        if self.min_margin >= self.max_margin:
            raise ValueError(f"min_margin={self.min_margin} must be less than max_margin={self.max_margin}")
        return self


class NegativesConfig(Section):
    mode: Literal["stream", "cached"] = "stream"
    cache: str | None = None
    policy: Literal["reference", "current"] = "reference"
    refresh_every: Count = 25
    operations: Mapping[str, Mapping[str, NonNegative]] = {
        "spatial_global": {
            "exchange_hands": 1.0,
            "transfer_handshape": 1.0,
            "move_hands": 1.0,
            "bend_fingers": 0.5,
            "turn_hands": 0.5,
            "distort_limbs": 0.5,
            "shear_space": 0.5,
            "rotate_space": 0.5,
        },
        "spatial_local": {
            "swap_windows": 2.0,
            "turn_hands": 2.0,
            "transfer_handshape": 1.0,
            "move_hands": 1.0,
            "mask_parts": 1.0,
            "bend_fingers": 0.5,
            "freeze": 0.5,
        },
        "temporal_global": {
            "drop": 1.0,
            "splice": 1.0,
            "reverse": 1.0,
            "warp_time": 0.5,
            "repeat": 0.5,
            "shuffle_segments": 0.5,
        },
        "temporal_local": {"splice": 2.0, "swap_windows": 2.0, "freeze": 1.0, "drop": 0.5, "reverse": 0.5},
    }
    strength: Mapping[str, Share] = {
        "spatial_global": 0.8,
        "spatial_local": 1.0,
        "temporal_global": 0.8,
        "temporal_local": 1.0,
    }
    donors: Count = 64
    hardness: HardnessConfig = HardnessConfig()
    guidance: Guidance = "attention"
    salience: SalienceConfig = SalienceConfig()
    perturber: PerturberConfig = PerturberConfig()

    @model_validator(mode="after")
    def _delivery_fits(self) -> NegativesConfig:
        if self.mode == "cached" and self.policy == "current":
            raise ValueError(
                "mode=cached makes all negatives before training, when there is no policy=current to guide them: "
                "set mode=stream, or policy=reference"
            )
        if self.mode == "stream" and self.cache is not None:
            raise ValueError(f"cache={self.cache} would not be read with mode=stream: set mode=cached, or cache=null")
        return self

    @model_validator(mode="after")
    def _levels_are_known(self) -> NegativesConfig:
        for key, levels in (("operations", self.operations), ("strength", self.strength)):
            if set(levels) != set(SKELETON_LEVELS):
                raise ValueError(f"{key} must have exactly the levels {list(SKELETON_LEVELS)}")
        for level, mixture in self.operations.items():
            if sum(mixture.values()) <= 0:
                raise ValueError(f"operations.{level} needs at least one operation with a weight above 0")
        return self


class DpoConfig(Section):
    epochs: Count = 1
    batch_size: Count = 32
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
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

    @model_validator(mode="after")
    def _levels_are_known(self) -> DpoConfig:
        for key, levels in (("betas", self.betas), ("weights", self.weights)):
            for level in levels:
                if level not in LEVELS:
                    raise ValueError(f"{key}.{level} is not a level{did_you_mean(level, LEVELS)}")
        return self

    def beta_of(self, level: str) -> float:
        return self.betas.get(level, self.beta)

    def weight_of(self, level: str) -> float:
        return self.weights.get(level, 0.0)


class EvaluationConfig(Section):
    batch_size: Count = 64
    num_beams: Count = 4
    max_new_tokens: Count = 40
    tokenize: Literal["13a", "zh", "char", "intl", "none"] | None = None
    protocol: Literal["csl_daily"] | None = None
    bootstrap_samples: Count = 1000


class ResourcesConfig(Section):
    num_cpus: Count = 4
    use_gpu: bool = False
    workers: Count = 1
    cpus_per_worker: Positive = 1.0
    gpus_per_worker: Positive = 1.0
    pretrain_workers: Count = 1
    cpus_per_pretrain_worker: Positive = 2.0
    generators: tuple[Count, Count] = (1, 2)
    cpus_per_generator: Positive = 0.5
    gpus_per_generator: NonNegative = 0.0
    stall_seconds: Positive = 600.0

    @model_validator(mode="after")
    def _generators_are_a_range(self) -> ResourcesConfig:
        if self.generators[0] > self.generators[1]:
            raise ValueError(f"generators must be [min, max] with min <= max, got {list(self.generators)}")
        return self


class Config(Section):
    seed: int = 1
    corpus: CorpusConfig = CorpusConfig()
    policy: PolicyConfig = PolicyConfig()
    pretrain: PretrainConfig = PretrainConfig()
    negatives: NegativesConfig = NegativesConfig()
    dpo: DpoConfig = DpoConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    resources: ResourcesConfig = ResourcesConfig()

    @model_validator(mode="after")
    def _only_pretraining_holds_out(self) -> Config:
        if self.policy.init is not None and self.negatives.perturber.held_out_share:
            raise ValueError(
                f"negatives.perturber.held_out_share={self.negatives.perturber.held_out_share} leaves clips out of "
                "pre-training, and with policy.init there is none: set it to 0"
            )
        return self

    @model_validator(mode="after")
    def _random_frames_are_stored(self) -> Config:
        if self.pretrain.frame_sampling == "random" and (self.corpus.stored_frames or 0) <= self.corpus.max_frames:
            raise ValueError(
                f"pretrain.frame_sampling=random draws from frames beyond corpus.max_frames={self.corpus.max_frames}: "
                f"set corpus.stored_frames to more, for example {4 * self.corpus.max_frames}"
            )
        return self

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
