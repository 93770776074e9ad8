"""More rows than Ray has room for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "fill_the_store.py"
pytestmark = [pytest.mark.long, pytest.mark.usefixtures("own_ray")]


def run(directory: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(directory)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_what_does_not_fit_is_spilled_and_generators_do_not_run_away(tmp_path: Path) -> None:
    found = re.search(r"rows=(\d+) ahead=(\d+)", run(tmp_path))
    assert found is not None
    rows, ahead = map(int, found.groups())
    assert rows == 1280
    assert ahead <= 40  # of 80 batches; half the store holds six


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    printed = run(tmp_path, RAY_local_fs_capacity_threshold="0")
    assert "error: there is no room left for Ray's objects" in printed
