"""A directory has one driver: the second is refused before any work, one that was taken over ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.jobs import load_job

from signdpo.config import Config, ConfigError, load_config
from signdpo.pipeline import driver
from signdpo.pipeline.driver import only_driver
from signdpo.pipeline.exit_codes import exit_code
from signdpo.storage.lease import Lease, look

JOBS = {
    "align": ("align", "--run-dir"),
    "align, seeds": ("align", "--seeds", "1", "2", "--run-dir"),
    "prepare": ("prepare", "--out"),
    "tune": ("tune", "--run-dir"),
    "ablate levels": ("ablate", "levels", "--run-dir"),
    "evaluate": ("evaluate", "--run-dir"),
}
QUICK = load_config(None, ["resources.lease_seconds=1.2"])  # a heartbeat each 0.2 s
SLOWER = load_config(None, ["resources.lease_seconds=6"])  # one each second


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_refused_on_a_directory_that_is_held_before_ray_starts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ray.init", None)
    Lease(str(tmp_path), 60.0).acquire()
    if name == "evaluate":
        (tmp_path / "config.yaml").write_text(Config().to_yaml())
    before = sorted(path for path in tmp_path.rglob("*"))
    job, *arguments = JOBS[name]
    assert load_job(job).main([*arguments, str(tmp_path)]) == 2
    printed = capsys.readouterr().out
    assert printed.startswith(f"error: {tmp_path} is in use by `")
    assert f"(pid {os.getpid()} on " in printed
    assert "--take-over" in printed
    assert len(printed.splitlines()) == 1
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_directory_is_free_after_the_driver_however_it_ended(
    error: type[BaseException] | None, tmp_path: Path
) -> None:
    handler = signal.getsignal(signal.SIGUSR2)

    def drive() -> None:
        with only_driver(str(tmp_path), Config(), Console(file=StringIO())):
            assert not look(f"{tmp_path}/.lease").holder.released
            if error is not None:
                raise error

    if error is None:
        drive()
    else:
        with pytest.raises(error):
            drive()
    assert look(f"{tmp_path}/.lease").holder.released
    assert signal.getsignal(signal.SIGUSR2) == handler


def test_a_driver_is_heard_of_while_it_works(tmp_path: Path) -> None:
    with only_driver(str(tmp_path), QUICK, Console(file=StringIO())):
        first = look(f"{tmp_path}/.lease").holder
        deadline = time.monotonic() + 5
        while look(f"{tmp_path}/.lease").holder.beat == first.beat and time.monotonic() < deadline:
            time.sleep(0.05)
        last = look(f"{tmp_path}/.lease").holder
        assert last.beat > first.beat
        assert last.since == first.since


def test_a_driver_that_was_taken_over_ends_ray_and_then_itself_with_one_message_and_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=StringIO())
    waited: list[bool] = []  # whether the other one still did when Ray was shut down
    monkeypatch.setattr("ray.shutdown", lambda: waited.append(taker.is_alive()))
    other = Lease(str(tmp_path), 60.0, say=lambda _: None)
    taker = threading.Thread(target=other.acquire, kwargs={"take_over": True})

    def drive() -> None:
        began = time.monotonic()
        try:
            with only_driver(str(tmp_path), SLOWER, console):
                taker.start()
                with suppress(Exception):  # as some of Ray's loops do
                    time.sleep(60)
        finally:
            assert time.monotonic() - began < 20

    assert exit_code(drive, console) == 1
    printed = console.file.getvalue()
    assert printed.startswith(f"error: {tmp_path} was taken over, by `")
    assert len(printed.splitlines()) == 1
    taker.join(10)
    assert waited == [True]
    assert look(f"{tmp_path}/.lease").holder.token == other.holder.token


STUBBORN = """
import sys, time
from rich.console import Console
from signdpo.config import load_config
from signdpo.pipeline import driver
driver.PATIENCE_SECONDS = 0.3
with driver.only_driver(sys.argv[1], load_config(None, ["resources.lease_seconds=1.2"]), Console(width=1000)):
    print("held", flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass
"""


def test_a_driver_that_does_not_come_out_of_what_it_waits_for_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STUBBORN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stubborn:
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == "held\n"
        Lease(str(tmp_path), 60.0, say=lambda _: None).acquire(take_over=True)
        assert stubborn.wait(20) == 1
        assert f"error: {tmp_path} was taken over" in stubborn.stdout.read()


def test_a_directory_that_cannot_be_written_is_a_thing_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(ConfigError, match="name a folder, or a URI"),
        only_driver(f"{tmp_path}/file/run", Config(), Console(file=StringIO())),
    ):
        pytest.fail("there is nothing to hold")


def test_storage_without_an_answer_ends_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def refuse(self: Lease) -> None:
        asked.set()
        raise OSError("busy")

    monkeypatch.setattr(driver.Lease, "beat", refuse)
    with only_driver(str(tmp_path), QUICK, Console(file=StringIO())):
        assert asked.wait(5)
    assert look(f"{tmp_path}/.lease").holder.released
