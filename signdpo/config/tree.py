"""The whole configuration, and the rules between its sections."""

from __future__ import annotations

import re
from typing import Final, Literal

import yaml
from pydantic import Field, model_validator

from signdpo.config.base import Section, flat, resolved_precision
from signdpo.config.corpus import CorpusConfig
from signdpo.config.dpo import DpoConfig
from signdpo.config.evaluation import EvaluationConfig
from signdpo.config.negatives import NegativesConfig
from signdpo.config.policy import GRAMMAR, PolicyConfig, PretrainConfig
from signdpo.config.resources import ResourcesConfig
from signdpo.config.tracking import TrackingConfig
from signdpo.levels import LEVELS

PASSWORD_IN_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)


class Config(Section):
    seed: int = Field(default=1, ge=0)
    control: Literal["none", "steps", "dropout"] = "steps"
    corpus: CorpusConfig = CorpusConfig()
    policy: PolicyConfig = PolicyConfig()
    pretrain: PretrainConfig = PretrainConfig()
    negatives: NegativesConfig = NegativesConfig()
    dpo: DpoConfig = DpoConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _only_pretraining_holds_out(self) -> Config:
        if self.policy.init is not None and self.negatives.perturber.held_out_share:
            raise ValueError(
                f"negatives.perturber.held_out_share={self.negatives.perturber.held_out_share} leaves clips out of "
                "pre-training, and with policy.init there is none: set it to 0"
            )
        return self

    @model_validator(mode="after")
    def _text_is_read_by_what_is_trained(self) -> Config:
        text = self.policy.language_model.pretrain_text
        if text is not None and self.policy.init is not None:
            raise ValueError(
                f"policy.language_model.pretrain_text={text} is read before pre-training, and with policy.init there "
                "is none: set it to null"
            )
        if text == GRAMMAR and self.corpus.kind != "synthetic":
            raise ValueError(
                f"policy.language_model.pretrain_text={text} is the language of corpus.kind=synthetic, not of "
                f"{self.corpus.kind}: name a text file, a sentence a line"
            )
        return self

    @model_validator(mode="after")
    def _folds_are_pretrained(self) -> Config:
        if self.policy.init is not None and self.negatives.perturber.kind == "folds":
            raise ValueError(
                "negatives.perturber.kind=folds pre-trains a policy for each fold of the clips, and with policy.init "
                "there is no pre-training: use another kind"
            )
        return self

    @model_validator(mode="after")
    def _nothing_is_selected_on_training_data(self) -> Config:
        if self.policy.init is not None and self.corpus.hold_out and self.policy.init_saw_held_out:
            raise ValueError(
                f"corpus.hold_out={self.corpus.hold_out:g} makes splits of training recordings, and "
                f"policy.init={self.policy.init} may have been trained on them: its scores would be of what it has "
                "memorised. Give the corpus labels of its own dev and test recordings and set corpus.hold_out=0, or, "
                "if you know that the policy was not trained on these, policy.init_saw_held_out=false"
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

    @model_validator(mode="after")
    def _no_secret_is_written_down(self) -> Config:
        for key, value in flat(self.model_dump()).items():
            if isinstance(value, str) and PASSWORD_IN_URI.match(value):
                raise ValueError(
                    f"{key} holds a password, and a run keeps its configuration in plain text: leave it out of the URI "
                    "and give it in the environment, for MLflow as MLFLOW_TRACKING_USERNAME and "
                    "MLFLOW_TRACKING_PASSWORD"
                )
        return self

    @model_validator(mode="after")
    def _what_is_taught_is_made(self) -> Config:
        if lacking := [level for level in self.dpo.levels if level not in self.made_levels]:
            raise ValueError(
                f"negatives.levels lacks {', '.join(lacking)}, which dpo.weights teaches: set negatives.levels=null, "
                "and all levels of a weight above 0 are made"
            )
        return self

    @property
    def made_levels(self) -> tuple[str, ...]:
        """The levels whose negatives are made and scored, in their order: those that are taught, or more."""
        named = self.negatives.levels
        return self.dpo.levels if named is None else tuple(level for level in LEVELS if level in named)

    @property
    def alignment_seed(self) -> int:
        """Seed of what comes after baseline and perturber: negatives, order and dropout of control and alignment."""
        return self.seed if self.dpo.seed is None else self.dpo.seed

    @property
    def pretrain_precision(self) -> str:
        """What pre-training computes in: `float32` or `bfloat16`."""
        return resolved_precision(self.pretrain.precision, use_gpu=self.resources.use_gpu)

    @property
    def dpo_precision(self) -> str:
        """What log-probabilities are computed in, by trainers and generators alike: `float32` or `bfloat16`."""
        return resolved_precision(self.dpo.precision, use_gpu=self.resources.use_gpu)

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
