"""Ray is started here, or a cluster is joined, and what stands in the way is said at once and with its remedy."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import ray

from signdpo.config import ConfigError

ADDRESS: Final = "RAY_ADDRESS"
KNOCK_SECONDS: Final = 10.0  # for a head to accept a connection
ELSEWHERE: Final = "choose another place for its files: TMPDIR, or RAY_TMPDIR for Ray alone"
TIMED_OUT: Final = "timed out during startup"
REMEDIES: Final = {
    "AF_UNIX path": f"its sockets need a path of at most 107 characters; {ELSEWHERE}, a short one",
    TIMED_OUT: "the machine is too busy, or was too slow, for its processes to come up; start the same command again",
}


def starts_here() -> bool:
    """Whether Ray is yet to be started on this machine, for this process alone."""
    return not ray.is_initialized() and ADDRESS not in os.environ


def join_ray(**settings: Any) -> None:
    """`ray.init`, after which SIGTERM means what it did before.

    Args:
        settings: of a Ray that is started here; nothing to join the cluster that `RAY_ADDRESS` names.

    Raises:
        ConfigError: nobody answers at the address, or the machine has no place for Ray's files or sockets.
    """
    address = os.environ.get(ADDRESS, "")
    if not settings:
        _knock(address)
    try:
        with _terminations_kept():
            ray.init(log_to_driver=False, logging_level="ERROR", **settings)
    except (OSError, RuntimeError, ValueError) as error:
        if settings:
            raise ConfigError(f"Ray does not start here: {_told(error)}") from error
        raise ConfigError(f"{ADDRESS}={address}: {_told(error)}") from error
    except Exception as error:  # what Ray raises where a node does not come up
        if TIMED_OUT not in str(error):
            raise
        raise ConfigError(f"Ray does not start here: {_told(error)}") from error


def _knock(address: str) -> None:
    """Refuse an address behind which there is nobody: Ray would wait for minutes. Raises `ConfigError`."""
    if address.startswith("ray://"):
        raise ConfigError(
            f"{ADDRESS}={address}: Ray Data and Ray Train do not run through Ray Client. Submit the command to the "
            "cluster: ray job submit --address http://HEAD:8265 --working-dir . -- python jobs/align.py"
        )
    host, _, port = address.rpartition(":")
    if not port.isdigit():  # `auto`, and what Ray itself refuses at once
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"{ADDRESS}={address}: no Ray answers there ({error}). Start one with ray start --head, name another, or "
            f"unset {ADDRESS} to run on this machine alone"
        ) from error


def _told(error: Exception) -> str:
    """The first line of what Ray says, and what helps."""
    said = str(error).strip().partition("\n")[0]
    remedy = next((remedy for sign, remedy in REMEDIES.items() if sign in str(error)), "")
    if not remedy and isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError):
        remedy = ELSEWHERE
    return f"{said}. {remedy}".removesuffix(" ")


@contextmanager
def _terminations_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself: the process would end with a stack trace of C++, and say nothing to a person."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and callable(before):
            signal.signal(signal.SIGTERM, before)
