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
    generator_timeout_seconds: Positive = 900.0
    stall_seconds: Positive = 600.0
    give_up_seconds: Positive = 7200.0
    max_failures: int = Field(default=3, ge=-1)
    keep_checkpoints: Count = 2

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
