"""Configurations, tokenizers and models by folder or hub name."""

from __future__ import annotations

from typing import Any

from signdpo.config import ConfigError


def load_pretrained(auto: Any, path: str) -> Any:
    """`auto.from_pretrained(path)` of one of transformers' Auto classes. Raises `ConfigError` if nothing is there."""
    try:
        return auto.from_pretrained(path)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(
            f"policy.language_model.path={path}: neither a folder with a T5-family model nor a "
            f"reachable hub name ({error})"
        ) from error
