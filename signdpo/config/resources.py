"""Keys of `resources`: what a run asks of the cluster."""

from __future__ import annotations

from pydantic import Field, model_validator

from signdpo.config.base import Count, NonNegative, Positive, Section


class ResourcesConfig(Section):
    num_cpus: Count = 4
    use_gpu: bool = False
    workers: Count = 1
    cpus_per_worker: Positive = 1.0
    gpus_per_worker: Positive = 1.0
    pretrain_workers: Count = 1
    cpus_per_pretrain_worker: Positive = 2.0
    generators: tuple[Count, Count] = (1, 2)
    cpus_per_generator: Positive = 0.5
    gpus_per_generator: NonNegative = 0.0
    stall_seconds: Positive = 600.0
    max_failures: int = Field(default=3, ge=-1)
    keep_checkpoints: Count = 2

    @model_validator(mode="after")
    def _generators_are_a_range(self) -> ResourcesConfig:
        if self.generators[0] > self.generators[1]:
            raise ValueError(f"generators must be [min, max] with min <= max, got {list(self.generators)}")
        return self
