"""Keys of `evaluation`: how translations are made and scored."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from signdpo.config.base import Count, Section

TUNE = "tune"


class EvaluationConfig(Section):
    splits: tuple[Literal["dev", "test"], ...] = ("dev", "test")
    batch_size: Count = 64
    num_beams: Count = 4
    max_new_tokens: Count = 40
    length_penalty: float | Literal["tune"] = 1.0
    no_repeat_ngram_size: int = Field(default=0, ge=0)
    tokenize: Literal["13a", "zh", "char", "intl", "none"] | None = None
    protocol: Literal["csl_daily"] | None = None
    bootstrap_samples: Count = 1000

    @model_validator(mode="after")
    def _what_is_given_can_be_done(self) -> EvaluationConfig:
        if "dev" not in self.splits or len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits={list(self.splits)} must be [dev] or [dev, test]")
        if self.length_penalty != 1.0 and self.num_beams == 1:
            raise ValueError(
                f"length_penalty={self.length_penalty} compares the hypotheses of a beam: set num_beams above 1"
            )
        return self

    def generation(self, length_penalty: float) -> dict[str, Any]:
        """Keywords of transformers' `generate`."""
        return {
            "num_beams": self.num_beams,
            "max_new_tokens": self.max_new_tokens,
            "length_penalty": length_penalty,
            "no_repeat_ngram_size": self.no_repeat_ngram_size,
        }
