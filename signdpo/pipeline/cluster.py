"""The plan of resources: what a run needs, whether the cluster can give it, and how Ray is started."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from signdpo.config import Config, ConfigError

# Ray Data's own tasks want one whole logical CPU now and then; without it a run hangs without a word.
FREE_CPUS = 1.0

WORKER_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}

# A Ray started here, for one person: its inner remarks (that actors keep their arguments in the object store, that more
# processes start than there are cores) would fill the terminal. They stay in Ray's log files.
LOCAL_ENVIRONMENT = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_worker_maximum_startup_concurrency": "16"}


@dataclass(frozen=True)
class Demand:
    """What one stage keeps running at the same time.

    Args:
        stage: its name.
        cpus, gpus: logical, the free CPU included.
        parts: what they are for, for the printed plan.
    """

    stage: str
    cpus: float
    gpus: float
    parts: str


def demands(config: Config) -> list[Demand]:
    """The resources of each stage that trains or generates."""
    resources = config.resources
    gpu = resources.gpus_per_worker if resources.use_gpu else 0.0
    generators = resources.generators[0]
    pretrain = resources.pretrain_workers * resources.cpus_per_pretrain_worker
    align = resources.workers * resources.cpus_per_worker + generators * resources.cpus_per_generator
    return [
        Demand(
            "pretrain",
            pretrain + FREE_CPUS,
            resources.pretrain_workers * gpu,
            f"{resources.pretrain_workers} training worker(s) of {resources.cpus_per_pretrain_worker:g} CPU, 1 free",
        ),
        Demand(
            "align",
            align + FREE_CPUS,
            resources.workers * gpu + generators * resources.gpus_per_generator,
            f"{resources.workers} training worker(s) of {resources.cpus_per_worker:g} CPU, {generators} to "
            f"{resources.generators[1]} generators of {resources.cpus_per_generator:g} CPU, 1 free",
        ),
    ]


def start_ray(config: Config) -> None:
    """Join the cluster this job was submitted to, or start Ray here with `resources.num_cpus` logical CPUs."""
    for name, value in WORKER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not ray.is_initialized():
        settings: dict[str, Any] = {}
        if "RAY_ADDRESS" not in os.environ:
            settings["num_cpus"] = config.resources.num_cpus
            for name, value in LOCAL_ENVIRONMENT.items():
                os.environ.setdefault(name, value)
        ray.init(log_to_driver=False, logging_level="ERROR", **settings)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True  # else only its text comes back, and nothing can tell what it was


def on_this_node() -> NodeAffinitySchedulingStrategy:
    """Where actors belong that a run cannot do without: they are lost with the driver, not with another node."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def check_resources(config: Config) -> list[Demand]:
    """The plan, if the cluster can place it.

    Raises:
        ConfigError: naming the stage, what it needs, what there is and which keys to change.
    """
    total = ray.cluster_resources()
    planned = demands(config)
    for demand in planned:
        for kind, needed in (("CPU", demand.cpus), ("GPU", demand.gpus)):
            if needed > total.get(kind, 0.0):
                raise ConfigError(
                    f"the {demand.stage} stage needs {needed:g} {kind}s ({demand.parts}), the cluster has "
                    f"{total.get(kind, 0.0):g}: lower resources.workers, resources.generators or the CPUs of each"
                    + (", or raise resources.num_cpus" if kind == "CPU" else ", or set resources.use_gpu=false")
                )
    return planned
