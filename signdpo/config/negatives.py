"""Keys of `negatives`: the four skeleton levels, what guides them, and who writes wrong sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from signdpo.config.base import Count, NonNegative, Positive, Section, Share, did_you_mean
from signdpo.levels import LEVELS, SKELETON_LEVELS

MINING = ("sample", "beam", "perturbed")  # how the policy is made to fail
Guidance = Literal["attention", "random", "uniform"]


class PerturberConfig(Section):
    kind: Literal["learned", "rules", "policy", "pairs", "folds"] = "learned"
    path: str | None = None
    architecture: Literal["seq2seq", "edits"] = "seq2seq"
    samples_per_clip: Count = 2
    folds: Annotated[int, Field(ge=2)] = 2
    temperature: Positive = 0.8
    mine_clips: Count = 800
    mining: Mapping[str, NonNegative] = {"sample": 0.6, "beam": 0.2, "perturbed": 0.2}
    held_out_share: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    d_model: Count = 128
    layers: Count = 2
    epochs: Count = 15
    copy_epochs: int = Field(default=15, ge=0)
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
        if self.kind == "pairs":
            if self.path is None:
                raise ValueError("kind=pairs reads a table of pairs: name it by path")
        elif self.path is not None and (self.kind, self.architecture) != ("learned", "seq2seq"):
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


class BandConfig(Section):
    min_margin: float | None = None
    max_margin: float | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> BandConfig:
        low, high = self.min_margin, self.max_margin
        if low is not None and high is not None and low >= high:
            raise ValueError(f"min_margin={low} must be less than max_margin={high}")
        return self

    def describe(self) -> str:
        ends = (("from", self.min_margin), ("to", self.max_margin))
        return " ".join(f"{word} {end:g}" for word, end in ends if end is not None) or "of any"


class HardnessConfig(Section):
    unit: Literal["sentence", "token"] = "token"
    skeleton: BandConfig = BandConfig(min_margin=0.06, max_margin=1.5)
    language: BandConfig = BandConfig()
    redraws: int = Field(default=2, ge=0)
    harden: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class CounterfactualConfig(Section):
    frames: Count = 8
    min_mass: Share = 0.45
    donors: Count = 16
    exchanges: Count = 3
    min_logp: float = -1.0
    redraws: int = Field(default=3, ge=0)


class NegativesConfig(Section):
    mode: Literal["stream", "cached"] = "stream"
    cache: str | None = None
    levels: tuple[str, ...] | None = None
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
    counterfactual: CounterfactualConfig = CounterfactualConfig()
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
        for level in self.levels or ():
            if level not in LEVELS:
                raise ValueError(f"levels names {level}, which is none{did_you_mean(level, LEVELS)}")
        for key, levels in (("operations", self.operations), ("strength", self.strength)):
            if set(levels) != set(SKELETON_LEVELS):
                raise ValueError(f"{key} must have exactly the levels {list(SKELETON_LEVELS)}")
        for level, mixture in self.operations.items():
            if sum(mixture.values()) <= 0:
                raise ValueError(f"operations.{level} needs at least one operation with a weight above 0")
        return self
