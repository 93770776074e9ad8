"""What training reports of each step: written by rank 0, followed by the driver.

training-<key>/metrics/<first>.jsonl     a row a step, from `first` to the next checkpoint
<stage>/metrics.jsonl                    all of them, when the stage is done

Rank 0 writes the rows since the last checkpoint whole, every few seconds and before the next checkpoint. So a step that
is done again replaces what was reported of it before.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from signdpo.storage.files import exists, is_local, join, list_folder, read_text, remove_file, write_text

FOLDER = "metrics"
PART = re.compile(r"(\d+)\.jsonl")
WRITE_SECONDS = 2.0  # between two writes, at least
WRITE_SHARE = 0.05  # of the time that writing may take
LOCAL_POLL_SECONDS = 0.5  # between two looks of the driver
REMOTE_POLL_SECONDS = 4.0

Row = dict[str, Any]  # `step`, `epoch` and the metrics of a step, by their standard names


class StepMetrics:
    """The rows of a training in its folder.

    Args:
        training: folder of the training, a local path or URI.
    """

    def __init__(self, training: str) -> None:
        self.folder = join(training, FOLDER)
        self.next_write = 0.0

    def write(self, first: int, rows: list[Row]) -> None:
        """Write the rows of the steps from `first` on; they replace earlier ones."""
        began = time.monotonic()
        write_text(join(self.folder, f"{first:07d}.jsonl"), _lines(rows))
        now = time.monotonic()
        self.next_write = now + max(WRITE_SECONDS, (now - began) / WRITE_SHARE)

    def is_due(self) -> bool:
        """Whether the last write is long enough ago for the next, where no checkpoint asks for it."""
        return time.monotonic() >= self.next_write

    def read(self, *, after: int = 0, last: int | None = None) -> list[Row]:
        """The rows of the steps after `after` and up to `last`, each once, in order."""
        parts = self._parts()
        wanted = [part for place, part in enumerate(parts) if place + 1 == len(parts) or parts[place + 1] > after + 1]
        rows = {
            row["step"]: row
            for part in wanted
            for row in self._read_part(part)
            if after < row["step"] and (last is None or row["step"] <= last)
        }
        return [rows[step] for step in sorted(rows)]

    def last_step(self) -> int:
        """The last step that is there, of which one file is read; 0 if none is."""
        parts = self._parts()
        return int(self._read_part(parts[-1])[-1]["step"]) if parts else 0

    def _parts(self) -> list[int]:
        """First step of each file, in order."""
        return sorted(int(found[1]) for name in list_folder(self.folder) if (found := PART.fullmatch(name)))

    def _read_part(self, part: int) -> list[Row]:
        return [json.loads(line) for line in read_text(join(self.folder, f"{part:07d}.jsonl")).splitlines()]

    def forget(self, *, after: int) -> None:
        """Remove the rows of later steps than that of the checkpoint that training goes on from."""
        for name in list_folder(self.folder):
            if (found := PART.fullmatch(name)) and int(found[1]) > after:
                remove_file(join(self.folder, name))


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


class StepFollower:
    """Follows a training from the driver: tells of each row once, and again of steps that are done again.

    Args:
        metrics: rows of the training.
        start: steps that were done before.
        on_row: called with each new row.
        warn: told what could not be read.
    """

    def __init__(
        self, metrics: StepMetrics, *, start: int, on_row: Callable[[Row], None], warn: Callable[[str], None]
    ) -> None:
        self.metrics, self.told, self.on_row, self.warn = metrics, start, on_row, warn
        self.poll = LOCAL_POLL_SECONDS if is_local(metrics.folder) else REMOTE_POLL_SECONDS
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> StepFollower:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop.set()
        self.thread.join()
        self._look()

    def _follow(self) -> None:
        while not self.stop.wait(self.poll):
            self._look()

    def _look(self) -> None:
        try:
            rows = self.metrics.read(after=self.told)
            if not rows:
                self.told = min(self.told, self.metrics.last_step())  # training was set back to its last checkpoint
        except (OSError, ValueError) as error:  # training need not wait for storage that refuses for a while
            self.warn(f"{self.metrics.folder} could not be read ({error})")
            return
        for row in rows:
            self.told = row["step"]
            self.on_row(row)


def write_metrics(uri: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines."""
    write_text(uri, _lines(rows))


def read_metrics(uri: str) -> list[Row]:
    """The rows of a JSON-lines file; none where there is no file."""
    return [json.loads(line) for line in read_text(uri).splitlines()] if exists(uri) else []
