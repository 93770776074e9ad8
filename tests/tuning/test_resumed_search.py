"""A search whose driver is killed goes on: it ends with all its results, and nothing that was done is done again."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.small_runs import SMALL

JOB = Path(__file__).parents[2] / "jobs" / "tune.py"
TRIALS = 8


def command(directory: Path) -> list[str]:
    settings = [*SMALL, f"search.trials={TRIALS}", "resources.num_cpus=4"]
    return [
        sys.executable,
        str(JOB),
        "--run-dir",
        str(directory),
        *(part for key in settings for part in ("--set", key)),
    ]


def times(directory: Path, pattern: str) -> dict[str, float]:
    """File -> when it was written last."""
    return {str(path): path.stat().st_mtime for path in directory.glob(pattern)}


@pytest.mark.long
@pytest.mark.usefixtures("own_ray")
def test_a_killed_search_ends_with_all_results_and_generates_once(tmp_path: Path) -> None:
    first = subprocess.Popen(
        command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 400
    while len(done := times(tmp_path, "trials/*/align/stage.json")) < 3:
        assert first.poll() is None, "the search ended before it could be killed"
        assert time.monotonic() < deadline, "three trials have not finished in time"
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = times(tmp_path, "trials/*/align/stage.json")
    negatives, shared = times(tmp_path, "negatives/*/*"), times(tmp_path, "[!t]*/stage.json")
    again = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=500, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert len(rows) == len(list((tmp_path / "trials").iterdir())) == TRIALS
    assert {row["state"] for row in rows} <= {"finished", "stopped"}
    assert all(row["score"] for row in rows)
    finished = times(tmp_path, "trials/*/align/stage.json")
    assert {path: finished[path] for path in done} == done
    assert times(tmp_path, "negatives/*/*") == negatives
    assert len(list(tmp_path.glob("negatives/*/manifest.json"))) == 1
    assert times(tmp_path, "[!t]*/stage.json") == shared
    assert (len(negatives), len(shared)) == (11, 3)
    assert len(again.stdout.splitlines()) < 100
    assert (tmp_path / "best.yaml").is_file()
