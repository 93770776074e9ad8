"""Storage that refuses for a while, or for ever."""

import errno
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from signdpo.storage import retries
from signdpo.storage.files import exists, fetch_folder, list_folder, put_folder, read_text, write_text
from signdpo.storage.retries import StorageError


class FlakyFileSystem(MemoryFileSystem):
    """Refuses the next few operations with an error."""

    protocol = "flaky"
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    refusals: list[Exception] = []  # noqa: RUF012
    cachable = False

    def _refuse(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)

    def exists(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse()
        return super().exists(*args, **kwargs)

    def pipe_file(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse()
        return super().pipe_file(*args, **kwargs)

    def put_file(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse()
        return super().put_file(*args, **kwargs)

    def cat_file(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse()
        return super().cat_file(*args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse()
        return super().get(*args, **kwargs)

    def ls(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse()
        return super().ls(*args, **kwargs)


fsspec.register_implementation("flaky", FlakyFileSystem, clobber=True)
BUSY = OSError(errno.EBUSY, "please reduce your request rate")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(retries, "RETRY_SECONDS", 0.5)
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    FlakyFileSystem.refusals = []
    FlakyFileSystem.store.clear()


@pytest.mark.parametrize("error", [BUSY, ConnectionResetError("reset by peer"), TimeoutError()], ids=repr)
def test_what_refuses_for_a_while_is_asked_again_and_told_of_once(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "file").write_text("content")
    for work in (
        lambda: write_text("flaky://run/a.txt", "text"),
        lambda: put_folder(tmp_path / "folder", "flaky://run/policy"),
        lambda: exists("flaky://run/a.txt"),
        lambda: list_folder("flaky://run"),
        lambda: read_text("flaky://run/a.txt"),
        lambda: fetch_folder("flaky://run/policy"),
    ):
        caplog.clear()
        FlakyFileSystem.refusals = [error] * 3
        with caplog.at_level(logging.WARNING):
            work()
        assert FlakyFileSystem.refusals == []
        (line,) = caplog.messages
        assert "flaky://run/" in line or line.startswith("flaky://run:")
        assert "trying again for up to 0.5 s" in line
    assert read_text("flaky://run/a.txt") == "text"
    assert (Path(fetch_folder("flaky://run/policy")) / "deep" / "file").read_text() == "content"


def test_what_refuses_too_long_is_an_error_that_names_the_place() -> None:
    FlakyFileSystem.refusals = [BUSY] * 1000
    with pytest.raises(StorageError, match=r"flaky://run/a\.txt: storage has refused for 0\.5 s.*reduce your request"):
        write_text("flaky://run/a.txt", "text")


@pytest.mark.parametrize("error", [PermissionError("no"), OSError(errno.ENOSPC, "full")], ids=repr)
def test_what_will_never_go_is_not_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    FlakyFileSystem.refusals = [error, error]
    with pytest.raises(StorageError, match=rf"^flaky://run/a\.txt: {type(error).__name__}: "):
        write_text("flaky://run/a.txt", "text")
    assert len(FlakyFileSystem.refusals) == 1
    with pytest.raises(FileNotFoundError):
        read_text("memory://nowhere/at/all")
    with pytest.raises(FileNotFoundError, match="memory://nowhere"):
        fetch_folder("memory://nowhere")
    assert caplog.messages == []


def test_errors_of_clients_of_object_stores_are_told_apart() -> None:
    class HTTPClientError(Exception):  # the base of botocore's
        pass

    class ReadTimeoutError(HTTPClientError):
        pass

    class NoCredentialsError(Exception):
        pass

    assert retries.is_transient(ReadTimeoutError())
    assert not retries.is_transient(NoCredentialsError())
    assert not retries.is_transient(OSError("could not deserialize thrift"))
    assert not retries.is_transient(KeyError())
