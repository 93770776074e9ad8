"""Of all that want a directory one has it, whatever becomes of the others and of the one before."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from signdpo.storage import exclusive, lease
from signdpo.storage.exclusive import create, creates_exclusively
from signdpo.storage.files import list_folder, remove_folder, write_bytes
from signdpo.storage.holder import Holder
from signdpo.storage.lease import Lease, LeaseHeldError, look

RACES, DRIVERS = 20, 4
SECONDS = 60.0
ELSEWHERE = Holder(
    "elsewhere", 12, "ann", "jobs/align.py --run-dir x", "t", "another machine", 5, 1000.0, 1000.0, SECONDS
)


class StoreFileSystem(MemoryFileSystem):
    """An object store, which may know the conditional write."""

    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    lock: ClassVar = threading.Lock()
    knows_condition: ClassVar[bool] = True
    cachable = False

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        with self.lock:
            super().pipe_file(path, value, mode=mode if self.knows_condition else "overwrite", **kwargs)


class ClaimFileSystem(StoreFileSystem):
    """One whose client takes the condition, and whose server ignores it."""

    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    knows_condition: ClassVar[bool] = False


fsspec.register_implementation("store", StoreFileSystem, clobber=True)
fsspec.register_implementation("claims", ClaimFileSystem, clobber=True)


@pytest.fixture(autouse=True)
def stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(exclusive, "CONDITIONAL", {"store", "claims"})
    yield
    for kind in (StoreFileSystem, ClaimFileSystem):
        kind.store.clear()
        kind.pseudo_dirs[:] = [""]
    remove_folder("memory://lease")


@pytest.fixture(params=["local", "store", "claims", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A directory on each kind of storage."""
    return str(tmp_path) if request.param == "local" else f"{request.param}://lease"


def never(seconds: float) -> None:
    raise AssertionError("nothing is to be waited for")


def acquired(directory: str) -> Lease:
    """The lease of a directory that nobody else wants at the same time: there is no claim to be waited for."""
    driver = Lease(directory, SECONDS, sleep=lambda _: None)
    driver.acquire()
    return driver


def leave(directory: str, holder: Holder, name: str = "000007") -> None:
    """Let a directory have this lease."""
    write_bytes(f"{directory}/.lease/{name}", holder.to_bytes())


def try_to_acquire(directory: str) -> bool:
    """As a driver that finds the watched holder to be as still as it was."""
    try:
        Lease(directory, SECONDS, sleep=lambda _: None, say=lambda _: None).acquire()
    except LeaseHeldError:
        return False
    return True


def race_in_processes(root: str, barrier: Any, owners: Any) -> None:
    for race in range(RACES):
        barrier.wait(30)
        if try_to_acquire(f"{root}/{race}"):
            owners.put(race)
        barrier.wait(30)  # nobody ends before all have tried, else its lease would be that of a dead one


@pytest.mark.parametrize(
    "before", [None, ELSEWHERE, replace(ELSEWHERE, released=True)], ids=["new", "dead", "released"]
)
def test_races_of_processes_never_give_two_owners(tmp_path: Path, before: Holder | None) -> None:
    for race in range(RACES):
        if before is not None:
            leave(f"{tmp_path}/{race}", before)
    context = multiprocessing.get_context("fork")
    barrier, owners = context.Barrier(DRIVERS), context.Queue()
    job = {"target": race_in_processes, "args": (str(tmp_path), barrier, owners), "daemon": True}
    drivers = [context.Process(**job) for _ in range(DRIVERS)]
    for driver in drivers:
        driver.start()
    found = sorted(owners.get(timeout=30) for _ in range(RACES))
    for driver in drivers:
        driver.join(30)
    assert found == list(range(RACES))
    assert owners.empty()
    assert [driver.exitcode for driver in drivers] == [0] * DRIVERS


