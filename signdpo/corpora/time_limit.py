"""A time limit on reading one clip, whatever its reader waits for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SlowClipError(TimeoutError):
    """A clip whose reading was given up; reading it again may succeed."""


class _TimeIsUpError(BaseException):
    """Raised in the midst of a reader, where no `except Exception` is to take it for an error of its own."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """While a clip is read: give it up after so many seconds; None: never.

    A timer's signal interrupts the main thread, also where it sleeps, or waits for a disk or a connection: Ray runs
    tasks and actors there. It cannot interrupt C code that computes, which the readers' limits on sizes keep short, nor
    a wait in the kernel that nothing can. In other threads there is no limit.

    Raises:
        SlowClipError: in the place of what the interrupted reader would have done.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise _TimeIsUpError

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)  # what came a moment before is still raised in here
    except _TimeIsUpError:
        raise SlowClipError(
            f"reading took longer than {seconds:g} s: if nothing hangs and it is the storage that is slow, raise "
            "corpus.clip_seconds"
        ) from None
    finally:
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
