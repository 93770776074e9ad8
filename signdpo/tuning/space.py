"""The search space over a base configuration: what may be searched, and that every corner of it can be run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray import tune

from signdpo.config import Config, ConfigError, lay_over
from signdpo.dpo.losses import loss_of
from signdpo.levels import LEVELS
from signdpo.negatives.skeleton.negative import check_operations
from signdpo.pipeline.stage import settings_of
from signdpo.pipeline.stages.negatives import Negatives
from signdpo.tuning.settings import CACHED, Range, Value

# Keys that a search cannot vary, and why.
NOT_SEARCHED = {
    "seed": "trials with other seeds differ by luck; search.seed is the search's own",
    "dpo.seed": "trials with other seeds differ by luck; search.seed is the search's own",
    "corpus": "all trials share the clips",
    "policy": "all trials align the same baseline",
    "pretrain": "all trials align the same baseline",
    "dpo.select_by": "trials can be compared only if they are scored alike",
    "evaluation": "trials can be compared only if they are scored alike",
    "resources": "they decide how a trial runs, not what it learns",
    "negatives.mode": "trials read cached negatives, or make those that their settings decide",
    "negatives.cache": "trials read cached negatives, or make those that their settings decide",
    "negatives.levels": "trials share the levels that any of them teaches",
    "negatives.policy": "trials can be compared only if the reference guides their negatives",
    "negatives.refresh_every": "trials can be compared only if the reference guides their negatives",
    "negatives.perturber": "all trials share the language perturber",
}
# Whose value the perturber depends on, too: it is mined from distorted clips.
MINED_WITH = ("negatives.operations.", "negatives.strength.")


@dataclass(frozen=True)
class Space:
    """A base configuration and the ranges of some of its keys.

    Args:
        base: what all trials have in common, and where they start from.
        ranges: key -> its range.
    """

    base: Config
    ranges: Mapping[str, Range]

    @classmethod
    def of(cls, base: Config, ranges: Mapping[str, Range]) -> Space:
        """Check every key and every corner; trials share cached negatives, unless keys that decide them are searched.

        Raises:
            ConfigError: naming the key, if trials must share it, if it does not exist, or if an end of its range, alone
                or with one of another key's, cannot be run.
        """
        space = cls(lay_over(base, CACHED), ranges)
        for key in ranges:
            for shared, reason in NOT_SEARCHED.items():
                if key == shared or key.startswith(f"{shared}."):
                    raise ConfigError(f"search.space.{key} cannot be searched: {reason}")
        for keys in (*itertools.combinations(ranges, 1), *itertools.combinations(ranges, 2)):
            for corner in itertools.product(*(ranges[key].corners for key in keys)):
                space._check(dict(zip(keys, corner, strict=True)))
        space = cls(lay_over(space.base, {"negatives.levels": space.taught_levels()}), ranges)
        if base.negatives.cache is not None and (deciding := space.deciding_negatives()):
            raise ConfigError(
                f"negatives.cache={base.negatives.cache} holds the negatives of one setting, and the search varies "
                f"them by {', '.join(deciding)}: set negatives.cache=null, or take these keys out of search.space"
            )
        return cls(lay_over(base, {"negatives.mode": "stream"}), ranges) if space.deciding_negatives() else space

    def _check(self, settings: dict[str, Value]) -> None:
        try:
            config = self.config(settings)
            check_operations(config.negatives)
            loss_of(config.dpo)
        except ConfigError as error:
            found = ", ".join(f"{key}={value}" for key, value in settings.items())
            raise ConfigError(f"search.space, at its corner {found}: {error}") from error

    def config(self, settings: Mapping[str, Any]) -> Config:
        """The configuration of a trial."""
        return lay_over(self.base, settings)

    def taught_levels(self) -> list[str]:
        """The levels that any trial teaches, which negatives that all trials share must have."""
        corners = [self.config({key: corner}) for key, values in self.ranges.items() for corner in values.corners]
        return [level for level in LEVELS if any(level in config.dpo.levels for config in [self.base, *corners])]

    def deciding_negatives(self) -> list[str]:
        """The searched keys that decide the negatives, so that other values need others."""
        own = _deciding_negatives(self.base)
        return [
            key
            for key, values in self.ranges.items()
            if any(_deciding_negatives(self.config({key: corner})) != own for corner in values.corners)
        ]

    def most_epochs(self) -> int:
        """Of any trial."""
        epochs = self.ranges.get("dpo.epochs")
        return (
            max(self.config({"dpo.epochs": corner}).dpo.epochs for corner in epochs.corners)
            if epochs
            else self.base.dpo.epochs
        )

    def domains(self) -> dict[str, Any]:
        """The space as Ray Tune knows it."""
        return {key: _domain(values) for key, values in self.ranges.items()}


def _deciding_negatives(config: Config) -> dict[str, Any]:
    return settings_of(config, Negatives().reads(config))


def _domain(values: Range) -> Any:
    if values.uniform is not None:
        return tune.uniform(*values.uniform)
    if values.loguniform is not None:
        return tune.loguniform(*values.loguniform)
    if values.integer is not None:
        return tune.randint(values.integer[0], values.integer[1] + 1)
    return tune.choice(list(values.choice or ()))
