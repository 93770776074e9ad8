"""What the generators ask of Ray is what the plan of resources counts."""

from __future__ import annotations

import pytest
import ray.data

from signdpo.config import load_config
from signdpo.data.actor_pool import on_actors
from signdpo.pipeline.actors import Translate


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("preset", ["laptop", "gpu_node", "cluster"])
def test_generators_get_whole_blocks_and_what_the_preset_says(preset: str) -> None:
    config = load_config(None, [f"resources={preset}"])
    generators = on_actors(ray.data.range(4), Translate, (config, {}), config)._logical_plan.dag
    assert generators.batch_size is None
    asked = dict(generators.ray_remote_args)
    given = {"CPU": asked.pop("num_cpus"), "GPU": asked.pop("num_gpus", None) or 0} | asked.pop("resources", {})
    assert not asked
    assert given == {"GPU": 0} | config.resources.of_generator()
    assert (generators.compute.min_size, generators.compute.max_size) == config.resources.generators
