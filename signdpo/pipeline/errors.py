"""Errors that a person can do something about, found in what Ray wraps around them."""

from __future__ import annotations

from collections.abc import Iterator

from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayTaskError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from signdpo.config import ConfigError
from signdpo.corpora.ingest import TooManyBadClipsError
from signdpo.monitoring.hangs import HungBatchError
from signdpo.monitoring.stalls import StalledError
from signdpo.monitoring.teaching import NothingTaughtError
from signdpo.negatives.generator import ReferenceMismatchError
from signdpo.pipeline.stages.perturber import NoFailuresError
from signdpo.skeleton.clip import BadClipError
from signdpo.storage.lease import LeaseLostError
from signdpo.storage.retries import StorageError
from signdpo.training.fit import DamagedCheckpointsError, DivergedError

TOLD_BY_THEMSELVES = (
    ConfigError,
    LeaseLostError,
    HungBatchError,
    StalledError,
    StorageError,
    ReferenceMismatchError,
    DamagedCheckpointsError,
)
TO_BE_CHANGED = (
    TooManyBadClipsError,
    BadClipError,
    NoFailuresError,
    NothingTaughtError,
    DivergedError,
    FileNotFoundError,
)
RAY_DATA_ADDS = "\nFailed to apply UDF transform"  # and how to make it try again, to every error of a task
NO_ROOM = (
    "there is no room left for Ray's objects: its memory for them is full, and so is the disk it spills them to, of "
    "which it leaves 5 % free (/tmp/ray unless Ray was told otherwise). Make room there, or start Ray with more or "
    "elsewhere: `ray start --head --object-store-memory=BYTES --object-spilling-directory=DIR`, then RAY_ADDRESS=auto "
    "before the same command, which goes on from the last checkpoint"
)


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
