"""A Ray that does not come is one message with a remedy, and at once."""

import os
import socket
import time

import pytest
import ray

from signdpo.cluster.joining import join_ray, starts_here
from signdpo.config import ConfigError


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has none: `ray.init` says in the tests' own words what it would run into."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_an_address_of_nobody_is_refused_in_seconds(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    address = f"{host}:{closed_port()}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert not starts_here()
    began = time.monotonic()
    with pytest.raises(ConfigError, match="no Ray answers there") as refused:
        join_ray()
    assert address in str(refused.value)
    assert "unset RAY_ADDRESS" in str(refused.value)
    assert time.monotonic() - began < 10


def test_an_address_where_somebody_listens_is_handed_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        join_ray()


def test_ray_client_is_refused_with_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ConfigError, match="ray job submit"):
        join_ray()


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x"), "a short one"),
        (PermissionError(13, "Permission denied", "/tmp/ray"), "RAY_TMPDIR"),
        (Exception("The current node timed out during startup. This could happen because"), "start the same command"),
        (ConnectionError("no running Ray instance"), "no running Ray instance"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_ray_runs_into_comes_with_a_remedy(monkeypatch: pytest.MonkeyPatch, error: Exception, remedy: str) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ConfigError, match=f"^Ray does not start here: .*{remedy}"):
        join_ray(address="local", num_cpus=1)


def test_an_unknown_error_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ZeroDivisionError):
        join_ray(address="local")
    assert "RAY_ADDRESS" not in os.environ
