"""What a person is told of an error that Ray wrapped up."""

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
from signdpo.pipeline.errors import NO_ROOM, explain
from signdpo.pipeline.exit_codes import exit_code
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
    assert explain(error) == "it hung"


def test_no_room_for_objects_comes_with_its_remedy() -> None:
    error = WorkerGroupError("a traceback", {0: wrapped(OutOfDiskError())})
    assert explain(error) == NO_ROOM
    assert "--object-spilling-directory" in NO_ROOM


def test_what_led_to_an_error_is_looked_at_and_other_errors_are_left_alone() -> None:
    error = RuntimeError("outside")
    error.__cause__ = StorageError("s3://bucket: refused")
    assert explain(error) == "s3://bucket: refused"
    assert explain(wrapped(KeyError("a bug"))) is None


@pytest.mark.usefixtures("ray_cluster")
def test_an_error_of_a_worker_arrives_with_its_message_alone() -> None:
    @ray.remote
    def refuse() -> None:
        raise StorageError("s3://bucket: refused")

    with pytest.raises(RayTaskError) as caught:
        ray.get(refuse.remote())
    assert explain(caught.value) == "s3://bucket: refused"


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


def test_an_unknown_error_keeps_its_traceback() -> None:
    def work() -> NoReturn:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exit_code(work, Console(file=StringIO()))
