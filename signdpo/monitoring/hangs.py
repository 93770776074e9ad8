"""Generators that hang: ended after a while, told of, and not for ever tried again.

A watchdog in C ends the process, also one that hangs with the interpreter's lock in its hands, and leaves its stack in
its log. Ray starts the actor again and gives it the same batch. An actor on the driver's node counts how often that
happens to a batch.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray

from signdpo.cluster.nodes import on_this_node

MAX_HANGS = 3  # of the same batch


class HungBatchError(RuntimeError):
    """A batch that no generator has come to the end of."""


@dataclass(frozen=True)
class Attempt:
    """A batch in the hands of a generator.

    Args:
        batch: a key of its rows, the same whoever tries.
        what: the batch for a person.
        generator: the process, for a person.
        stack: the file that its stack goes to.
        stream: the execution it belongs to.
    """

    batch: str
    what: str
    generator: str
    stack: str
    stream: str


@ray.remote(num_cpus=0, max_task_retries=-1)  # asked again when it cannot be reached for a moment
class BatchAttempts:
    """Knows which batches are in the making, and which have hung.

    Args:
        seconds: that a batch may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.running: dict[str, tuple[float, Attempt]] = {}
        self.hung: dict[str, list[Attempt]] = {}
        self.untold: list[Attempt] = []

    def begin(self, attempt: Attempt) -> list[Attempt]:
        """Note that a batch is begun, unless it has hung too often; returns the attempts at it that hung."""
        self._sort_out()
        # What a trainer that died had ordered was broken off, and did not hang.
        self.running = {batch: run for batch, run in self.running.items() if run[1].stream == attempt.stream}
        hung = self.hung.get(attempt.batch, [])
        if len(hung) < MAX_HANGS:
            self.running[attempt.batch] = time.monotonic(), attempt
        return hung

    def end(self, batch: str) -> None:
        self.running.pop(batch, None)

    def take(self) -> list[Attempt]:
        """Attempts that have hung since the last call."""
        self._sort_out()
        untold, self.untold = self.untold, []
        return untold

    def _sort_out(self) -> None:
        now = time.monotonic()
        for began, attempt in list(self.running.values()):
            if now - began >= self.seconds:
                del self.running[attempt.batch]
                self.hung.setdefault(attempt.batch, []).append(attempt)
                self.untold.append(attempt)


def new_attempts(seconds: float) -> Any:
    """A `BatchAttempts` that lives as long as the driver."""
    return BatchAttempts.options(scheduling_strategy=on_this_node()).remote(seconds)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class BatchWatch:
    """A generator's side: gives it so many seconds for each batch.

    Args:
        attempts: a `BatchAttempts`.
        seconds: that a batch may take.
        stream: names the execution that the generators belong to.
    """

    attempts: Any
    seconds: float
    stream: str = field(default_factory=lambda: uuid.uuid4().hex)

    @contextmanager
    def over(self, batch: Mapping[str, Any]) -> Iterator[None]:
        """End this process if the work under it does not end in time.

        Raises:
            HungBatchError: if the batch has hung too often.
        """
        attempt = self._attempt(batch)
        hung = ray.get(self.attempts.begin.remote(attempt))
        if len(hung) >= MAX_HANGS:
            raise HungBatchError(
                f"{len(hung)} generators hung on {attempt.what}, each for {self.seconds:g} s; their stacks are at the "
                f"end of {', '.join(sorted({earlier.stack for earlier in hung}))}. If it only takes longer, raise "
                "resources.generator_timeout_seconds; the run goes on from here when started again"
            )
        faulthandler.dump_traceback_later(self.seconds, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self.attempts.end.remote(attempt.batch)

    def _attempt(self, batch: Mapping[str, Any]) -> Attempt:
        ids, steps = [str(clip) for clip in batch["id"]], np.unique(np.asarray(batch["step"])).tolist()
        rows = hashlib.blake2b("\x1f".join([str(steps), *ids]).encode(errors="backslashreplace"), digest_size=8)
        context = ray.get_runtime_context()
        return Attempt(
            batch=rows.hexdigest(),
            what=f"the batch of step {steps[0] + 1} ({len(ids)} clips, the first is {ids[0]})",
            generator=f"process {os.getpid()} on node {context.get_node_id()[:8]}",
            stack=str(Path("/dev/stderr").resolve()),
            stream=self.stream,
        )


def describe(attempt: Attempt, seconds: float) -> str:
    """One line for a person."""
    return (
        f"a generator ({attempt.generator}) did not come to the end of {attempt.what} within {seconds:g} s and is "
        f"started again; its stack is at the end of {attempt.stack}"
    )
