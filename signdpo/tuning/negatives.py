"""Negatives of settings that need their own: made once each, however many trials ask, and one setting after another.

Two pools of generators at a time would each grow into what the other, and the trials, leave free.
"""

from __future__ import annotations

from typing import Any

import ray
from rich.console import Console

from signdpo.cluster.plan import start_ray
from signdpo.config import Config, lay_over
from signdpo.data.cache import deciding_settings
from signdpo.data.stream import ClipStore
from signdpo.pipeline.stage import Outputs, RunContext, input_key
from signdpo.pipeline.stages.align import alignment_cache
from signdpo.tuning.plan import TRIAL_CPUS


@ray.remote(num_cpus=0)
class NegativesDesk:
    """Where trials ask for their negatives; those of equal settings get the same task to wait for.

    Args:
        directory: of the search.
        before: outputs of the stages before the alignment.
        store: the training clips.
    """

    def __init__(self, directory: str, before: dict[str, Outputs], store: ClipStore) -> None:
        self.arguments = (directory, before, store)
        self.tasks: dict[str, ray.ObjectRef] = {}
        self.last: list[ray.ObjectRef] = []

    def ask(self, config: Config) -> list[ray.ObjectRef]:
        """The task that makes the negatives of these settings, in a list so that Ray does not wait for it."""
        key = input_key(deciding_settings(config))
        if key not in self.tasks:
            self.tasks[key] = _make.remote(config, *self.arguments, self.last)
            self.last = [self.tasks[key]]
        return [self.tasks[key]]


@ray.remote(num_cpus=TRIAL_CPUS)
def _make(
    config: Config, directory: str, before: dict[str, Outputs], store: ClipStore, earlier: list[ray.ObjectRef]
) -> None:
    """Write the negatives of these settings once the earlier ones are made, or have failed."""
    if earlier:
        ray.wait(earlier)
    least, _ = config.resources.generators
    config = lay_over(config, {"resources.generators": [least, least]})
    start_ray(config)
    alignment_cache(RunContext(config, directory, Console()), before, store)


def await_negatives(desk: Any, config: Config) -> None:
    """Wait until the negatives of these settings are in the search's cache."""
    ray.get(ray.get(desk.ask.remote(config)))
