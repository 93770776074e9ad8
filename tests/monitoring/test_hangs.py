"""Generators that hang do not hang the run."""

import ctypes
import re
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import ray.data
from rich.console import Console

from signdpo.config import Config, load_config
from signdpo.data.actor_pool import BatchWorker, on_actors
from signdpo.monitoring.hangs import MAX_HANGS, BatchAttempts, BatchWatch, HungBatchError, new_attempts
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
pytestmark = pytest.mark.usefixtures("ray_cluster")


class HangsAtFirst(BatchWorker):
    """Hangs on some batches, a few times each, with the interpreter's lock in its hands."""

    def load(self, folder: Path, hangs: dict[int, int]) -> None:
        self.folder, self.hangs = folder, hangs

    def work(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        step = int(batch["step"][0])
        tried = len(list(self.folder.glob(f"{step}-*")))
        (self.folder / f"{step}-{tried}").touch()
        if tried < self.hangs.get(step, 0):
            ctypes.PyDLL(None).sleep(1000)
        return batch


def numbered(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    return {"id": np.array([f"clip {i}" for i in batch["id"]]), "step": batch["id"]}


def made(folder: Path, console: Console, config: Config, hangs: dict[int, int]) -> list[int]:
    """Steps that come out of a stream of six batches."""
    watchdog = Watchdog(console, config.resources)
    numbers = ray.data.range(6, override_num_blocks=6).map_batches(numbered, num_cpus=0.5)
    stream = on_actors(numbers, HangsAtFirst, (folder, hangs), config, watchdog.attempts)
    steps: list[int] = []
    with StageProgress(console, "making", total=6, unit="clips", watchdog=watchdog) as meter:
        for batch in stream.iter_batches(batch_size=None):
            steps.extend(batch["step"].tolist())
            meter.update(len(steps))
    return steps


@pytest.fixture
def impatient() -> Config:
    return load_config(None, ["resources.generator_timeout_seconds=1.5", "resources.generators=[1, 1]"])


def test_a_generator_that_hangs_is_replaced_and_its_batch_made(tmp_path: Path, impatient: Config) -> None:
    console = Console(file=StringIO(), width=300)
    steps = made(tmp_path, console, impatient, {0: 1})
    assert sorted(steps) == list(range(6))
    printed = console.file.getvalue()
    assert printed.count("did not come to the end of the batch of step 1 (1 clips, the first is clip 0)") == 1
    stack = re.search(r"its stack is at the end of (\S+)", printed)
    assert stack is not None
    assert "in work" in Path(stack[1]).read_text()


@pytest.mark.long
def test_a_batch_that_always_hangs_ends_the_stream(tmp_path: Path, impatient: Config) -> None:
    with pytest.raises(Exception, match="generators hung on the batch of step 3"):
        made(tmp_path, Console(file=StringIO()), impatient, {2: 1000})
    assert len(list(tmp_path.glob("2-*"))) == MAX_HANGS


def test_a_batch_is_given_up_after_a_few_hangs() -> None:
    attempts = new_attempts(0.2)
    watch = BatchWatch(attempts, 60.0)
    batch = {"id": np.array(["a", "b"]), "step": np.array([4, 4])}
    for _ in range(MAX_HANGS):
        ray.get(attempts.begin.remote(watch._attempt(batch)))
        time.sleep(0.3)
    with pytest.raises(HungBatchError, match=r"3 generators hung on the batch of step 5 \(2 clips.*generator_timeout"):
        watch.over(batch).__enter__()
    assert len(ray.get(attempts.take.remote())) == MAX_HANGS
    time.sleep(0.3)
    assert ray.get(attempts.take.remote()) == []
    with watch.over({"id": np.array(["c", "d"]), "step": np.array([4, 4])}):
        pass


def test_batches_that_end_or_whose_stream_was_broken_off_did_not_hang() -> None:
    attempts = BatchAttempts.__ray_metadata__.modified_class(0.1)
    batch = {"id": np.array(["a"]), "step": np.array([0])}
    first, second = (BatchWatch(None, 60.0)._attempt(batch) for _ in range(2))
    attempts.begin(first)
    attempts.end(first.batch)
    time.sleep(0.2)
    assert attempts.take() == []
    attempts.begin(first)
    assert attempts.begin(second) == []
    attempts.end(second.batch)
    time.sleep(0.2)
    assert attempts.take() == []
    attempts.begin(second)
    time.sleep(0.2)
    assert attempts.take() == [second]
    assert attempts.take() == []
