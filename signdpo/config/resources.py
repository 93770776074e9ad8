"""Keys of `resources`: what a run asks of the cluster, and presets of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from signdpo.config.base import Count, NonNegative, Positive, Section, did_you_mean

BUILT_IN = {"CPU", "GPU", "memory", "object_store_memory"}  # Ray's own resources

# What each preset changes of the defaults. `resources: NAME` and `--set resources=NAME` begin with one of them.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The defaults: everything on the CPUs of one machine.
    "laptop": {},
    # One machine with 16 CPUs and a GPU of about 80 GB, which the trainer and its generators share.
    "gpu_node": {
        "num_cpus": 16,
        "use_gpu": True,
        "cpus_per_worker": 4.0,
        "gpus_per_worker": 0.6,
        "cpus_per_pretrain_worker": 4.0,
        "generators": [2, 3],
        "cpus_per_generator": 2.0,
        "gpus_per_generator": 0.1,
    },
    # The nodes of cluster.yaml: a trainer has a GPU to itself, two generators share one, and each kind of node has a
    # resource of its own, so that generators come to nodes that may vanish and trainers never do.
    "cluster": {
        "use_gpu": True,
        "workers": 2,
        "cpus_per_worker": 8.0,
        "gpus_per_worker": 1.0,
        "worker_resources": {"trainer_slot": 1},
        "pretrain_workers": 2,
        "cpus_per_pretrain_worker": 8.0,
        "generators": [1, 8],
        "cpus_per_generator": 3.0,
        "gpus_per_generator": 0.5,
        "generator_resources": {"generator_slot": 1},
        "stall_seconds": 1800.0,  # a GPU node takes some ten minutes to come up
    },
}


class ResourcesConfig(Section):
    num_cpus: Count = 4
    use_gpu: bool = False
    workers: Count = 1
    cpus_per_worker: Positive = 1.0
    gpus_per_worker: Positive = 1.0
    worker_resources: Mapping[str, Positive] = {}
    pretrain_workers: Count = 1
    cpus_per_pretrain_worker: Positive = 1.0
    generators: tuple[Count, Count] = (1, 2)
    cpus_per_generator: Positive = 0.5
    gpus_per_generator: NonNegative = 0.0
    generator_resources: Mapping[str, Positive] = {}
    generator_timeout_seconds: Positive = 900.0
    stall_seconds: Positive = 600.0
    give_up_seconds: Positive = 7200.0
    lease_seconds: Positive = 120.0
    max_failures: int = Field(default=3, ge=-1)
    keep_checkpoints: Count = 2

    @field_validator("gpus_per_worker", "gpus_per_generator")
    @classmethod
    def _gpus_are_whole_or_a_share_of_one(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError("more than one GPU must be a whole number, since Ray shares single GPUs only")
        return gpus

    @field_validator("worker_resources", "generator_resources")
    @classmethod
    def _resources_are_custom(cls, resources: Mapping[str, float]) -> Mapping[str, float]:
        for name in BUILT_IN & resources.keys():
            raise ValueError(f"{name} is Ray's own: it has keys of its own, such as cpus_per_worker")
        return resources

    @model_validator(mode="after")
    def _generators_are_a_range(self) -> ResourcesConfig:
        if self.generators[0] > self.generators[1]:
            raise ValueError(f"generators must be [min, max] with min <= max, got {list(self.generators)}")
        return self

    @model_validator(mode="after")
    def _warnings_come_first(self) -> ResourcesConfig:
        longest = max(self.stall_seconds, self.generator_timeout_seconds)
        if self.give_up_seconds <= longest:
            raise ValueError(
                f"give_up_seconds={self.give_up_seconds:g} must be more than stall_seconds={self.stall_seconds:g} and "
                f"generator_timeout_seconds={self.generator_timeout_seconds:g}"
            )
        return self

    def of_worker(self, cpus: float) -> dict[str, float]:
        """What Ray reserves for one training worker, by resource; `cpus` differ between the stages."""
        gpus = {"GPU": self.gpus_per_worker} if self.use_gpu else {}
        return {"CPU": cpus, **gpus, **self.worker_resources}

    def of_generator(self) -> dict[str, float]:
        """What Ray reserves for one generator, by resource."""
        gpus = {"GPU": self.gpus_per_generator} if self.use_gpu and self.gpus_per_generator else {}
        return {"CPU": self.cpus_per_generator, **gpus, **self.generator_resources}


def lay_preset(given: Any) -> Any:
    """The section `resources` as it is given, with a preset's name replaced by all its values.

    Args:
        given: a preset's name, or a mapping of keys, `preset` among them or not.

    Returns:
        Every key, where a preset is named: what was set before does not show through it. Else what is given.

    Raises:
        ValueError: with the nearest name, if there is no such preset.
    """
    name = given.get("preset") if isinstance(given, Mapping) else given
    if not isinstance(name, str):
        return given
    if name not in PRESETS:
        raise ValueError(f"resources={name} is not a preset{did_you_mean(name, PRESETS)}")
    own = {key: value for key, value in given.items() if key != "preset"} if isinstance(given, Mapping) else {}
    return ResourcesConfig().model_dump(mode="json") | copy.deepcopy(dict(PRESETS[name])) | own
