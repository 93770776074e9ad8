"""How many trials run at a time, and what a person is told before any of them does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from signdpo.cluster.placement import Demand, Inventory, Part, copies_that_fit
from signdpo.cluster.plan import DATA_TASK, generators, trainers
from signdpo.config import Config, ConfigError, lay_over
from signdpo.data.stream import READ_CPUS
from signdpo.tuning.settings import Range, SearchConfig
from signdpo.tuning.space import MINED_WITH, Space

TRIAL_CPUS = 0.01  # of the process that drives a trial and mostly waits; taken from its reading task's share


@dataclass(frozen=True)
class TrialCapacity:
    """How many trials there is room for at a time.

    Args:
        trials: number of trials.
        why: what one takes, and what there is.
    """

    trials: int
    why: str


def trial_capacity(
    config: Config, inventory: Inventory, *, trials: int, concurrent: int | None = None
) -> TrialCapacity:
    """As many trials as nodes that are there or may come can hold, and no more than are allowed.

    Args:
        config: of any trial.
        inventory: nodes.
        trials: number of trials in all.
        concurrent: the most at a time.

    Raises:
        ConfigError: if not even one fits.
    """
    resources = config.resources
    workers = trainers(resources, "worker", resources.workers)
    parts = [workers, Part("reading task", {"CPU": READ_CPUS})]
    if config.negatives.mode == "stream":
        parts.append(generators(fewest_generators(config).resources))
    trial, beside = Demand("trial", tuple(parts)), [DATA_TASK]
    fit = copies_that_fit(trial.parts, beside, inventory, most=trials)
    once = ", ".join(map(str, beside))
    plan = f"a trial takes {trial}; beside them {once}; {inventory.name} has {inventory.describe()}"
    if fit < 1:
        raise ConfigError(f"{plan}: not one fits. Lower {', '.join(workers.keys)}, or {inventory.remedy}")
    return TrialCapacity(min(fit, concurrent or fit), plan)


def fewest_generators(config: Config) -> Config:
    """A trial's configuration: generators of several trials would each grow into what the others leave free."""
    least, _ = config.resources.generators
    return lay_over(config, {"resources.generators": [least, least]})


def show_search(console: Console, space: Space, search: SearchConfig, capacity: TrialCapacity) -> None:
    """The space and the plan of a search, before anything starts."""
    table = Table(title="Search space", title_justify="left")
    for column in ("key", "values", "base"):
        table.add_column(column)
    base = space.base.model_dump(mode="json")
    for key, values in space.ranges.items():
        table.add_row(key, describe(values), _value_at(base, key))
    console.print(table)
    console.print(
        f"{search.trials} trials by {search.algorithm} and {search.scheduler}, {capacity.trials} at a time; "
        f"{capacity.why}",
        markup=False,
    )
    for remark in remarks(space, search):
        console.print(f"note: {remark}", style="yellow", markup=False)


def remarks(space: Space, search: SearchConfig) -> list[str]:
    """What a person may not expect of this search."""
    found = []
    if deciding := space.deciding_negatives():
        found.append(f"{', '.join(deciding)} decide the negatives: each trial makes its own while it trains")
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
