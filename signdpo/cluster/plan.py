"""The plan of resources: what stages ask for, whether the cluster can give it, and how Ray is started."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import ray
import ray.data

from signdpo.cluster.autoscaling import autoscaled
from signdpo.cluster.joining import join_ray, starts_here
from signdpo.cluster.placement import Demand, Inventory, Part, check_placement
from signdpo.config import Config, ResourcesConfig

# Ray Data's own tasks want one whole logical CPU now and then; without it a run hangs without a word.
DATA_TASK = Part("Ray Data task", {"CPU": 1.0})

WORKER_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}

# A Ray started here, for one person: its inner remarks (that actors keep their arguments in the object store, that more
# processes start than there are cores) would fill the terminal. They stay in Ray's log files.
LOCAL_ENVIRONMENT = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_worker_maximum_startup_concurrency": "16"}


def generators(resources: ResourcesConfig) -> Part:
    """The actors that make negatives, mine or translate."""
    least, most = resources.generators
    return Part("generator", resources.of_generator(), least, most, _keys(resources, "generator"))


def trainers(resources: ResourcesConfig, name: str, count: int) -> Part:
    """Training workers of a kind, `worker` or `pretrain_worker`, that work together."""
    each = resources.of_worker(getattr(resources, f"cpus_per_{name}"))
    return Part("training worker", each, count, count, _keys(resources, name))


def _keys(resources: ResourcesConfig, name: str) -> tuple[str, ...]:
    """The keys that say how many of something there are and what each takes."""
    kind = name.removeprefix("pretrain_")
    gpus = (f"resources.gpus_per_{kind}",) if resources.use_gpu else ()
    custom = (f"resources.{kind}_resources",) if getattr(resources, f"{kind}_resources") else ()
    return f"resources.{name}s", f"resources.cpus_per_{name}", *gpus, *custom


def begin_ray(config: Config, demands: Sequence[Demand]) -> None:
    """Start or join Ray. Raises `ConfigError` if the demands can never be met, where it can before Ray is started."""
    if starts_here():
        check_demands(config, demands)
    start_ray(config)
    check_demands(config, demands)


def check_demands(config: Config, demands: Sequence[Demand]) -> None:
    """Check that the nodes that there are or may come can hold each of the demands.

    Where Ray is yet to be started here this is arithmetic alone, and takes no time.

    Raises:
        ConfigError: naming the stage, what it needs, what there is and which keys to change.
    """
    check_placement(demands, _machine(config) if starts_here() else joined_cluster())


def start_ray(config: Config) -> None:
    """Join the cluster this job was submitted to, or start Ray here with `resources.num_cpus` logical CPUs.

    Raises:
        ConfigError: as `join_ray` does.
    """
    for name, value in WORKER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not ray.is_initialized():
        settings: dict[str, Any] = {}
        if starts_here():
            # Not without an address: that would join whatever Ray was last started on this machine.
            settings = {"address": "local", "num_cpus": config.resources.num_cpus}
            for name, value in LOCAL_ENVIRONMENT.items():
                os.environ.setdefault(name, value)
        join_ray(**settings)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it logs as an error it raises as well
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def _machine(config: Config) -> Inventory:
    """The one node that Ray will be on this machine."""
    num_cpus = config.resources.num_cpus
    node: dict[str, float] = {"CPU": num_cpus}
    if config.resources.use_gpu:
        import torch  # knows them; too heavy for Ray's own processes, which import what lies around this module

        node["GPU"] = torch.cuda.device_count()
    return Inventory(
        (node,),
        name="this machine",
        remedy=f"raise resources.num_cpus={num_cpus}, which may be more than there are",
    )


def joined_cluster() -> Inventory:
    """The nodes of the cluster that this process has joined, and those that its autoscaler may add."""
    nodes = tuple(node["Resources"] for node in ray.nodes() if node["Alive"])
    return autoscaled(nodes) or Inventory(nodes)
