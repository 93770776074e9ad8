"""`ray job submit` against a head that asks for a token: what gets in, how a job ends, how much it says."""

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.small_runs import SMALL, uni_sign_corpus

REPOSITORY = Path(__file__).parents[2]
RAY = str(Path(sys.executable).parent / "ray")


@dataclass(frozen=True)
class Head:
    """A Ray head on this machine and the file of its token."""

    port: int
    token: Path

    def status_of(self, headers: dict[str, str]) -> int:
        """The HTTP status of a request for the list of jobs."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/api/jobs/", headers=headers)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.read_text()}"}

    def submit(self, *words: str, token: Path | None = None, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        """`ray job submit`, everything it prints as `stdout`."""
        return subprocess.run(
            [RAY, "job", "submit", "--address", f"http://127.0.0.1:{self.port}", *words],
            env=_environment(token or self.token),
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )


def _environment(token: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN")}
    return kept | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


pytestmark = pytest.mark.usefixtures("own_ray")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    token = tmp_path_factory.mktemp("head") / "token"
    token.write_text(secrets.token_hex(32))
    dashboard, agent, client = _free_ports(3)
    temporary = Path(f"/tmp/signdpo-head-{os.getpid()}")  # sockets lie in it: their paths must be short
    command = f"""{RAY} start --head --block --port 0 --num-cpus 4 --disable-usage-stats --temp-dir {temporary}
        --dashboard-host 127.0.0.1 --dashboard-port {dashboard} --dashboard-agent-listen-port {agent}
        --ray-client-server-port {client} --min-worker-port 0 --max-worker-port 0"""
    started = subprocess.Popen(
        command.split(), env=_environment(token), stdout=subprocess.DEVNULL, start_new_session=True
    )
    found = Head(dashboard, token)
    deadline = time.monotonic() + 90
    while found.status_of(found.bearer()) != 200:
        assert started.poll() is None, "the head did not start"
        assert time.monotonic() < deadline, "the head did not answer"
        time.sleep(0.5)
    yield found
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    shutil.rmtree(temporary, ignore_errors=True)


def test_the_api_asks_for_the_token(head: Head) -> None:
    assert head.status_of({}) == 401
    assert head.status_of({"Authorization": "Bearer another"}) == 403
    assert head.status_of(head.bearer()) == 200


def test_a_job_with_a_wrong_token_is_refused(head: Head, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text(secrets.token_hex(32))
    refused = head.submit("--", "python", "-c", "print('it ran')", token=wrong)
    assert refused.returncode != 0
    assert "Invalid authentication token" in refused.stdout
    assert "it ran" not in refused.stdout


def test_a_job_that_fails_says_so_with_its_exit_code(head: Head) -> None:
    job = str(REPOSITORY / "jobs" / "align.py")  # the form without a working directory, on a prepared cluster
    failed = head.submit("--", sys.executable, job, "--set", "dpo.bta=0.1")
    assert failed.returncode == 1
    assert "did you mean dpo.beta?" in failed.stdout
    assert "failed with exit code 2" in failed.stdout


def test_a_job_that_ends_well_brings_its_working_directory(head: Head, tmp_path: Path) -> None:
    overrides = [
        "corpus.kind=uni_sign",
        f"corpus.root={uni_sign_corpus(tmp_path / 'corpus')}",
        "corpus.max_bad_share=0.2",
    ]
    settings = [part for override in overrides for part in ("--set", override)]
    job = [sys.executable, "jobs/prepare.py", "--out", str(tmp_path / "clips"), *settings]
    done = head.submit("--working-dir", ".", "--", *job)
    assert done.returncode == 0, done.stdout
    assert "succeeded" in done.stdout
    records = [json.loads(line) for line in (tmp_path / "clips" / "quarantine.jsonl").read_text().splitlines()]
    assert {record["id"] for record in records} == {"train_0", "train_1"}


@pytest.mark.long
def test_a_whole_run_as_a_job_sets_bad_clips_apart_and_says_little(head: Head, tmp_path: Path) -> None:
    overrides = [
        "corpus.kind=uni_sign",
        f"corpus.root={uni_sign_corpus(tmp_path / 'corpus')}",
        "corpus.max_bad_share=0.2",
        "pretrain.epochs=1",
        "dpo.epochs=1",
        "policy.vocab_size=48",
    ]
    settings = [part for override in (*SMALL, *overrides) for part in ("--set", override)]
    job = [sys.executable, "jobs/align.py", "--run-dir", str(tmp_path / "run"), *settings]
    done = head.submit("--working-dir", ".", "--", *job, timeout=400)
    assert done.returncode == 0, done.stdout
    assert "2 clips were quarantined" in done.stdout
    assert len(done.stdout.splitlines()) < 300
    records = [json.loads(line) for line in (tmp_path / "run" / "clips" / "quarantine.jsonl").read_text().splitlines()]
    assert {record["id"] for record in records} == {"train_0", "train_1"}
    assert (tmp_path / "run" / "report.html").is_file()
