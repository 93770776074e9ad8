"""Storage that refuses for a while is asked again; what will never go is refused at once."""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

P = ParamSpec("P")
R = TypeVar("R")

RETRY_SECONDS = 60.0  # for one operation on storage, over all attempts
FIRST_WAIT_SECONDS = 0.5  # doubled each time, up to:
LONGEST_WAIT_SECONDS = 10.0

PERMANENT = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
PERMANENT_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP}
# Clients of object stores (botocore, aiohttp, requests, google) have errors of their own; those are trouble on the way.
TRANSIENT_NAMES = {"ConnectionError", "ClientConnectionError", "ClientPayloadError", "HTTPClientError", "RetryError"}

logger = logging.getLogger(__name__)


class StorageError(OSError):
    """Storage that cannot be used, or did not become usable in time; the message names the URI."""


def is_transient(error: BaseException) -> bool:
    """Whether the same operation may succeed a little later."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError):  # those without a number are complaints about the content, say of pyarrow or gzip
        return not isinstance(error, PERMANENT) and error.errno not in {*PERMANENT_ERRNOS, None}
    return any(kind.__name__ in TRANSIENT_NAMES for kind in type(error).__mro__)


def retried(work: Callable[Concatenate[str, P], R]) -> Callable[Concatenate[str, P], R]:
    """Try an operation on a URI, its first argument, again after transient errors, with exponential backoff.

    What the decorated function raises:
        FileNotFoundError, IsADirectoryError, NotADirectoryError: as they come; callers know what to do about them.
        StorageError: for other permanent errors at once, for transient ones after `RETRY_SECONDS`.
    """

    @functools.wraps(work)
    def persistent(uri: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_delay(RETRY_SECONDS),
            wait=wait_exponential_jitter(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS),
            before_sleep=functools.partial(_tell_once, uri),
            reraise=True,
        )
        try:
            return retrying(work, uri, *args, **kwargs)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, StorageError):
            raise
        except Exception as error:
            if not is_transient(error) and not isinstance(error, OSError):
                raise
            waited = f"storage has refused for {RETRY_SECONDS:g} s; started again, the run goes on from here: "
            refused = StorageError(f"{uri}: {waited if is_transient(error) else ''}{_described(error)}")
            refused.errno = getattr(error, "errno", None)
            raise refused from error

    return persistent


def _tell_once(uri: str, state: RetryCallState) -> None:
    if state.attempt_number == 1:
        assert state.outcome is not None
        error: Any = state.outcome.exception()
        logger.warning("%s: %s; trying again for up to %g s", uri, _described(error), RETRY_SECONDS)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
