"""What a person sees while a stage runs: a bar with rate and ETA on a terminal, a line now and then in a job's log."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from signdpo.monitoring.stalls import Watchdog

LOG_SECONDS = 20.0  # between two lines where there is no terminal


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
            of = f"/{self.total}" if self.total else ""
            self.console.print(f"  {self.title}: {done}{of} {self.unit} {note}{left}")
