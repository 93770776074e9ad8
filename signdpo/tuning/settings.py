"""What a search is told: its space, its budget, who suggests settings and who stops trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from signdpo.config import ConfigError, parse_section, read_mapping
from signdpo.config.base import Count, Section

CACHED = {"negatives.mode": "cached"}  # what a search changes of its base: trials read negatives that are made once
KINDS = ("uniform", "loguniform", "integer", "choice")
Value = bool | int | float | str | None


class Range(Section):
    """The values that one key may take. Exactly one of:

    Args:
        uniform: lowest and highest number, all in between as likely.
        loguniform: the same for their logarithms, for what acts in proportion.
        integer: lowest and highest whole number, both included.
        choice: these values.
    """

    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    integer: tuple[int, int] | None = None
    choice: tuple[Value, ...] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"a range is one of {', '.join(KINDS)}, found {' and '.join(given) or 'none of them'}")
        ends = self.corners
        if self.choice is not None:
            if len(set(map(repr, ends))) < max(len(ends), 2):
                raise ValueError(f"choice needs two values or more, all different, found {list(ends)}")
        elif not ends[0] < ends[1]:  # type: ignore[operator]
            raise ValueError(f"{given[0]} goes from a lower to a higher number, found {list(ends)}")
        elif self.loguniform is not None and self.loguniform[0] <= 0:
            raise ValueError(f"loguniform needs numbers above 0, found {list(ends)}")
        return self

    @property
    def corners(self) -> tuple[Value, ...]:
        """The two ends, or every choice."""
        return self.uniform or self.loguniform or self.integer or self.choice or ()


class SearchConfig(Section):
    """Keys of a search; `jobs/configs/tune.yaml` comments each."""

    trials: Count = 8
    concurrent: Count | None = None
    algorithm: Literal["optuna", "random"] = "optuna"
    scheduler: Literal["asha", "none"] = "asha"
    grace_epochs: Count = 1
    keep_one_in: Count = 2
    seed: int = 1
    space: Mapping[str, Range]

    @field_validator("space", mode="before")
    @classmethod
    def _keys_are_dotted(cls, space: Any) -> Any:
        return dotted(space) if isinstance(space, Mapping) else space

    @model_validator(mode="after")
    def _something_is_searched(self) -> SearchConfig:
        if not self.space:
            raise ValueError("space is empty: name a key and its range, for example dpo.beta: {loguniform: [0.03, 3]}")
        if self.keep_one_in < 2:
            raise ValueError(f"keep_one_in={self.keep_one_in} would stop no trial: set scheduler=none, or 2 or more")
        return self


def dotted(space: Mapping[str, Any]) -> dict[str, Any]:
    """Keys written as nested sections, or set with `--set search.space.dpo.beta=...`, under their whole names.

    What is set last wins; a key set to null is not searched.
    """
    return {key: values for key, values in dict(_leaves(space)).items() if values is not None}


def _leaves(space: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in space.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value and not any(kind in value for kind in KINDS):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def load_search(path: str | Path, overrides: Iterable[str] = ()) -> SearchConfig:
    """Read a search from YAML, `key=value` overrides laid over it.

    Raises:
        ConfigError: naming the key as `search.<key>`, what was found and the remedy.
    """
    tree = read_mapping(path, "--search")
    if "space" not in tree:
        raise ConfigError(f"--search {path} has no space: name the keys to search and their ranges under `space:`")
    return parse_section(SearchConfig, tree, overrides, prefix="search.")
