"""Chaos: generators, training workers and the driver are killed at random moments; nothing is lost or done twice."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.reruns import assert_same_training, ledger_of, policy_hash
from support.small_runs import SmallRun

from signdpo.training.checkpoint import CheckpointStore

DRIVER = Path(__file__).parents[1] / "support" / "chaos_driver.py"
TITLES = {"generator": "ray::MapWorker(", "worker": "ray::RayTrainWorker"}
AT_ONCE = 4  # blocks that Ray Data gives an actor at a time; a killed one leaves them to the next
SLOW_START = "raylet failed to startup or the GCS has become overloaded."  # Ray gives itself 30 s, whatever else runs
LIMIT_SECONDS = 900.0  # for one kill's turn to come, and for the end


@dataclass
class Chaos:
    """A run of `chaos_driver.py` that is disturbed, and started again when its driver was killed.

    Args:
        directory: of the run, with the stages before the alignment.
        overrides: of its configuration.
        pause: seconds that each block takes longer.
        seed: of victims and moments.
    """

    directory: Path
    overrides: Sequence[str]
    pause: float
    seed: int
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.log = self.directory / "blocks.jsonl"
        self.output = self.directory / "driver.log"
        self.driver = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(DRIVER), str(self.directory), str(self.log), str(self.pause), *self.overrides]
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        with self.output.open("ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)

    def __enter__(self) -> Chaos:
        return self

    def __exit__(self, *_: object) -> None:
        if self.driver.poll() is None:  # a test that failed leaves no run behind
            self.driver.kill()
            self.driver.wait()

    def committed(self) -> int:
        """Steps done at the newest checkpoint."""
        stores = list((self.directory / "align").glob("training-*"))
        return CheckpointStore(str(stores[0])).newest_step() if stores else 0

    def made(self) -> list[dict[str, Any]]:
        """The blocks that generators finished, in order."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def kill(self, kind: str, *, after_step: int, within: float) -> None:
        """Kill one of a kind at a random moment, some seconds after a checkpoint of so many steps or more."""
        self.wait(lambda: self.committed() >= after_step and (kind == "driver" or bool(self.victims(kind))))
        time.sleep(self.rng.uniform(0, within))
        self.wait(lambda: kind == "driver" or bool(self.victims(kind)))
        victim = self.driver.pid if kind == "driver" else self.rng.choice(self.victims(kind))
        os.kill(victim, signal.SIGKILL)
        self.kills[kind] += 1
        if kind == "driver":
            self.driver.wait()
            self.driver = self.start()  # at once: what the dead driver left behind goes by itself

    def victims(self, kind: str) -> list[int]:
        """Processes of a kind that descend from this driver."""
        running = {pid: (parent, title) for pid, parent, title in processes()}

        def descends(pid: int) -> bool:
            while pid in running and pid != self.driver.pid:
                pid = running[pid][0]
            return pid == self.driver.pid

        return sorted(pid for pid, (_, title) in running.items() if title.startswith(TITLES[kind]) and descends(pid))

    def wait(self, come: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not come():
            ended = self.driver.poll()
            if ended and self.output.read_text().rstrip().endswith(SLOW_START):
                self.driver = self.start()
            else:
                assert ended is None, f"the run ended with {ended}:\n{self.output.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"nothing for {LIMIT_SECONDS} s:\n{self.output.read_text()[-3000:]}"
            time.sleep(0.1)

    def finish(self) -> None:
        self.wait(lambda: self.driver.poll() == 0)


def processes() -> list[tuple[int, int, str]]:
    """Id, parent's id and title of every process that can be seen."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
                title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
            found.append((int(folder.name), int(parent), title))
    return found


def copy_of(run: SmallRun, directory: Path) -> Path:
    return shutil.copytree(run.directory, directory, ignore=shutil.ignore_patterns("align", "evaluation"))


def check_blocks(chaos: Chaos) -> str:
    """Nothing that a checkpoint had consumed was made again, and little else.

    What is made twice was in flight: made, but after the checkpoint that a restart of the workers or the driver went
    back to; or given to a generator that was killed, `AT_ONCE` blocks at most.
    """
    made = chaos.made()
    assert all(block["step"] >= block["start"] for block in made)
    executions: dict[str, list[dict[str, Any]]] = {}
    for block in made:
        executions.setdefault(block["execution"], []).append(block)
    in_order = [executions[name] for name in sorted(executions)]
    dropped = sum(
        sum(block["step"] >= following[0]["start"] for block in execution)
        for execution, following in itertools.pairwise(in_order)
    )
    replayed = sum(len(execution) - len({place(block) for block in execution}) for execution in in_order)
    assert replayed <= AT_ONCE * chaos.kills["generator"]
    blocks = len({place(block) for block in made})
    assert len(made) - blocks <= dropped + replayed
    return (
        f"{blocks} blocks in {len(in_order)} executions; made again {len(made) - blocks}, in flight {dropped} at "
        f"restarts and {replayed} at generators' deaths"
    )


def place(block: dict[str, Any]) -> tuple[int, str]:
    return block["step"], block["first"]


def check_run(chaos: Chaos, straight: Path) -> None:
    """The run is as if nothing had happened; prints what did."""
    assert_same_training(chaos.directory, straight, "align")
    assert ledger_of(chaos.directory) == ledger_of(straight)
    print(f"\n{sum(chaos.kills.values())} kills {dict(chaos.kills)}: {check_blocks(chaos)}")
    print(next(line.strip() for line in chaos.output.read_text().splitlines() if "every clip once" in line))


@pytest.mark.long
@pytest.mark.usefixtures("own_ray")
def test_a_generator_a_worker_and_the_driver_are_killed(small_run: SmallRun, tmp_path: Path) -> None:
    directory = copy_of(small_run, tmp_path / "run")
    with Chaos(directory, ["dpo.checkpoint_every=2"], pause=0.5, seed=1) as chaos:
        for kind, after_step in (("generator", 0), ("worker", 2), ("driver", 4)):
            chaos.kill(kind, after_step=after_step, within=0.5)
        chaos.finish()
    check_run(chaos, small_run.directory)


@pytest.mark.long
@pytest.mark.usefixtures("own_ray")
def test_twenty_kills_at_random(small_run: SmallRun, tmp_path: Path) -> None:
    overrides = ["dpo.epochs=40", "dpo.checkpoint_every=4", "resources.generators=[2, 2]", "resources.max_failures=-1"]
    with Chaos(copy_of(small_run, tmp_path / "straight"), overrides, pause=0, seed=0) as straight:
        straight.finish()
    kinds = ["generator"] * 9 + ["worker"] * 8 + ["driver"] * 4
    with Chaos(copy_of(small_run, tmp_path / "run"), overrides, pause=0.2, seed=5) as chaos:
        chaos.rng.shuffle(kinds)
        for kind in kinds:
            chaos.kill(kind, after_step=chaos.committed() + 1, within=3.0)
        chaos.finish()
    assert sum(chaos.kills.values()) == 21
    check_run(chaos, straight.directory)
    assert policy_hash(chaos.directory, "align") == policy_hash(straight.directory, "align")
