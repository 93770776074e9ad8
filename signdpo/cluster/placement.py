"""Whether nodes can hold what a stage keeps running at the same time: plain arithmetic, without Ray.

Each worker, generator and task must find room on one node, whatever the sum over the nodes: two nodes of four CPUs hold
no worker of eight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from signdpo.config import ConfigError

TINY = 1e-6  # sums of fractions such as 0.1 are not exact
Resources = Mapping[str, float]  # Ray's names: CPU, GPU, and custom ones


@dataclass(frozen=True)
class Part:
    """Some equal workers, generators or tasks.

    Args:
        what: one of them, in words.
        each: the resources of one.
        fewest: without so many the stage waits for ever.
        most: it grows to so many where there is room.
        keys: of the configuration that decide it.
    """

    what: str
    each: Resources
    fewest: int = 1
    most: int = 1
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        count = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most}"
        return f"{count} {self.what}{'s' if self.most > 1 else ''} of {in_words(self.each)}"


@dataclass(frozen=True)
class Demand:
    """What one stage keeps running at the same time.

    Args:
        stage: its name.
        parts: all of it; a stage that does one thing after another has several demands.
    """

    stage: str
    parts: tuple[Part, ...]

    @property
    def total(self) -> dict[str, float]:
        """The least that it needs, by resource."""
        names = {name for part in self.parts for name in part.each}
        return {name: sum(part.fewest * part.each.get(name, 0.0) for part in self.parts) for name in names}

    @property
    def cpus(self) -> float:
        return self.total.get("CPU", 0.0)

    @property
    def gpus(self) -> float:
        return self.total.get("GPU", 0.0)

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU, {self.gpus:g} GPU: {', '.join(map(str, self.parts))}"


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of a kind that an autoscaler may add.

    Args:
        name: of the kind.
        resources: of one node.
        most: so many more than there are now; infinity where there is no limit.
    """

    name: str
    resources: Resources
    most: float = math.inf


