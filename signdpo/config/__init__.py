"""The configuration of a run: one frozen, validated tree, read from YAML and `--set key=value`.

Each class is a section of the YAML; `jobs/configs/default.yaml` comments every key. An unknown key is refused with the
nearest valid name, so a mistyped option never silently keeps its default.
"""

from signdpo.config.augmentation import AugmentationConfig
from signdpo.config.base import Section, did_you_mean, flat
from signdpo.config.corpus import CorpusConfig, LandmarksConfig, SyntheticConfig
from signdpo.config.dpo import DpoConfig
from signdpo.config.evaluation import EvaluationConfig
from signdpo.config.extensions import look_up
from signdpo.config.loading import ConfigError, lay_over, load_config, parse_config, parse_section, read_mapping
from signdpo.config.negatives import (
    BandConfig,
    CounterfactualConfig,
    Guidance,
    HardnessConfig,
    NegativesConfig,
    PerturberConfig,
    SalienceConfig,
)
from signdpo.config.policy import (
    EncoderConfig,
    LanguageModelConfig,
    PolicyConfig,
    PretrainConfig,
    StGcnConfig,
    TextPretrainConfig,
)
from signdpo.config.resources import ResourcesConfig
from signdpo.config.tracking import TrackingConfig
from signdpo.config.tree import Config

__all__ = [
    "AugmentationConfig",
    "BandConfig",
    "Config",
    "ConfigError",
    "CorpusConfig",
    "CounterfactualConfig",
    "DpoConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "Guidance",
    "HardnessConfig",
    "LandmarksConfig",
    "LanguageModelConfig",
    "NegativesConfig",
    "PerturberConfig",
    "PolicyConfig",
    "PretrainConfig",
    "ResourcesConfig",
    "SalienceConfig",
    "Section",
    "StGcnConfig",
    "SyntheticConfig",
    "TextPretrainConfig",
    "TrackingConfig",
    "did_you_mean",
    "flat",
    "lay_over",
    "load_config",
    "look_up",
    "parse_config",
    "parse_section",
    "read_mapping",
]
