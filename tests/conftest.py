"""Fixtures shared by all tests: one real local Ray per session, and the development data where it is present."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.small_runs import SMALL, SmallRun

from signdpo.config import load_config

# Worker processes inherit these: short health checks make a trivial `fit` start in seconds, one thread a process keeps
# two CPUs from being fought over.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")

# A shell starts a command that ends in `&` with Ctrl-C ignored. Tests interrupt the main thread that way.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
def small_run(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    from signdpo.pipeline.run import run

    directory = tmp_path_factory.mktemp("run")
    console = Console(file=StringIO(), width=200)
    config = load_config(None, SMALL)
    outputs = run(config, str(directory), console)
    return SmallRun(config, directory, outputs, console.file.getvalue())
