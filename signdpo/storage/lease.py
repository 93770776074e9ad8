"""One driver for each directory: a lease with an owner and a heartbeat, on local disks and object stores alike.

The lease is the newest file of the folder `.lease`, numbered `000001`, `000002`, ...; no number is given twice. It says
who holds the directory, see `Holder`. The holder writes it anew at each heartbeat and marks it as released in the end.
To take a lease that is free, or whose holder is dead, is to create the next number:

- Where the storage creates a file only if there is none, which is tried out first (a hard link on a local disk; on S3,
  GCS and Azure the conditional write, `mode="create"` of fsspec), one of many gets the number.
- Elsewhere each writes a claim of its own, `000002-<token>`, waits until all who saw the same lease must have written
  theirs, and lists them: the first by name has the lease, the others withdraw.

Either way, who took longer than `SETTLE_SECONDS` from looking to having written withdraws, and what was written must
turn out to be the newest. So neither a number that was cleared away nor a driver that stood still in between makes a
second owner, nor do drivers of which only some can create exclusively: `000002` comes before `000002-<token>`.
Listings must show what was written before them, as those of today's object stores do.

A holder is dead if its process is gone from this machine, which is asked where host, boot and process namespace are the
same; elsewhere if its heartbeat has run out and stands still while it is watched, since clocks differ. A driver learns
at its next heartbeat that its lease was taken over; whoever takes it over from a living one waits for that.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from signdpo.storage.exclusive import create, creates_exclusively
from signdpo.storage.files import absolute, exists, join, list_folder, read_text, remove_file, write_bytes
from signdpo.storage.holder import Holder
from signdpo.storage.retries import retried

FOLDER: Final = ".lease"
NAME: Final = re.compile(r"\d{6}(-[0-9a-f]{32})?")
WATCHED: Final = 2  # heartbeats for which a holder is watched
ATTEMPTS: Final = 3
SETTLE_SECONDS = 5.0  # from looking to writing, at most; claims are compared so much later

logger = logging.getLogger(__name__)


class LeaseHeldError(RuntimeError):
    """A directory that another driver holds."""


class LeaseLostError(RuntimeError):
    """A directory that another driver has taken over."""


class Seen(NamedTuple):
    """The newest file of a lease as it was read; `000000`, which is free, if there is none."""

    name: str
    holder: Holder
    text: str


class Lease:
    """The lease of a directory, to be acquired, heard of every `holder.interval` seconds and released.

    Args:
        directory: local path or URI.
        seconds: time without a heartbeat after which others may take it.
        clock: gives seconds since 1970.
        sleep: waits for seconds.
        say: tells a person what takes long.
    """

    def __init__(
        self,
        directory: str,
        seconds: float,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = logger.warning,
    ) -> None:
        self.directory, self.clock, self.sleep, self.say = absolute(directory), clock, sleep, say
        self.folder = join(self.directory, FOLDER)
        self.holder = Holder.this_process(seconds, clock())
        self.name = ""
        self.lost: str | None = None  # why, once it is

    def acquire(self, *, take_over: bool = False) -> None:
        """Take the lease if it is free or its holder is dead; with `take_over` in any case.

        A living holder then has two heartbeats to notice and end, before this returns.

        Raises:
            LeaseHeldError: naming the holder and what to do, also where another was faster.
        """
        for _ in range(ATTEMPTS):
            seen = look(self.folder)
            held = not seen.holder.released
            if held and not take_over:
                if self._is_alive(seen.holder):
                    break
                if self._stirs(seen):
                    continue
            if self._claim(seen):
                if held and take_over and seen.holder.is_running() is not False:
                    self._await_end(seen)
                self._clear()
                return
            take_over = False
        holder = look(self.folder).holder
        if holder.released:
            raise LeaseHeldError(f"{self.directory}: others tried to begin here at the same time; try again")
        raise LeaseHeldError(
            f"{self.directory} is in use by {holder.describe(self.clock())}. Two drivers would overwrite each other's "
            f"ledger, checkpoints and manifests: wait until it has ended (one that died loses the directory "
            f"{holder.seconds:g} s after its last heartbeat), or give the same command with --take-over, which ends it"
        )

    def beat(self) -> None:
        """Write that the driver is alive, or note in `lost` that it holds the directory no more."""
        seen = look(self.folder)
        if seen.name[:6] == self.name[:6] and seen.name != self.name:  # a claim that came too late and is withdrawn
            seen = read(self.folder, self.name)
        if seen.holder.token != self.holder.token:
            how = f"by {seen.holder.describe(self.clock())}" if int(seen.name[:6]) else f"{FOLDER} was removed"
            self.lost = f"{self.directory} was taken over, {how}: this driver has ended, to write nothing more there"
            return
        self.holder = replace(self.holder, beat=self.clock())
        write_bytes(join(self.folder, self.name), self.holder.to_bytes())

    def release(self) -> None:
        """Mark the lease as free, also one that was lost. Its file stays, since its number must not be given again."""
        place = join(self.folder, self.name)
        try:
            if exists(place):
                write_bytes(place, replace(self.holder, released=True).to_bytes())
        except Exception as error:  # what the driver ended with matters more, and the lease runs out by itself
            logger.warning("the lease of %s could not be released: %s", self.directory, error)

    def _is_alive(self, holder: Holder) -> bool:
        running = holder.is_running()
        return abs(self.clock() - holder.beat) < holder.seconds if running is None else running

    def _stirs(self, seen: Seen) -> bool:
        """Whether a holder whose heartbeat ran out is heard of after all: clocks differ between hosts."""
        if seen.holder.is_running() is False:
            return False
        self.say(
            f"{self.directory} is held by {seen.holder.describe(self.clock())}; it is taken over unless something is "
            f"heard of that within {WATCHED * seen.holder.interval:.0f} s"
        )
        return self._watch(seen.holder, lambda: look(self.folder) != seen)

    def _await_end(self, seen: Seen) -> None:
        """Let a driver that was taken over notice it; raises `LeaseLostError` if this one is taken over meanwhile."""

        def has_ended() -> bool:
            self.beat()
            if self.lost is not None:
                return True
            holder = read(self.folder, seen.name).holder
            return holder.released or holder.is_running() is False

        self.say(
            f"{self.directory} is taken over from {seen.holder.describe(self.clock())}, which has "
            f"{WATCHED * seen.holder.interval:.0f} s to end"
        )
        self._watch(seen.holder, has_ended)
        if self.lost is not None:
            raise LeaseLostError(self.lost)

    def _watch(self, holder: Holder, until: Callable[[], bool]) -> bool:
        for _ in range(4 * WATCHED):
            self.sleep(holder.interval / 4)
            if until():
                return True
        return False

    def _claim(self, seen: Seen) -> bool:
        """Whether this driver got the number after the one that was seen."""
        exclusive = creates_exclusively(self.folder)
        began, now = time.monotonic(), self.clock()
        if look(self.folder).name != seen.name:
            return False
        self.holder = replace(self.holder, since=now, beat=now)
        self.name = f"{int(seen.name[:6]) + 1:06d}" + ("" if exclusive else f"-{self.holder.token}")
        place, created = join(self.folder, self.name), True
        if exclusive:
            created = retried(create)(place, self.holder.to_bytes())
        else:
            write_bytes(place, self.holder.to_bytes())
        in_time = time.monotonic() - began < SETTLE_SECONDS
        if in_time and not exclusive:
            self.sleep(SETTLE_SECONDS)
        is_mine = look(self.folder).holder.token == self.holder.token  # also where the answer to `create` was lost
        if is_mine and in_time:
            return True
        if is_mine or created:
            remove_file(place)
        return False

    def _clear(self) -> None:
        """Remove what is left of earlier leases."""
        for name in list_folder(self.folder):
            if NAME.fullmatch(name) and name[:6] < self.name[:6]:
                with suppress(Exception):
                    remove_file(join(self.folder, name))


def look(folder: str, again: int = 10) -> Seen:
    """The newest file of a lease; `again`: how often another is looked for where it has gone since it was listed."""
    names = [name for name in list_folder(folder) if NAME.fullmatch(name)]
    if not names:
        return Seen("000000", Holder(released=True), "")
    newest = max(name[:6] for name in names)
    try:
        return read(folder, min(name for name in names if name.startswith(newest)))
    except FileNotFoundError:
        if again == 0:
            raise
        return look(folder, again - 1)


def read(folder: str, name: str) -> Seen:
    text = read_text(join(folder, name))
    return Seen(name, Holder.parse(text), text)
