"""The controller of a training dies, and another goes on where it was."""

import json
import os
import signal
import sys
import threading
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.train
from ray._private.state import actors
from rich.console import Console
from support.small_runs import SMALL

from signdpo.config import load_config
from signdpo.monitoring.progress import read_metrics
from signdpo.pipeline.stage import RunContext
from signdpo.training.checkpoint import PROGRESS_FILE, CheckpointStore, checkpoint_name, seal
from signdpo.training.fit import fit

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
STEPS, CHECKPOINT_EVERY = 12, 4


def count(settings: dict[str, Any]) -> None:
    """Counts steps; the file `slow` keeps it from the end."""
    import tempfile

    store: CheckpointStore = settings["checkpoints"]
    begin, rows = store.newest_step(), list[dict[str, Any]]()
    for step in range(begin + 1, STEPS + 1):
        while step > 2 * CHECKPOINT_EVERY + 2 and (settings["folder"] / "slow").exists():
            time.sleep(0.1)
        rows.append({"step": step, "epoch": 0, "loss": 1.0 / step, "begun_at": begin})
        if step % CHECKPOINT_EVERY:
            ray.train.report(rows[-1])
            continue
        store.write_metrics(rows[0]["step"], rows)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / PROGRESS_FILE).write_text(json.dumps({"step": step, "identity": {}, "metrics": rows[-1]}))
            seal(folder, rank=0, ranks=1, start=str(begin))
            checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report(rows[-1], checkpoint=checkpoint, checkpoint_dir_name=checkpoint_name(step))
        rows = []


def kill_controller(seen: list[int], folder: Path) -> None:
    while 2 * CHECKPOINT_EVERY + 1 not in seen:
        time.sleep(0.1)
    (controller,) = (
        actor
        for actor in actors().values()
        if actor["ActorClassName"] == "TrainController"
        and actor["State"] == "ALIVE"
        and actor["JobID"] == ray.get_runtime_context().get_job_id()
    )
    os.kill(controller["Pid"], signal.SIGKILL)
    (folder / "slow").unlink()


@pytest.mark.usefixtures("ray_cluster")
def test_a_killed_controller_is_replaced_and_training_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    console, seen = Console(file=StringIO(), width=300), list[int]()
    (tmp_path / "slow").touch()
    killer = threading.Thread(target=kill_controller, args=(seen, tmp_path))
    killer.start()
    fit(
        RunContext(load_config(None, SMALL), str(tmp_path / "run"), console),
        stage="align",
        key="0",
        loop=count,
        settings={"folder": tmp_path},
        identity={},
        total_steps=STEPS,
        workers=1,
        cpus=5,  # of eight: the orphaned worker's have to be given back first
        score=None,
        on_row=lambda row: seen.append(row["step"]),
    )
    killer.join()
    rows = read_metrics(str(tmp_path / "run" / "align" / "metrics.jsonl"))
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    resumed_at = 2 * CHECKPOINT_EVERY
    assert [row["begun_at"] for row in rows] == [0] * resumed_at + [resumed_at] * (STEPS - resumed_at)
    assert f"a new one goes on from step {resumed_at}" in console.file.getvalue()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
