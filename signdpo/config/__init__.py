"""The configuration of a run: one frozen, validated tree, read from YAML and `--set key=value`.

Each class is a section of the YAML; `jobs/configs/default.yaml` comments every key. An unknown key is refused with the
nearest valid name, so a mistyped option never silently keeps its default.
"""

from signdpo.config.loading import ConfigError, load_config, parse_config
from signdpo.config.sections import (
    Config,
    CorpusConfig,
    DpoConfig,
    EncoderConfig,
    EvaluationConfig,
    Guidance,
    HardnessConfig,
    LanguageModelConfig,
    NegativesConfig,
    PerturberConfig,
    PolicyConfig,
    PretrainConfig,
    ResourcesConfig,
    SalienceConfig,
    SyntheticConfig,
    did_you_mean,
)

__all__ = [
    "Config",
    "ConfigError",
    "CorpusConfig",
    "DpoConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "Guidance",
    "HardnessConfig",
    "LanguageModelConfig",
    "NegativesConfig",
    "PerturberConfig",
    "PolicyConfig",
    "PretrainConfig",
    "ResourcesConfig",
    "SalienceConfig",
    "SyntheticConfig",
    "did_you_mean",
    "load_config",
    "parse_config",
]
