"""A stage that stands still says what is missing, and ends."""

import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.train
from rich.console import Console
from support.small_runs import SMALL

from signdpo.config import ConfigError, load_config
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import StalledError, Watchdog
from signdpo.run_context import RunContext
from signdpo.training.fit import fit

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
IMPATIENT = ["resources.generator_timeout_seconds=1", "resources.stall_seconds=1"]


@pytest.mark.usefixtures("ray_cluster")
def test_a_stage_that_waits_for_resources_says_which_and_ends() -> None:
    @ray.remote(num_cpus=100)
    def never() -> None: ...

    console = Console(file=StringIO(), width=300)
    resources = load_config(None, [*IMPATIENT, "resources.give_up_seconds=4"]).resources
    waiting = never.remote()
    watchdog = Watchdog(console, resources)
    ray.get(
        watchdog.attempts.take.remote()
    )  # it is there; on a busy machine that takes longer than this test is patient
    ended = r"give_up_seconds=4\).*Waiting for a place: 1 100 CPU.*Start the same command"
    with pytest.raises(StalledError, match=ended), StageProgress(console, "", total=1, unit="clips", watchdog=watchdog):
        ray.get(waiting)
    printed = console.file.getvalue()
    assert "nothing has been reported for" in printed
    assert "Waiting for a place: 1 100 CPU" in printed
    assert "Logs: /" in printed
    ray.cancel(waiting)


@pytest.mark.usefixtures("ray_cluster")
def test_a_stage_that_reports_is_left_alone() -> None:
    console = Console(file=StringIO())
    resources = load_config(None, [*IMPATIENT, "resources.give_up_seconds=1.5"]).resources
    with StageProgress(console, "working", total=30, unit="clips", watchdog=Watchdog(console, resources)) as meter:
        for done in range(30):
            time.sleep(0.1)
            meter.update(done)
    assert "nothing has been reported" not in console.file.getvalue()


def stand_still(settings: dict[str, Any]) -> None:
    ray.train.report({"step": 1, "loss": 0.0})
    time.sleep(1000)


@pytest.mark.long
@pytest.mark.usefixtures("ray_cluster")
def test_training_that_stands_still_is_ended(tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=300)
    config = load_config(None, [*SMALL, *IMPATIENT, "resources.stall_seconds=8", "resources.give_up_seconds=30"])
    with pytest.raises(StalledError, match="1 RayTrainWorker"):
        fit(
            RunContext(config, str(tmp_path), console),
            stage="align",
            key="0",
            loop=stand_still,
            settings={},
            identity={},
            total_steps=2,
            workers=1,
            cpus=1,
            score=None,
        )


def test_giving_up_comes_after_the_warnings() -> None:
    with pytest.raises(ConfigError, match=r"give_up_seconds=60 must be more than stall_seconds=600"):
        load_config(None, ["resources.give_up_seconds=60"])
