"""What an autoscaler may still add to a cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import yaml
from ray._private.state import state

from signdpo.cluster.placement import Inventory, NodeGroup, Resources, in_words

# Where `ray up` puts the configuration that the autoscaler works from, on the head node only.
BOOTSTRAP_FILE = "~/ray_bootstrap_config.yaml"


def autoscaled(nodes: Sequence[Resources]) -> Inventory | None:
    """The inventory of an autoscaled cluster that has these nodes; None where no autoscaler tells what it may add.

    Platforms that manage Ray report it to the cluster. `ray up` does not, but leaves it in a file on the head node,
    where `ray job submit` runs its drivers. What KubeRay may add is known to neither.
    """
    reported = state.get_cluster_config()
    if reported is not None and reported.node_group_configs:
        groups = {group.name: (dict(group.resources), group.max_count) for group in reported.node_group_configs}
        limits = {name: (resources, math.inf if most < 0 else most) for name, (resources, most) in groups.items()}
        return _inventory(nodes, limits)
    file = Path(BOOTSTRAP_FILE).expanduser()
    if _on_head_node() and file.exists():
        return of_cluster_file(yaml.safe_load(file.read_text()), nodes)
    return None


def of_cluster_file(cluster: Mapping[str, Any], nodes: Sequence[Resources] | None = None) -> Inventory:
    """The inventory of a cluster that `ray up` makes of a configuration.

    Args:
        cluster: the content of a cluster.yaml.
        nodes: resources of the nodes that are there; None before there is any, when the head node will be the first.
    """
    types, head = cluster["available_node_types"], cluster["head_node_type"]
    most = cluster.get("max_workers", math.inf)
    limits = {
        name: (kind.get("resources", {}), kind.get("max_workers", most)) for name, kind in types.items() if name != head
    }
    if nodes is None:
        nodes = [types[head].get("resources", {})]
    return _inventory(nodes, limits, most - (len(nodes) - 1))


def _inventory(
    nodes: Sequence[Resources], limits: Mapping[str, tuple[Resources, float]], most_added: float = math.inf
) -> Inventory:
    there = [in_words(node) for node in nodes]
    groups = [
        NodeGroup(name, resources, most - there.count(in_words(resources)))
        for name, (resources, most) in limits.items()
    ]
    return Inventory(
        tuple(nodes),
        tuple(group for group in groups if group.most >= 1),
        most_added,
        remedy="let the autoscaler add larger nodes, or more of them (max_workers)",
    )


def _on_head_node() -> bool:
    heads = {node["NodeID"] for node in ray.nodes() if "node:__internal_head__" in node["Resources"]}
    return ray.get_runtime_context().get_node_id() in heads
