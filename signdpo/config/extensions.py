"""What a key such as `corpus.kind` or `dpo.loss` may name: an entry of the project's table, or anyone's own code."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from signdpo.config.base import did_you_mean
from signdpo.config.loading import ConfigError


def look_up(name: str, table: Mapping[str, Any], key: str, expected: type) -> Any:
    """The object that a key names.

    `module:attribute` names one of any module that Python can import, so that nothing has to be registered in each of
    the processes of a cluster. A table may hold such addresses, too: what they name is imported when it is asked for.

    Args:
        name: the key's value, a name in `table` or `module:attribute`.
        table: name -> object or `module:attribute`.
        key: the configuration key, for error messages.
        expected: what the object must be an instance or a subclass of.

    Raises:
        ConfigError: naming the key and the nearest name, or what is wrong with what was found.
    """
    found = table.get(name, name if ":" in name else None)
    if found is None:
        raise ConfigError(f"{key}={name} is not known{did_you_mean(name, table)} (or module:attribute)")
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"{key}={name} cannot be imported: {error}") from error
    if not isinstance(found, expected) and not (isinstance(found, type) and issubclass(found, expected)):
        raise ConfigError(f"{key}={name} is {found!r}, expected a {expected.__module__}.{expected.__name__}")
    return found
