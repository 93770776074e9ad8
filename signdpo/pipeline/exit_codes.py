"""How a job ends: its exit code, and one message for a known error or for being stopped.

A mistyped key or a plan without room is told before torch and the pipeline are imported, which takes seconds.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from rich.console import Console

from signdpo.config import ConfigError

STOPPED: Final = "stopped by {signal}: what is done is kept, and the same command goes on from there"


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, as `kill`, `ray job stop`, a scheduler or a node that is taken away sends it."""


def exit_code(work: Callable[[], object], console: Console) -> int:
    """Do the work of a job and tell a known error in one message; other errors are raised.

    Returns:
        0 if it is done, 2 if a setting or a file must be changed first, 1 if something failed that may succeed again,
        130 after Ctrl-C and 143 after SIGTERM, as a shell has them.
    """
    terminated: list[int] = []
    try:
        with _terminations_raised(terminated):
            work()
    except ConfigError as error:  # told without the imports below
        return _tell(f"error: {error}", console, 2)
    except KeyboardInterrupt:
        if terminated:  # Ray raises a KeyboardInterrupt of its own in the place of ours
            return _tell(STOPPED.format(signal="SIGTERM"), console, 128 + signal.SIGTERM)
        return _tell(STOPPED.format(signal="Ctrl-C"), console, 128 + signal.SIGINT)
    except Exception as error:
        from signdpo.pipeline.errors import explain

        known = explain(error)
        if known is None:
            raise
        return _tell(f"error: {known.message}", console, known.code)
    return 0


@contextmanager
def _terminations_raised(seen: list[int]) -> Iterator[None]:
    """Raise `TerminatedError` once SIGTERM comes, which ends a job as Ctrl-C does; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        seen.append(number)
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(message: str, console: Console, code: int) -> int:
    console.print(message, style="bold red", markup=False, soft_wrap=True)
    return code
