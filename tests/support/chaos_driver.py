"""The alignment of a small run as a job of its own, whose generators note every block they make.

python chaos_driver.py RUN_DIRECTORY LOG PAUSE [KEY=VALUE ...]
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import ray
import ray.data
from rich.console import Console

from signdpo.cluster.plan import start_ray
from signdpo.config import Config, load_config
from signdpo.data.actor_pool import on_actors
from signdpo.pipeline.actors import GenerateNegatives
from signdpo.pipeline.stage import run_stages
from signdpo.pipeline.stages import align as aligning
from signdpo.pipeline.stages import stages_of
from signdpo.run_context import RunContext
from signdpo.training.fit import fit
from signdpo.training.plan import TrainingPlan
from support.small_runs import SMALL


class NotedNegatives(GenerateNegatives):
    """Appends a line to a file for each block: when it was done, and where its execution of the stream had started.

    Args:
        log: the file.
        pause: seconds that a block takes longer, so that a small run lasts.
        execution: its `execution`, a name, and `start`, its first step.
    """

    def load(self, log: str, pause: float, execution: dict[str, Any], *arguments: Any) -> None:
        super().load(*arguments)
        self.log, self.pause, self.execution = log, pause, execution

    def work(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        rows = super().work(batch)
        time.sleep(self.pause)
        made = {"step": int(batch["step"][0]), "first": str(batch["id"][0]), "time": time.time()}
        line = json.dumps({**made, **self.execution}) + "\n"
        file = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())  # one write: lines of two actors never mix
        os.close(file)
        return rows


def note_blocks(log: str, pause: float) -> None:
    """Let the align stage use `NotedNegatives`."""
    execution: dict[str, Any] = {}

    def noted_actors(
        clips: ray.data.Dataset, actor: type, arguments: tuple[Any, ...], config: Config, *rest: Any
    ) -> Any:
        assert actor is GenerateNegatives
        return on_actors(clips, NotedNegatives, (log, pause, dict(execution), *arguments), config, *rest)

    def noted_fit(context: RunContext, plan: TrainingPlan, **options: Any) -> Any:
        def noted_stream(step: int) -> Any:
            execution.update(execution=f"{time.time():.3f}", start=step)
            assert plan.stream is not None
            return plan.stream(step)

        return fit(context, replace(plan, stream=noted_stream), **options)

    aligning.on_actors, aligning.fit = noted_actors, noted_fit


def main() -> None:
    directory, log, pause, *overrides = sys.argv[1:]
    note_blocks(log, float(pause))
    context = RunContext(load_config(None, [*SMALL, *overrides]), directory, Console(width=200))
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    start_ray(context.config)
    stages = stages_of(context.config)
    run_stages(context, stages[: [stage.name for stage in stages].index("align") + 1])


if __name__ == "__main__":
    main()