@dataclass(frozen=True)
class Inventory:
    """The nodes there are and those that may come.

    Args:
        nodes: resources of each node that is there.
        groups: kinds of nodes that an autoscaler may add.
        most_added: nodes of all groups together.
        name: what to call it in a message.
        remedy: how to make it larger.
    """

    nodes: tuple[Resources, ...]
    groups: tuple[NodeGroup, ...] = ()
    most_added: float = math.inf
    name: str = "the cluster"
    remedy: str = "join larger nodes or more of them"

    def kinds(self) -> list[Resources]:
        """One of each kind of node."""
        return [*self.nodes, *(group.resources for group in self.groups if min(group.most, self.most_added) >= 1)]

    def describe(self) -> str:
        """Each kind of node with its number, for a message."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            counts[in_words(node)] = counts.get(in_words(node), 0) + 1
        there = [f"{count} x {node}" for node, count in counts.items()] or ["no node"]
        added = [
            f"{'any number' if math.isinf(group.most) else f'up to {group.most:g}'} x {in_words(group.resources)} "
            f"({group.name}) to be added"
            for group in self.groups
        ]
        return "; ".join(there + added)


def in_words(resources: Resources) -> str:
    """CPUs, GPUs and custom resources; what Ray keeps for itself is left out."""
    shown = {name: amount for name, amount in resources.items() if _is_asked_for(name)}
    return ", ".join(f"{amount:g} {name}" for name, amount in sorted(shown.items())) or "0 CPU"


def _is_asked_for(name: str) -> bool:
    return name not in ("memory", "object_store_memory") and not name.startswith(("node:", "accelerator_type:"))


def check_placement(demands: Iterable[Demand], inventory: Inventory) -> None:
    """Raise `ConfigError` for the first demand that can never be met, with what is lacking and the keys to change."""
    for demand in demands:
        for part in demand.parts:
            _check_part(demand, part, inventory)
        lacking = _first_without_room(demand.parts, inventory)
        if lacking is not None:
            raise ConfigError(
                f"the {demand.stage} stage needs {in_words(demand.total)} at a time "
                f"({', '.join(map(str, demand.parts))}), and {inventory.name} has {inventory.describe()}: no node has "
                f"room left for {'a' if lacking.fewest == 1 else 'every'} {lacking.what} of {in_words(lacking.each)}. "
                f"{_remedy(demand.parts, inventory)}"
            )


def copies_that_fit(copy: Iterable[Part], beside: Iterable[Part], inventory: Inventory, *, most: int) -> int:
    """How often all of some parts find room at the same time, beside others that are needed once; `most` at most."""
    copy, beside = list(copy), list(beside)
    for count in range(1, most + 1):
        copies = [replace(part, fewest=count * part.fewest, most=count * part.most) for part in copy]
        if _first_without_room([*copies, *beside], inventory) is not None:
            return count - 1
    return most


def _check_part(demand: Demand, part: Part, inventory: Inventory) -> None:
    """Raise `ConfigError` if not even an empty node holds one of a part."""
    kinds = inventory.kinds()
    if any(_Node(kind).holds(part.each) for kind in kinds):
        return
    most = {name: max((kind.get(name, 0.0) for kind in kinds), default=0.0) for name in part.each}
    short = {name: most[name] for name, asked in part.each.items() if asked > most[name] + TINY}
    found = f"no node has more than {in_words(short)}" if short else "no node has all of that"
    raise ConfigError(
        f"the {demand.stage} stage has a {part.what} of {in_words(part.each)}, and {found} ({inventory.name} has "
        f"{inventory.describe()}). {_remedy([part], inventory)}"
    )


def _remedy(parts: Iterable[Part], inventory: Inventory) -> str:
    parts = list(parts)
    keys = dict.fromkeys(key for part in parts for key in part.keys)
    without_gpus = ", or set resources.use_gpu=false" if any("GPU" in part.each for part in parts) else ""
    return f"Lower {', '.join(keys)}{without_gpus}, or {inventory.remedy}"


@dataclass
class _Node:
    """What is still free on a node; GPUs one by one, since a share of a GPU comes from a single one."""

    resources: Resources
    free: dict[str, float] = field(init=False)
    gpus: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.free = {name: amount for name, amount in self.resources.items() if _is_asked_for(name) and name != "GPU"}
        self.gpus = [1.0] * int(self.resources.get("GPU", 0))

    def holds(self, asked: Resources) -> bool:
        others = (name for name in asked if name != "GPU")
        return all(asked[name] <= self.free.get(name, 0.0) + TINY for name in others) and (
            asked.get("GPU", 0.0) <= 0 or self._devices(asked["GPU"]) is not None
        )

    def take(self, asked: Resources) -> None:
        for name, amount in asked.items():
            if name != "GPU":
                self.free[name] -= amount
        if asked.get("GPU", 0.0) > 0:
            for device in self._devices(asked["GPU"]) or []:
                self.gpus[device] -= min(asked["GPU"], 1.0)

    def _devices(self, asked: float) -> list[int] | None:
        """The fullest device with room for a share, or whole ones."""
        count = max(1, round(asked))
        share = min(asked, 1.0)
        fitting = sorted((free, device) for device, free in enumerate(self.gpus) if free + TINY >= share)
        return [device for _, device in fitting[:count]] if len(fitting) >= count else None

    def waste(self, asked: Resources) -> tuple[int, float]:
        """How ill it would be used: kinds of resources on it that are not asked for, then CPUs left over."""
        kinds = {name for name, amount in self.resources.items() if _is_asked_for(name) and amount > 0}
        return len(kinds - set(asked)), self.free.get("CPU", 0.0)


def _first_without_room(parts: Iterable[Part], inventory: Inventory) -> Part | None:
    """First-fit decreasing: the most demanding first, where it wastes least; a node is added when none has room."""
    nodes = [_Node(resources) for resources in inventory.nodes]
    added = {group.name: 0 for group in inventory.groups}
    for part in _most_demanding_first(parts):
        fitting = [node for node in nodes if node.holds(part.each)]
        if not fitting:
            new = [
                (node, group)
                for group in inventory.groups
                if added[group.name] < group.most and sum(added.values()) < inventory.most_added
                if (node := _Node(group.resources)).holds(part.each)
            ]
            if not new:
                return part
            node, group = min(new, key=lambda pair: pair[0].waste(part.each))
            added[group.name] += 1
            nodes.append(node)
            fitting = [node]
        min(fitting, key=lambda node: node.waste(part.each)).take(part.each)
    return None


def _most_demanding_first(parts: Iterable[Part]) -> Iterator[Part]:
    def size(part: Part) -> tuple[float, int, float]:
        return part.each.get("GPU", 0.0), len(part.each), part.each.get("CPU", 0.0)

    for part in sorted(parts, key=size, reverse=True):
        yield from [part] * part.fewest
