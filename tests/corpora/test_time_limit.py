"""A clip that takes too long to read is given up, whatever its reader does, and costs itself alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ray import cloudpickle

from signdpo.config import CorpusConfig
from signdpo.corpora.ingest import ingest, make_shard
from signdpo.corpora.planning import Shard
from signdpo.corpora.source import Entry, clip_file
from signdpo.corpora.time_limit import SlowClipError, time_limit
from signdpo.data.clips import read_quarantine
from signdpo.inference.clip_files import ClipFile
from signdpo.inference.reading import read_rows
from signdpo.skeleton.clip import Clip
from signdpo.storage.retries import retried

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
SECONDS = 0.3
NEVER = 60.0


def wait_for_a_pipe() -> None:
    end, other = os.pipe()
    try:
        os.read(end, 1)
    finally:
        os.close(end)
        os.close(other)


def compute() -> None:
    begin = time.monotonic()
    while time.monotonic() - begin < NEVER:
        pass


def take_errors_for_its_own() -> None:
    for _ in range(100):
        try:
            time.sleep(NEVER)
        except Exception:
            continue


@retried
def ask_again(uri: str) -> None:
    raise ConnectionError(uri)


def open_a_file() -> None:
    with clip_file("a.npz"):
        time.sleep(NEVER)


@pytest.mark.parametrize(
    "work",
    [
        lambda: time.sleep(NEVER),
        wait_for_a_pipe,
        compute,
        take_errors_for_its_own,
        lambda: ask_again("s3://bucket"),
        lambda: threading.Event().wait(NEVER),
        open_a_file,
    ],
)
def test_whatever_takes_too_long_is_given_up(work: Callable[[], None]) -> None:
    begin = time.monotonic()
    with pytest.raises(SlowClipError, match=r"longer than 0\.3 s.*raise corpus\.clip_seconds"), time_limit(SECONDS):
        work()
    assert time.monotonic() - begin < 5


def test_what_is_in_time_is_left_alone_and_so_is_what_comes_after() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with time_limit(SECONDS):
        pass
    with pytest.raises(ZeroDivisionError), time_limit(SECONDS):
        raise ZeroDivisionError
    time.sleep(2 * SECONDS)
    assert signal.getsignal(signal.SIGALRM) == handler
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_in_another_thread_there_is_no_limit() -> None:
    done = threading.Event()

    def work() -> None:
        with time_limit(SECONDS / 10):
            time.sleep(SECONDS)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done.is_set()


class Hanging:
    """Ten clips a split, of which the third of train never comes."""

    language, reading = "en", "hanging/1"

    def entries(self, split: str) -> list[Entry]:
        return [Entry(f"{split}-{place}", split, str(place), "word") for place in range(10)]

    def read(self, entry: Entry) -> Clip:
        if entry.id == "train-2":
            time.sleep(NEVER)
        return Clip(entry.id, entry.text, np.full((3, 69, 3), 0.5, np.float32) + np.eye(69, 3))


def test_a_clip_that_hangs_costs_itself_alone_and_is_tried_again(tmp_path: Path) -> None:
    source = Hanging()
    shard = Shard("train", "key", tuple(source.entries("train")), 16)
    outcome = make_shard(shard, source, str(tmp_path), clip_seconds=SECONDS)
    assert len(outcome.frames) == 9
    assert [(record.id, record.reason.partition(" s:")[0]) for record in outcome.quarantined] == [
        ("train-2", "SlowClipError: reading took longer than 0.3")
    ]
    assert not outcome.final


@pytest.mark.usefixtures("ray_cluster")
def test_a_clip_that_hangs_is_given_up_in_rays_processes(tmp_path: Path) -> None:
    begin = time.monotonic()
    manifest = ingest(Hanging(), str(tmp_path), CorpusConfig(clip_seconds=SECONDS))
    assert time.monotonic() - begin < NEVER
    assert {split: summary.clips for split, summary in manifest.splits.items()} == {"train": 9, "dev": 10, "test": 10}
    assert "reading took longer" in read_quarantine(str(tmp_path))[0].reason


def test_a_clip_to_be_translated_has_the_same_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signdpo.corpora.npz.read_file", lambda uri, limit: time.sleep(NEVER))
    (tmp_path / "a.npz").write_bytes(b"PK")
    rows = read_rows([ClipFile("a", str(tmp_path / "a.npz"), "npz")], CorpusConfig(clip_seconds=SECONDS))
    assert "reading took longer than 0.3 s" in rows[0]["reason"]
