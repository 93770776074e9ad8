"""Errors that a person can do something about, found in what Ray wraps around them."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

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
WRAPPERS = (RayTaskError, WorkerGroupError, ControllerError, UserExceptionWithTraceback)  # in which Ray hands errors on
FORBIDDEN: Final = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
}
FULL: Final = {errno.ENOSPC, errno.EDQUOT}
MISSING_PACKAGE: Final = re.compile(r"[Ii]nstall (\w+) to access")  # as fsspec says it
RAY_DATA_ADDS = "\nFailed to apply UDF transform"  # and how to make it try again, to every error of a task
NO_ROOM = (
    "there is no room left for Ray's objects: its memory for them is full, and so is the disk it spills them to, of "
    "which it leaves 5 % free (/tmp/ray unless Ray was told otherwise). Make room there, or start Ray with more or "
    "elsewhere: `ray start --head --object-store-memory=BYTES --object-spilling-directory=DIR`, then RAY_ADDRESS=auto "
    "before the same command, which goes on from the last checkpoint"
)


@dataclass(frozen=True)
class Explained:
    """An error of a known kind.

    Args:
        message: what happened and what helps.
        code: exit code: 2 if something must be changed first, 1 if the same command may succeed.
    """

    message: str
    code: int


def explain(error: BaseException) -> Explained | None:
    """What happened and what helps, if the error, or one that led to it, is of a known kind."""
    chain = [found for found in _led_to(error) if not isinstance(found, WRAPPERS)]
    if chain and isinstance(chain[0], TO_BE_CHANGED):
        return Explained(str(chain[0]), 2)
    for found in chain:
        if isinstance(found, OutOfDiskError | ObjectStoreFullError):
            return Explained(NO_ROOM, 1)
        code = 2 if isinstance(found, ConfigError) or _is_forbidden(found) else 1
        if isinstance(found, TOLD_BY_THEMSELVES):
            return Explained(str(found).partition(RAY_DATA_ADDS)[0], code)
        if isinstance(found, OSError) and found.filename is not None and found.errno in {*FORBIDDEN, *FULL}:
            return Explained(f"{found.filename}: {found.strerror}", code)
        if isinstance(found, ImportError) and (package := MISSING_PACKAGE.search(str(found))):
            return Explained(f"{found}: pip install {package[1]}", 2)
    return None


def _is_forbidden(error: BaseException) -> bool:
    """Whether a file or folder must be changed, or another one named, before the same command can do anything."""
    return isinstance(error, OSError) and error.errno in FORBIDDEN


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
