"""Trackers follow a training run from the driver: each is given every row of metrics that training reports."""

from __future__ import annotations

import hashlib
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

from rich.console import Console

from signdpo.config import Config

BEAT_SECONDS = 1.0  # between two; Ray exports what was set since its last export, once in ten seconds by default


@dataclass(frozen=True)
class Training:
    """What is followed.

    Args:
        config: of the run.
        directory: of the run, a local path or an fsspec URI.
        run: its name.
        stage: that trains.
        key: of the stage's inputs.
        start_step: steps done by an earlier driver; what comes is after them.
        total_steps: of the stage.
    """

    config: Config
    directory: str
    run: str
    stage: str
    key: str
    start_step: int
    total_steps: int

    @property
    def labels(self) -> dict[str, str]:
        return {"run": self.run, "stage": self.stage}

    @property
    def id(self) -> str:
        """Letters and digits that this training has for itself, however often it is resumed."""
        text = "\x1f".join([self.directory, self.stage, self.key])
        return f"{self.stage.replace('/', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class Tracker(ABC):
    """Where the rows go. After a worker group died, rows come again from the step of its last checkpoint on."""

    @abstractmethod
    def log(self, row: Mapping[str, Any]) -> None:
        """Take a row of metrics, with its `step`."""

    def beat(self) -> None:  # noqa: B027  most have nothing to do here
        """Called every few seconds, whether or not there are rows."""

    def close(self) -> None:  # noqa: B027
        """Called once, after the last row."""


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a row except its step."""
    return {
        name: float(value)
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float) and math.isfinite(value)
    }


class Trackers:
    """All trackers of one training. One that fails is left out with a warning: watching must not end what it watches.

    Args:
        openers: name -> opens the tracker.
        console: for the warning.
    """

    def __init__(self, openers: Mapping[str, Callable[[], Tracker]], console: Console) -> None:
        self.openers, self.console = openers, console
        self.open: dict[str, Tracker] = {}
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._keep_beating, daemon=True)

    def __enter__(self) -> Trackers:
        for name in self.openers:
            self._guarded(name, partial(self._open, name))
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop.set()
        self.thread.join()
        self._each(lambda tracker: tracker.close())

    def log(self, row: Mapping[str, Any]) -> None:
        self._each(lambda tracker: tracker.log(row))

    def beat(self) -> None:
        self._each(lambda tracker: tracker.beat())

    def _keep_beating(self) -> None:
        while not self.stop.wait(BEAT_SECONDS):
            self.beat()

    def _open(self, name: str) -> None:
        self.open[name] = self.openers[name]()

    def _each(self, work: Callable[[Tracker], None]) -> None:
        with self.lock:
            for name, tracker in list(self.open.items()):
                self._guarded(name, partial(work, tracker))

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.open.pop(name, None)
            self.console.print(
                f"  {name} failed and is left out until the next stage: {type(error).__name__}: {error}",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )
