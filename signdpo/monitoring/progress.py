"""What a person sees while a stage runs: a bar with rate and ETA on a terminal, a line now and then in a job's log."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import ray
from ray.train import UserCallback
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.util.placement_group import PlacementGroup, remove_placement_group
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from signdpo.cluster.nodes import on_this_node
from signdpo.monitoring.stalls import Watchdog
from signdpo.storage.files import exists, read_text, write_text

LOG_SECONDS = 20.0  # between two lines where there is no terminal
WRITE_SECONDS = 3.0  # between two writes of the metrics, at least; so much of them may be lost with a driver
WRITE_SHARE = 0.05  # of the time that writing them may take
POLL_SECONDS = 0.5  # between two looks at what was reported


class StageProgress:
    """Shows how far one stage is.

    Args:
        console: where to.
        title: of the stage.
        total: units of work, if known.
        unit: what is counted.
        watchdog: hears of every update, and is on watch as long as this is.
    """

    def __init__(
        self, console: Console, title: str, *, total: int | None, unit: str, watchdog: Watchdog | None = None
    ) -> None:
        self.console, self.title, self.total, self.unit, self.watchdog = console, title, total, unit, watchdog
        self.bar: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description:<12}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("eta"),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=console)
            self.task = self.bar.add_task(title, total=total, note="starting")
        self.began = self.logged = time.monotonic()
        self.first: tuple[float, int] | None = None

    def __enter__(self) -> StageProgress:
        if self.bar:
            self.bar.start()
        if self.watchdog:
            self.watchdog.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()
        if self.watchdog:
            self.watchdog.__exit__()

    def update(self, done: int, note: str = "", *, total: int | None = None) -> None:
        """Show that `done` units are finished, of `total` if that became known only now."""
        if total is not None:
            self.total = total
        if self.watchdog:
            self.watchdog.heard()
        now = time.monotonic()
        if self.first is None:
            self.first = (now, done)
        rate = (done - self.first[1]) / max(now - self.first[0], 1e-6)
        note = f"{rate:.1f} {self.unit}/s  {note}" if rate > 0 else note
        if self.bar:
            self.bar.update(self.task, completed=done, total=self.total, note=note)
        elif now - self.logged >= LOG_SECONDS:
            self.logged = now
            left = f", {(self.total - done) / rate:.0f} s left" if rate > 0 and self.total else ""
            self.console.print(f"  {self.title}: {done}/{self.total or '?'} {self.unit} {note}{left}")


@ray.remote(num_cpus=0, max_task_retries=-1)  # asked again when it cannot be reached for a moment
class MetricsBoard:
    """Holds what the training controller reports until the driver takes it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.groups: list[PlacementGroup] = []

    def occupy(self, group: PlacementGroup) -> None:
        self.groups.append(group)

    def occupied(self) -> list[PlacementGroup]:
        """Placement groups that worker groups have had."""
        return self.groups

    def post(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def take(self) -> list[dict[str, Any]]:
        rows, self.rows = self.rows, []
        return rows


class PostMetrics(UserCallback):
    """Sends rank 0's metrics of every report to the board."""

    def __init__(self, board: Any) -> None:
        self.board = board

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        self.board.post.remote(metrics[0])


class PostPlacementGroup(WorkerGroupCallback):
    """Tells the board what a worker group occupies.

    Ray Train's own cleaner frees that when a controller dies, but only where it can reach the Ray dashboard.
    """

    def __init__(self, board: Any) -> None:
        self.board = board

    def after_worker_group_start(self, worker_group: Any) -> None:
        handle = worker_group.get_worker_group_state().placement_group_handle
        ray.get(self.board.occupy.remote(handle.placement_group))


class TrainingLog:
    """Follows a training run from the driver: shows it, and keeps its metrics as JSON lines in the run directory.

    The file is written as the run goes, whole each time, and has each step once: what is reported again after a restart
    replaces what was reported before.

    Args:
        uri: of the JSON-lines file.
        rows: of the steps before; rows of later steps are not read from the file, they will be reported again.
        on_row: called with each new row.
        warn: told what could not be written.
    """

    def __init__(
        self,
        uri: str,
        *,
        rows: Iterable[dict[str, Any]],
        on_row: Callable[[dict[str, Any]], None],
        warn: Callable[[str], None],
    ) -> None:
        self.uri, self.on_row, self.warn = uri, on_row, warn
        self.rows = {row["step"]: row for row in rows}
        self.unwritten, self.next_write = False, time.monotonic() + WRITE_SECONDS
        self.board: Any = MetricsBoard.options(scheduling_strategy=on_this_node()).remote()  # type: ignore[attr-defined]
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def callbacks(self) -> list[Any]:
        """What the trainer must be given for its reports to arrive here."""
        return [PostMetrics(self.board), PostPlacementGroup(self.board)]

    def free(self) -> None:
        """Give back what the workers of a dead controller occupied."""
        for group in ray.get(self.board.occupied.remote()):
            remove_placement_group(group)

    def __enter__(self) -> TrainingLog:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self._take()
        self._write()

    def _follow(self) -> None:
        while not self.stop.wait(POLL_SECONDS):
            self._take()
            if self.unwritten and time.monotonic() >= self.next_write:
                self._try_to_write()

    def _take(self) -> None:
        for row in ray.get(self.board.take.remote()):
            self.rows[row["step"]] = row
            self.unwritten = True
            self.on_row(row)

    def replace(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take these rows for those of their steps."""
        self.rows |= {row["step"]: row for row in rows}

    def _try_to_write(self) -> None:
        """Write; storage that refuses is told and tried again later, since training need not wait for it."""
        try:
            self._write()
        except OSError as error:
            self.warn(f"{self.uri} could not be written ({error})")
            self.next_write = time.monotonic() + 10 * WRITE_SECONDS

    def _write(self) -> None:
        began = time.monotonic()
        rows = list(self.rows.values())
        write_text(self.uri, "".join(json.dumps(row) + "\n" for row in sorted(rows, key=lambda row: row["step"])))
        now = time.monotonic()
        self.unwritten, self.next_write = False, now + max(WRITE_SECONDS, (now - began) / WRITE_SHARE)


def read_metrics(uri: str) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; none where there is no file."""
    return [json.loads(line) for line in read_text(uri).splitlines()] if exists(uri) else []
