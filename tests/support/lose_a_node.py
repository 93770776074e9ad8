"""Align on a cluster of three nodes and lose one: `lose_a_node.py DIRECTORY CLASS OVERRIDE...`.

The node lost is one that runs an actor of the class, as soon as there is a checkpoint, and rather one that runs nothing
else of the run. A process of its own, since one process belongs to one cluster.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray._private.state import actors
from ray.cluster_utils import Cluster
from rich.console import Console

from signdpo.cluster.plan import start_ray
from signdpo.config import load_config
from signdpo.pipeline.stage import Results, finished, run_stage
from signdpo.pipeline.stages import stages_of
from signdpo.run_context import RunContext


def lose_node(cluster: Cluster, directory: Path, kind: str) -> None:
    """Kill the raylet of a node with such an actor once the trainer has written a checkpoint."""
    while not list(directory.glob("align/training-*/*/checkpoint_*/progress.json")):
        time.sleep(0.1)
    homes: dict[str, list[str]] = {}
    for actor in actors().values():
        if actor["State"] == "ALIVE" and actor["ActorClassName"].startswith(("MapWorker", "RayTrainWorker")):
            homes.setdefault(actor["Address"]["NodeID"], []).append(actor["ActorClassName"])
    candidates = [node for node in cluster.worker_nodes if kind in _kinds(homes.get(node.node_id, []))]
    lost = min(candidates, key=lambda node: len(set(_kinds(homes[node.node_id]))))
    print("loses a node with", *homes[lost.node_id], flush=True)
    cluster.remove_node(lost, allow_graceful=False)


def _kinds(names: list[str]) -> list[str]:
    return [name.partition("(")[0] for name in names]


def main() -> None:
    directory, kind, overrides = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    # The head has no room for trainer or generators, and the node that is left has room for all.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "resources": {"head": 1}})
    small: dict[str, Any] = {"num_cpus": 4, "object_store_memory": 100 * 1024**2}
    for _ in range(2):
        cluster.add_node(**small)
    os.environ["RAY_ADDRESS"] = cluster.address
    config = load_config(None, overrides)
    start_ray(config)
    threading.Thread(target=lose_node, args=(cluster, directory, kind), daemon=True).start()
    context = RunContext(config, str(directory), Console())
    before = Results()
    for stage in stages_of(config):
        outputs = finished(context, stage, before)
        before.add(stage, run_stage(context, stage, before) if outputs is None else outputs)
        if stage.name == "evaluation":
            break
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
