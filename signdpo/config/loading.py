"""Reading a configuration: defaults, a YAML file, `--set key=value`, validated with errors that name the key."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from signdpo.config.base import did_you_mean
from signdpo.config.resources import lay_preset
from signdpo.config.tree import Config
from signdpo.storage.files import exists, read_text


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the key, what was found and the remedy."""


S = TypeVar("S", bound=BaseModel)


def load_config(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Lay a YAML file over the defaults, and `key=value` overrides over both, values parsed as YAML.

    Mappings such as `dpo.weights` are merged key by key, and an empty one clears; lists and values are replaced. The
    name of a preset in the place of `resources` stands for all its values.

    Raises:
        ConfigError: naming the key, what was found and the remedy.
    """
    tree = Config().model_dump(mode="json")
    tree["policy"]["encoder"] = {}  # whose keys and defaults are those of its kind
    if path is not None:
        _lay_over(tree, read_mapping(path, "--config"))
    return parse_config(tree, overrides)


def parse_config(tree: Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:
    """Validate a plain tree with overrides laid over it. Raises `ConfigError` listing every problem, one a line."""
    return parse_section(Config, tree, overrides)


def read_mapping(path: str | Path, option: str) -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises `ConfigError`, which names the option that named the file."""
    if not exists(str(path)):
        raise ConfigError(f"{option} {path}: there is no such file")
    try:
        given = yaml.safe_load(read_text(str(path))) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{option} {path} is not valid YAML: {error}") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{option} {path} must hold a mapping of sections, found {type(given).__name__}")
    return given


def parse_section(section: type[S], tree: Mapping[str, Any], overrides: Iterable[str] = (), *, prefix: str = "") -> S:
    """Validate a plain tree as a section; `prefix` goes before its keys in the message of a `ConfigError`."""
    merged = copy.deepcopy(dict(tree))
    for override in overrides:
        _apply_override(merged, override, prefix)
    try:
        return section.model_validate(merged)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem, section, prefix) for problem in error.errors())) from error


def lay_over(config: Config, settings: Mapping[str, Any]) -> Config:
    """The configuration with some keys, such as `dpo.weights.language`, set to other values. Raises `ConfigError`."""
    tree = config.model_dump(mode="json")
    for key, value in settings.items():
        _lay(tree, key, value)
    return parse_config(tree)


def _apply_override(tree: dict[str, Any], override: str, prefix: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {prefix}{override}: expected key=value, for example --set dpo.beta=0.5")
    try:
        given = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {prefix}{override}: the value is not valid YAML: {error}") from error
    _lay(tree, key, given)


def _lay(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set one key, such as `dpo.weights.language`, in place."""
    for part in reversed(key.split(".")):
        value = {part: value}
    _lay_over(tree, value)


def _lay_over(tree: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Lay what a user gives over the whole tree, in place."""
    if "resources" in given:
        try:
            laid = lay_preset(given["resources"])
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if laid is not given["resources"]:
            tree["resources"] = {}  # a preset has every key: nothing shows through it
        given = {**given, "resources": laid}
    _merge(tree, given)


def _merge(tree: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Lay `given` over `tree` in place."""
    for key, value in given.items():
        if value and isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def _explain(problem: Mapping[str, Any], section: type[BaseModel], prefix: str) -> str:
    # Of a key of several types pydantic names the type that it tried.
    location = tuple(part for part in map(str, problem["loc"]) if part != "float" and not part.startswith("literal["))
    key = prefix + ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}{did_you_mean(key, _known_keys(section, prefix))}"
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], Mapping):  # a rule between keys: its message names them and what was found
        return f"{key}: {message}" if location else message
    return f"{key}: {message} (found {problem['input']!r})"


def _known_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.default, BaseModel):
            keys.extend(_known_keys(type(field.default), f"{prefix}{name}."))
    return keys
