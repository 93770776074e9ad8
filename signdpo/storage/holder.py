"""Who holds a directory: a driver, told from any other process of the same number."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import socket
import sys
import uuid
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

BEATS: Final = 6  # heartbeats before a lease runs out


@dataclass(frozen=True)
class Holder:
    """Who holds a directory.

    Args:
        host, pid, user, command: what a person knows the driver by.
        token: random name of the lease.
        machine, started: what tells the process from others of the same number, see `_machine`; the start in ticks.
        since, beat: times at which it took the directory and was last heard of, seconds since 1970 by its own clock.
        seconds: time without a heartbeat after which others may take the directory.
        released: whether it has ended.
    """

    host: str = "an unknown host"
    pid: int = 0
    user: str = "unknown"
    command: str = "an unknown command"
    token: str = ""
    machine: str = ""
    started: int = 0
    since: float = 0.0
    beat: float = 0.0
    seconds: float = 120.0
    released: bool = False

    @classmethod
    def this_process(cls, seconds: float, now: float) -> Holder:
        """This driver, with a new token."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            user = str(os.getuid())
        found = _state_of(os.getpid())
        machine = _machine() if found else ""
        started = found[1] if found else 0
        host, command, token = socket.gethostname(), shlex.join(sys.argv), uuid.uuid4().hex
        return cls(host, os.getpid(), user, command, token, machine, started, now, now, seconds)

    @classmethod
    def parse(cls, text: str) -> Holder:
        """What a file says; of one that is damaged an unknown holder, who must be watched."""
        try:
            content = json.loads(text)
            return cls(**{field.name: content[field.name] for field in fields(cls)})
        except (ValueError, KeyError, TypeError):
            return cls()

    def to_bytes(self) -> bytes:
        """The content of its file."""
        return json.dumps(asdict(self)).encode()

    @property
    def interval(self) -> float:
        """Seconds between heartbeats."""
        return self.seconds / BEATS

    def describe(self, now: float) -> str:
        """Who, where, since when and how long silent, for a person."""
        since = f"{datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"
        who = f"pid {self.pid} on {self.host}, user {self.user}"
        return f"`{self.command}` ({who}; since {since}, last heartbeat {max(now - self.beat, 0):.0f} s ago)"

    def is_running(self) -> bool | None:
        """Whether its process runs; None where that cannot be told from here."""
        if not self.machine or self.machine != _machine():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            pass
        found = _state_of(self.pid)
        return found and found[0] not in "ZX" and found[1] == self.started


def _machine() -> str:
    """Host, boot and process namespace, in which a pid and its start are those of one process; empty where unknown."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):  # /proc is of another namespace
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _state_of(pid: int) -> tuple[str, int] | None:
    """State of a process, `Z` and `X` of dead ones, and its start in ticks since boot; None where that is hidden."""
    try:
        numbers = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return numbers[0], int(numbers[19])
    except (OSError, ValueError, IndexError):
        return None
