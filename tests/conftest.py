"""Fixtures shared by all tests, and the tiers that follow from them.

A test that uses `ray_cluster`, by itself or by `small_run`, is marked `ray`; one that starts a Ray of its own, by a
job or a script, uses `own_ray` and is marked `cluster`, too. Processes of pytest-xdist share the tests: all that need
Ray go to one of them, which starts it once.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from support.small_runs import SMALL, SmallRun

from signdpo.config import load_config

if TYPE_CHECKING:  # brings torch
    from support.small_start import SmallStart

# Worker processes inherit these: short health checks make a trivial `fit` start in seconds, one thread a process keeps
# two CPUs from being fought over.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # else whatever runs beside the tests makes them wait for minutes

# A shell starts a command that ends in `&` with Ctrl-C ignored. Tests interrupt the main thread that way.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures they use; leave out the long ones, unless they are asked for."""
    if "long" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "own_ray" in fixtures:
            item.add_marker(pytest.mark.cluster)
        if {"own_ray", "ray_cluster"} & set(fixtures):
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.xdist_group("ray"))


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Files as bytes are numbered: a zip holds the time it was made, and every process must collect the same names."""
    return "file" if isinstance(val, bytes) else None


@pytest.fixture
def own_ray() -> None:
    """For tests whose jobs or scripts start a Ray of their own."""


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A real Ray on this machine with 8 logical CPUs, shared by every test that needs one."""
    import ray

    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Third-party development data; tests that need it are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("SIGNDPO_SHARED_DATA", default))
    if not root.is_dir():
        pytest.skip(f"no development data at {root} (set SIGNDPO_SHARED_DATA)")
    return root


@pytest.fixture(scope="session")
def small_start(tmp_path_factory: pytest.TempPathFactory) -> SmallStart:
    """What generators are given, without Ray."""
    from support.small_start import make_small_start

    return make_small_start(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="session")
def small_run(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A whole run over Ray; the one in `$SIGNDPO_SMALL_RUN`, beside what it printed, where CI has made it already."""
    from signdpo.pipeline.run import run

    directory, made = tmp_path_factory.mktemp("run"), os.environ.get("SIGNDPO_SMALL_RUN")
    if made:
        shutil.copytree(made, directory, dirs_exist_ok=True)
    console = Console(file=StringIO(), width=200)
    config = load_config(None, SMALL)
    outputs = run(config, str(directory), console)
    printed = Path(f"{made}.log").read_text(encoding="utf-8") if made else console.file.getvalue()
    return SmallRun(config, directory, outputs, printed)
