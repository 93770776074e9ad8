"""What a person sees while a stage runs: a bar with rate and ETA on a terminal, a line now and then in a job's log."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.train import UserCallback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from signdpo.storage import exists, read_text, write_text

LOG_SECONDS = 20.0  # between two lines where there is no terminal


class Meter:
    """Shows how far one stage is.

    Args:
        console: where to.
        title: of the stage.
        total: units of work, if known.
        unit: what is counted.
    """

    def __init__(self, console: Console, title: str, *, total: int | None, unit: str) -> None:
        self.console, self.title, self.total, self.unit = console, title, total, unit
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

    def __enter__(self) -> Meter:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def update(self, done: int, note: str = "", *, total: int | None = None) -> None:
        """Show that `done` units are finished, of `total` if that became known only now."""
        if total is not None:
            self.total = total
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


@ray.remote(num_cpus=0)
class MetricsBoard:
    """Holds what the training controller reports until the driver takes it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

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


class TrainingLog:
    """Follows a training run from the driver: shows it, and keeps its metrics as JSON lines in the run directory.

    Args:
        uri: of the JSON-lines file.
        start_step: rows after this step are forgotten: they will be reported again.
        on_row: called with each new row.
        stall_seconds: without any report for so long, a warning is printed, once a stall.
        console: for the warning.
    """

    def __init__(
        self,
        uri: str,
        *,
        start_step: int,
        on_row: Callable[[dict[str, Any]], None],
        stall_seconds: float,
        console: Console,
    ) -> None:
        self.uri, self.on_row, self.stall_seconds, self.console = uri, on_row, stall_seconds, console
        self.rows = [row for row in read_metrics(uri) if row["step"] <= start_step]
        self.board: Any = MetricsBoard.remote()  # type: ignore[attr-defined]
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def callback(self) -> UserCallback:
        """What the trainer must be given for its reports to arrive here."""
        return PostMetrics(self.board)

    def __enter__(self) -> TrainingLog:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self._take()
        write_text(self.uri, "".join(json.dumps(row) + "\n" for row in self.rows))

    def _follow(self) -> None:
        heard = time.monotonic()
        while not self.stop.wait(0.5):
            if self._take():
                heard = time.monotonic()
            elif time.monotonic() - heard > self.stall_seconds:
                self.console.print(
                    f"[yellow]nothing has been reported for {self.stall_seconds:g} s: look at the Ray dashboard, "
                    "`ray status` shows what waits for resources[/]"
                )
                heard = time.monotonic()

    def _take(self) -> bool:
        rows = ray.get(self.board.take.remote())
        for row in rows:
            self.rows.append(row)
            self.on_row(row)
        return bool(rows)


def read_metrics(uri: str) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; none where there is no file."""
    return [json.loads(line) for line in read_text(uri).splitlines()] if exists(uri) else []
