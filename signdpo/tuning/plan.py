"""How many trials run at a time, and what a person is told before any of them does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ray
from rich.console import Console
from rich.table import Table

from signdpo.config import ConfigError
from signdpo.pipeline.cluster import FREE_CPUS
from signdpo.pipeline.stream import READ_CPUS
from signdpo.tuning.settings import Range, SearchConfig
from signdpo.tuning.space import MINED_WITH, Space

ROUNDING = 1e-9  # of sums of fractions
TRIAL_CPUS = 0.01  # of the process that drives a trial and mostly waits; taken from its reading task's share


@dataclass(frozen=True)
class Room:
    """What the cluster holds at a time.

    Args:
        trials: that run at the same time.
        why: the arithmetic.
    """

    trials: int
    why: str


def room_for_trials(space: Space, search: SearchConfig) -> Room:
    """As many trials as the cluster can place, and as the search allows.

    Raises:
        ConfigError: if not even one fits.
    """
    resources, total = space.base.resources, ray.cluster_resources()
    workers, generators = resources.workers, resources.generators[0] if space.deciding_negatives() else 0
    cpus, free = workers * resources.cpus_per_worker + READ_CPUS, FREE_CPUS + generators * resources.cpus_per_generator
    gpus = workers * resources.gpus_per_worker if resources.use_gpu else 0.0
    fit = math.floor((total.get("CPU", 0.0) - free) / cpus + ROUNDING)
    if gpus:
        left = total.get("GPU", 0.0) - generators * resources.gpus_per_generator
        fit = min(fit, math.floor(left / gpus + ROUNDING))
    each = f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
    parts = f"{workers} training worker(s) of {resources.cpus_per_worker:g} CPU, a reading task of {READ_CPUS:g}"
    beside = f"{FREE_CPUS:g} CPU free" + (f", {generators} generator(s) for all" if generators else "")
    there = f"{total.get('CPU', 0.0):g} CPUs and {total.get('GPU', 0.0):g} GPUs"
    if fit < 1:
        raise ConfigError(
            f"a trial needs {each} ({parts}) beside {beside}, the cluster has {there}: lower resources.workers or the "
            "CPUs and GPUs of each, or raise resources.num_cpus"
        )
    trials = min(fit, search.trials, search.concurrent or fit)
    return Room(trials, f"{each} each ({parts}), {beside}, of {there}: {fit} would fit")


def show_search(console: Console, space: Space, search: SearchConfig, room: Room) -> None:
    """The space and the plan of a search, before anything starts."""
    table = Table(title="Search space", title_justify="left")
    for column in ("key", "values", "base"):
        table.add_column(column)
    base = space.base.model_dump(mode="json")
    for key, values in space.ranges.items():
        table.add_row(key, describe(values), _value_at(base, key))
    console.print(table)
    console.print(
        f"{search.trials} trials by {search.algorithm} and {search.scheduler}, {room.trials} at a time; {room.why}",
        markup=False,
    )
    for remark in remarks(space, search):
        console.print(f"note: {remark}", style="yellow", markup=False)


def remarks(space: Space, search: SearchConfig) -> list[str]:
    """What a person may not expect of this search."""
    found = []
    if deciding := space.deciding_negatives():
        found.append(f"{', '.join(deciding)} decide the negatives: each new setting of them makes its own first")
    if mined := [key for key in space.ranges if key.startswith(MINED_WITH)]:
        found.append(
            f"all trials share a perturber mined with the base's {', '.join(mined)}; a run with other values mines anew"
        )
    if search.scheduler == "asha" and space.most_epochs() <= search.grace_epochs:
        found.append(
            f"asha can stop no trial: dpo.epochs={space.most_epochs()} is no more than "
            f"search.grace_epochs={search.grace_epochs}"
        )
    return found


def describe(values: Range) -> str:
    """A range in words."""
    if values.choice is not None:
        return " | ".join(map(str, values.choice))
    low, high = values.corners
    scale = {"loguniform": ", logarithmic", "integer": ", whole"}
    kind = next(kind for kind in ("uniform", "loguniform", "integer") if getattr(values, kind) is not None)
    return f"{low:g} to {high:g}{scale.get(kind, '')}"


def _value_at(tree: dict[str, Any], key: str) -> str:
    value: Any = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)
