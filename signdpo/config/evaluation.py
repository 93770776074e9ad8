"""Keys of `evaluation`: how translations are made and scored."""

from __future__ import annotations

from typing import Literal

from signdpo.config.base import Count, Section


class EvaluationConfig(Section):
    batch_size: Count = 64
    num_beams: Count = 4
    max_new_tokens: Count = 40
    tokenize: Literal["13a", "zh", "char", "intl", "none"] | None = None
    protocol: Literal["csl_daily"] | None = None
    bootstrap_samples: Count = 1000
