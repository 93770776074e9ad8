"""The one driver that works in a directory: it holds the lease to its end, and ends if another takes it over."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from signdpo.config import Config, ConfigError
from signdpo.storage.lease import Lease, LeaseHeldError, LeaseLostError
from signdpo.storage.retries import is_transient

PATIENCE_SECONDS = 15.0  # for the main thread to leave what it waits for, and Ray to end

logger = logging.getLogger(__name__)


@contextmanager
def only_driver(directory: str, config: Config, console: Console, *, take_over: bool = False) -> Iterator[None]:
    """Hold the lease of a directory while the block runs. What starts within, such as trials, needs no other.

    Args:
        directory: local path or URI that the block writes to.
        config: for `resources.lease_seconds`.
        console: where a person reads.
        take_over: whether to take the directory from a driver that is alive.

    Raises:
        ConfigError: before the block, if another driver holds the directory or it cannot be written to.
        LeaseLostError: in place of what the block ended with, if the directory was taken over.
    """

    def say(message: str) -> None:
        console.print(f"  {message}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    lease = Lease(directory, config.resources.lease_seconds, say=say)
    try:
        lease.acquire(take_over=take_over)
    except LeaseHeldError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        if is_transient(error.__cause__ or error):
            raise
        raise ConfigError(
            f"{error}: name a folder, or a URI such as s3://bucket/run, that can be written to"
        ) from error
    with Heartbeat(lease, console):
        yield


class Heartbeat:
    """Keeps a lease from a thread of the driver while its block runs, and releases it.

    Args:
        lease: acquired lease.
        console: where a person reads why the process ends, if the main thread does not leave the block.
    """

    def __init__(self, lease: Lease, console: Console) -> None:
        self.lease, self.console = lease, console
        self.leaving, self.left = False, threading.Event()
        self.thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self.interrupts = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Heartbeat:
        if self.interrupts:  # not SIGINT, which Ray Train and Tune take for a wish to end in good order, and write
            self.handler = signal.signal(signal.SIGUSR2, self._interrupt)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Raises `LeaseLostError` in place of whatever the block ended with, if the lease was lost."""
        self.leaving = True
        if self.lease.lost is not None and "ray" in sys.modules:
            sys.modules["ray"].shutdown()  # workers write, too; whoever has the directory now waits for the release
        self.left.set()
        self.thread.join()
        if self.interrupts:
            signal.signal(signal.SIGUSR2, self.handler)
        self.lease.release()
        if self.lease.lost is not None:
            raise LeaseLostError(self.lease.lost) from None

    def _beat(self) -> None:
        while not self.left.wait(self.lease.holder.interval):
            try:
                self.lease.beat()
            except Exception as error:  # of many kinds; whether another has come is seen at the next heartbeat
                logger.warning("no heartbeat in %s: %s", self.lease.folder, error)
            if self.lease.lost is not None:
                self._end(self.lease.lost)

    def _end(self, lost: str) -> None:
        """Interrupt the main thread; end the process if it does not come out of what it waits for."""
        main = threading.main_thread().ident
        if self.interrupts and main is not None:
            signal.pthread_kill(main, signal.SIGUSR2)
        if not self.left.wait(PATIENCE_SECONDS):
            self.console.print(f"error: {lost}", style="bold red", markup=False, soft_wrap=True)
            os._exit(1)

    def _interrupt(self, *_: object) -> None:
        if not self.leaving:
            raise KeyboardInterrupt
