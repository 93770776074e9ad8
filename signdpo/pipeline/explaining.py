"""Errors that a person can do something about, found in what Ray wraps around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayTaskError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback
from rich.console import Console

from signdpo.config import ConfigError
from signdpo.corpora.ingest import TooManyBadClipsError
from signdpo.negatives.generator import ReferenceMismatchError
from signdpo.patience import StorageError
from signdpo.pipeline.hangs import HungBatchError
from signdpo.pipeline.perturbing import NoFailuresError
from signdpo.pipeline.stalls import StalledError
from signdpo.pipeline.training import DamagedCheckpointsError
from signdpo.skeleton.clip import BadClipError

TOLD_BY_THEMSELVES = (
    ConfigError,
    HungBatchError,
    StalledError,
    StorageError,
    ReferenceMismatchError,
    DamagedCheckpointsError,
)
TO_BE_CHANGED = (ConfigError, TooManyBadClipsError, BadClipError, NoFailuresError, FileNotFoundError)
RAY_DATA_ADDS = "\nFailed to apply UDF transform"  # and how to make it try again, to every error of a task
NO_ROOM = (
    "there is no room left for Ray's objects: its memory for them is full, and so is the disk it spills them to, of "
    "which it leaves 5 % free (/tmp/ray unless Ray was told otherwise). Make room there, or start Ray with more or "
    "elsewhere: `ray start --head --object-store-memory=BYTES --object-spilling-directory=DIR`, then RAY_ADDRESS=auto "
    "before the same command, which goes on from the last checkpoint"
)


def exit_code(work: Callable[[], object], console: Console) -> int:
    """Do the work of a job and tell a known error in one message; other errors are raised.

    Returns:
        0 if it is done, 2 if a setting or a file must be changed first, 1 if something failed that may succeed again.
    """
    try:
        work()
    except TO_BE_CHANGED as error:
        return _tell(str(error), console, 2)
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        return _tell(known, console, 1)
    return 0


def _tell(message: str, console: Console, code: int) -> int:
    console.print(f"error: {message}", style="bold red", markup=False, soft_wrap=True)
    return code


def explain(error: BaseException) -> str | None:
    """What happened and what helps, if the error, or one that led to it, is of a known kind."""
    for found in _led_to(error):
        if isinstance(found, OutOfDiskError | ObjectStoreFullError):
            return NO_ROOM
        if isinstance(found, TOLD_BY_THEMSELVES) and not isinstance(found, RayTaskError):
            return str(found).partition(RAY_DATA_ADDS)[0]
    return None


def _led_to(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it came from."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__]
        if isinstance(current, RayTaskError):
            inner.append(current.cause)
        elif isinstance(current, UserExceptionWithTraceback):
            inner.append(current._base_exc)
        elif isinstance(current, WorkerGroupError):
            inner.extend(current.worker_failures.values())
        elif isinstance(current, ControllerError):
            inner.append(current.controller_failure)
        waiting.extend(each for each in inner if isinstance(each, BaseException))
