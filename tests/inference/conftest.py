"""A trained policy, and the job that translates with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.jobs import load_job
from support.trained import Trained, make_trained


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make_trained(tmp_path_factory.mktemp("run"))


@pytest.fixture
def translate(trained: Trained, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The job with the policy and further arguments: its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = load_job("translate").main(["--policy", trained.policy, *map(str, arguments)])
        return code, *capsys.readouterr()

    return run
