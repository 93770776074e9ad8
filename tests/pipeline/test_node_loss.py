"""A node of the cluster is lost in the middle of the alignment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_runs import SMALL, SmallRun

from signdpo.training.step_metrics import read_metrics

# A dead node is noticed in seconds, and one that lives on a busy machine is not taken for dead.
HEALTH = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "15"}
SCRIPT = Path(__file__).parents[1] / "support" / "lose_a_node.py"
OVERRIDES = [*SMALL, "dpo.epochs=4", "resources.cpus_per_worker=2", "resources.generators=[1, 2]"]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["MapWorker", "RayTrainWorker"])
@pytest.mark.usefixtures("own_ray")
def test_a_run_that_loses_a_node_trains_every_row(small_run: SmallRun, tmp_path: Path, kind: str) -> None:
    directory = tmp_path / "run"
    shutil.copytree(small_run.directory, directory, ignore=shutil.ignore_patterns("align", "evaluation"))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(directory), kind, *OVERRIDES],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env=os.environ | HEALTH,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "loses a node with" in done.stdout
    rows = read_metrics(str(directory / "align" / "metrics.jsonl"))
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert sum(row["rows"] for row in rows) == 4 * 72
    assert (directory / "evaluation" / "comparison.json").is_file()
