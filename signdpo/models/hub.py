"""Configurations, tokenizers and models by folder or hub name."""

from __future__ import annotations

from typing import Any

from signdpo.config import ConfigError


def load_pretrained(auto: Any, path: str, key: str = "policy.language_model.path") -> Any:
    """`auto.from_pretrained(path)` of one of transformers' Auto classes.

    Raises:
        ConfigError: naming the key, if nothing is there.
    """
    try:
        return auto.from_pretrained(path)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(
            f"{key}={path}: neither a folder with a language model nor a reachable hub name ({error})"
        ) from error
