"""What a person is told of an error that Ray wrapped up."""

import errno
import signal
from io import StringIO
from typing import NoReturn

import pytest
import ray
from ray.exceptions import OutOfDiskError, RayTaskError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback
from rich.console import Console

from signdpo.config import ConfigError
from signdpo.monitoring.hangs import HungBatchError
from signdpo.pipeline.errors import NO_ROOM, Explained, explain
from signdpo.pipeline.exit_codes import STOPPED, exit_code
from signdpo.storage.retries import StorageError


def wrapped(cause: Exception) -> RayTaskError:
    """As `ray.get` raises it."""
    error = RayTaskError("work", "a traceback", cause).as_instanceof_cause()
    assert isinstance(error, RayTaskError)
    return error


@pytest.mark.parametrize(
    "error",
    [
        HungBatchError("it hung"),
        HungBatchError("it hung\nFailed to apply UDF transform after 1/1 attempts"),
        wrapped(HungBatchError("it hung")),
        WorkerGroupError("a traceback", {1: wrapped(wrapped(HungBatchError("it hung")))}),
        WorkerGroupError("", {0: UserExceptionWithTraceback(wrapped(HungBatchError("it hung")), "a traceback")}),
        ControllerError(WorkerGroupError("a traceback", {0: HungBatchError("it hung")})),
    ],
    ids=repr,
)
def test_the_message_of_the_error_itself_is_found(error: Exception) -> None:
    assert explain(error) == Explained("it hung", 1)


def test_no_room_for_objects_comes_with_its_remedy() -> None:
    error = WorkerGroupError("a traceback", {0: wrapped(OutOfDiskError())})
    assert explain(error) == Explained(NO_ROOM, 1)
    assert "--object-spilling-directory" in NO_ROOM


def test_what_led_to_an_error_is_looked_at_and_other_errors_are_left_alone() -> None:
    error = RuntimeError("outside")
    error.__cause__ = StorageError("s3://bucket: refused")
    assert explain(error) == Explained("s3://bucket: refused", 1)
    assert explain(wrapped(KeyError("a bug"))) is None


@pytest.mark.usefixtures("ray_cluster")
def test_an_error_of_a_worker_arrives_with_its_message_alone() -> None:
    @ray.remote
    def refuse() -> None:
        raise StorageError("s3://bucket: refused")

    with pytest.raises(RayTaskError) as caught:
        ray.get(refuse.remote())
    assert explain(caught.value) == Explained("s3://bucket: refused", 1)


@pytest.mark.parametrize(
    ("error", "code"), [(None, 0), (ConfigError("a key"), 2), (FileNotFoundError("a file"), 2), (StorageError("s3"), 1)]
)
def test_a_job_ends_with_a_code_and_one_message(error: Exception | None, code: int) -> None:
    def work() -> None:
        if error is not None:
            raise error

    console = Console(file=StringIO())
    assert exit_code(work, console) == code
    assert console.file.getvalue() == ("" if error is None else f"error: {error}\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/out/x"), 2, "/out/x: Permission denied"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/out/x"), 2, "/out/x: Not a directory"),
        (OSError(errno.EROFS, "Read-only file system", "/out/x"), 2, "/out/x: Read-only file system"),
        (OSError(errno.ENOSPC, "No space left on device", "/out/x"), 1, "/out/x: No space left on device"),
        (ImportError("Install s3fs to access S3"), 2, "Install s3fs to access S3: pip install s3fs"),
        (wrapped(FileNotFoundError(errno.ENOENT, "No such file", "a")), 2, "[Errno 2] No such file: 'a'"),
        (wrapped(ConfigError("a key")), 2, "a key"),
    ],
    ids=repr,
)
def test_trouble_with_files_is_one_message(error: Exception, code: int, said: str) -> None:
    assert explain(error) == Explained(said, code)


def test_being_stopped_is_one_line_and_no_error() -> None:
    console = Console(file=StringIO(), width=200)
    assert exit_code(lambda: signal.raise_signal(signal.SIGINT), console) == 130
    before = signal.getsignal(signal.SIGTERM)
    assert exit_code(lambda: signal.raise_signal(signal.SIGTERM), console) == 143
    assert signal.getsignal(signal.SIGTERM) is before
    for name, line in zip(("Ctrl-C", "SIGTERM"), console.file.getvalue().splitlines(), strict=True):
        assert line == STOPPED.format(signal=name)


def test_an_unknown_error_keeps_its_traceback() -> None:
    def work() -> NoReturn:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exit_code(work, Console(file=StringIO()))