@pytest.mark.parametrize("kind", ["store", "memory"])
def test_races_on_an_object_store_never_give_two_owners(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 1.0)
    barrier = threading.Barrier(RACES * DRIVERS)

    def compete(race: int) -> bool:
        driver = Lease(f"{kind}://lease/{race}", SECONDS)
        barrier.wait(30)
        try:
            driver.acquire()
        except LeaseHeldError:
            return False
        return True

    owners = Counter[int]()
    with ThreadPoolExecutor(RACES * DRIVERS) as pool:
        races = [*range(RACES)] * DRIVERS
        for race, won in zip(races, pool.map(compete, races), strict=True):
            owners[race] += won
    assert owners == dict.fromkeys(range(RACES), 1)


def test_a_second_driver_is_told_who_holds_the_directory_and_what_to_do(place: str) -> None:
    acquired(place)
    with pytest.raises(LeaseHeldError) as refused:
        Lease(place, SECONDS, sleep=never).acquire()
    message = str(refused.value)
    assert f"pid {os.getpid()} on {socket.gethostname()}" in message
    assert "pytest" in message or "-c" in message  # the command
    assert re.search(r"since 20\d\d-\S+ \S+ UTC, last heartbeat \d+ s ago", message)
    assert "60 s after its last heartbeat" in message
    assert "--take-over" in message


def test_a_released_directory_is_free_and_keeps_one_file(place: str) -> None:
    for number in range(1, 4):
        driver = acquired(place)
        assert [name[:6] for name in list_folder(f"{place}/.lease")] == [f"{number:06d}"]
        driver.release()


def test_a_driver_that_was_killed_is_replaced_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; from signdpo.storage.lease import Lease; Lease(sys.argv[1], 60.0).acquire(); print(); input()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        with pytest.raises(LeaseHeldError, match=f"pid {driver.pid} on "):
            Lease(str(tmp_path), SECONDS, sleep=never).acquire()
        driver.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked for its exit code
        first = Lease(str(tmp_path), SECONDS, sleep=never)
        first.acquire()
    first.release()
    leave(str(tmp_path), replace(first.holder, pid=driver.pid))
    Lease(str(tmp_path), SECONDS, sleep=never).acquire()


def test_another_process_of_the_same_number_is_not_the_holder() -> None:
    own = Holder.this_process(SECONDS, 0.0)
    assert own.is_running() is True
    assert replace(own, started=own.started - 1).is_running() is False
    assert replace(own, machine="another boot").is_running() is None
    assert replace(own, machine="").is_running() is None
    assert Holder.parse(own.to_bytes().decode()) == own


def test_a_driver_elsewhere_is_dead_once_its_heartbeat_ran_out_and_stands_still(place: str) -> None:
    slept: list[float] = []
    for age, refused in ((59.0, True), (-59.0, True), (61.0, False)):
        remove_folder(f"{place}/.lease")
        leave(place, ELSEWHERE)
        said: list[str] = []
        driver = Lease(place, SECONDS, clock=lambda age=age: 1000.0 + age, sleep=slept.append, say=said.append)
        if refused:
            with pytest.raises(LeaseHeldError, match=r"`jobs/align.py --run-dir x` \(pid 12 on elsewhere, user ann"):
                driver.acquire()
            assert slept == said == []
        else:
            driver.acquire()
            assert sum(slept) >= 2 * SECONDS / 6
            assert "last heartbeat 61 s ago" in said[0]
    assert look(f"{place}/.lease").name.startswith("000008")


def test_a_driver_whose_clock_is_behind_is_not_taken_for_dead(tmp_path: Path) -> None:
    clock = 5000.0
    leave(str(tmp_path), ELSEWHERE)

    def beat_meanwhile(seconds: float) -> None:
        leave(str(tmp_path), replace(ELSEWHERE, beat=look(f"{tmp_path}/.lease").holder.beat + seconds))

    with pytest.raises(LeaseHeldError, match="pid 12 on elsewhere"):
        Lease(str(tmp_path), SECONDS, clock=lambda: clock, sleep=beat_meanwhile, say=lambda _: None).acquire()


