"""Fixtures shared by all tests: one real local Ray per session, and the development data where it is present."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from signdpo.config import Config, load_config

# Worker processes inherit these: short health checks make a trivial `fit` start in seconds, one thread a process keeps
# two CPUs from being fought over.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")


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


# A corpus and a policy so small that every stage takes seconds.
SMALL = [
    "corpus.synthetic.train_clips=72",
    "corpus.synthetic.dev_clips=12",
    "corpus.synthetic.test_clips=12",
    "policy.encoder.temporal_channels=16",
    "policy.encoder.spatial_channels=[8]",
    "policy.encoder.joint_dim=8",
    "policy.language_model.d_model=32",
    "policy.language_model.d_ff=64",
    "pretrain.epochs=2",
    "pretrain.batch_size=24",
    "negatives.perturber.mine_clips=32",
    "negatives.perturber.d_model=32",
    "negatives.perturber.epochs=1",
    "negatives.perturber.copy_epochs=1",
    "negatives.perturber.batch_size=16",
    "negatives.perturber.min_chrf=0",
    "negatives.hardness.min_margin=-0.02",  # an untrained policy notices next to nothing
    "negatives.hardness.max_margin=0.1",
    "dpo.epochs=2",
    "dpo.batch_size=16",
    "dpo.checkpoint_every=5",
    "dpo.lr=0.001",
    "evaluation.max_new_tokens=8",
    "resources.generators=[1, 1]",
    "evaluation.bootstrap_samples=50",
]


@dataclass(frozen=True)
class SmallRun:
    """A whole run on the synthetic corpus, and what it printed."""

    config: Config
    directory: Path
    outputs: dict[str, dict[str, Any]]
    printed: str


@pytest.fixture(scope="session")
def small_run(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    from signdpo.pipeline.run import run

    directory = tmp_path_factory.mktemp("run")
    console = Console(file=StringIO(), width=200)
    config = load_config(None, SMALL)
    outputs = run(config, str(directory), console)
    return SmallRun(config, directory, outputs, console.file.getvalue())