def test_a_living_process_whose_heartbeat_ran_out_is_not_taken_over_by_itself(tmp_path: Path) -> None:
    leave(str(tmp_path), replace(Holder.this_process(SECONDS, 1000.0), token="t"))
    with pytest.raises(LeaseHeldError, match="last heartbeat 4000 s ago"):
        Lease(str(tmp_path), SECONDS, clock=lambda: 5000.0, sleep=never).acquire()


def test_who_takes_over_waits_until_the_other_has_noticed(place: str) -> None:
    first = acquired(place)

    def notice(seconds: float) -> None:
        first.beat()
        assert first.lost is not None
        first.release()

    settle, look_again, waits = lease.SETTLE_SECONDS, SECONDS / 6 / 4, list[float]()
    second = Lease(
        place, SECONDS, sleep=lambda seconds: waits.append(seconds) or (notice(seconds) if seconds != settle else None)
    )
    second.acquire(take_over=True)
    assert waits == [*([] if creates_exclusively(place) else [settle]), look_again]
    assert first.lost is not None
    assert f"was taken over, by `{second.holder.describe(second.clock())[1:20]}" in first.lost
    second.beat()
    assert second.lost is None
    assert look(f"{place}/.lease").holder.token == second.holder.token


def test_who_is_silent_is_taken_over_after_two_heartbeats(tmp_path: Path) -> None:
    leave(str(tmp_path), ELSEWHERE)
    waits: list[float] = []
    Lease(str(tmp_path), SECONDS, clock=lambda: 1000.0, sleep=waits.append, say=lambda _: None).acquire(take_over=True)
    assert sum(waits) == pytest.approx(2 * SECONDS / 6)


def test_a_lease_that_was_removed_is_lost(place: str) -> None:
    driver = acquired(place)
    remove_folder(f"{place}/.lease")
    driver.beat()
    assert driver.lost is not None
    assert ".lease was removed" in driver.lost
    driver.release()
    assert list_folder(f"{place}/.lease") == {}


def test_a_claim_that_comes_too_late_withdraws_and_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = acquired("memory://lease")
    leave("memory://lease", replace(owner.holder, token="0" * 32), "000001-" + "0" * 32)
    owner.beat()
    assert owner.lost is None
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.0)
    late = Lease("memory://lease/late", SECONDS)
    with pytest.raises(LeaseHeldError, match="others tried to begin here at the same time"):
        late.acquire()
    assert list_folder("memory://lease/late/.lease") == {}


def test_a_damaged_file_is_watched_and_then_replaced(tmp_path: Path) -> None:
    write_bytes(f"{tmp_path}/.lease/000003", b"")
    Lease(str(tmp_path), SECONDS, sleep=lambda _: None, say=lambda _: None).acquire()
    assert look(f"{tmp_path}/.lease").name == "000004"


@pytest.mark.parametrize(("kind", "expected"), [("local", True), ("store", True), ("claims", False), ("memory", False)])
def test_whether_a_storage_creates_exclusively_is_tried_out(kind: str, expected: bool, tmp_path: Path) -> None:
    folder = str(tmp_path) if kind == "local" else f"{kind}://lease"
    assert creates_exclusively(folder) == expected
    assert list_folder(folder) == {}


def test_a_disk_without_links_gets_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    driver = acquired(str(tmp_path))
    assert list(list_folder(f"{tmp_path}/.lease")) == [f"000001-{driver.holder.token}"]
    with pytest.raises(LeaseHeldError):
        Lease(str(tmp_path), SECONDS, sleep=never).acquire()


def test_a_file_is_created_whole_and_once(tmp_path: Path) -> None:
    assert create(f"{tmp_path}/run/file", b"first")
    assert not create(f"{tmp_path}/run/file", b"second")
    assert [path.read_bytes() for path in (tmp_path / "run").iterdir()] == [b"first"]
