"""A run that is cut off goes on where it was; what it refuses is kept apart; what it cannot do it says first."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.reruns import command
from support.small_runs import uni_sign_corpus

JOB = Path(__file__).parents[2] / "jobs" / "align.py"


pytestmark = pytest.mark.usefixtures("own_ray")


@pytest.mark.long
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    overrides = ["pretrain.epochs=15"]
    first = subprocess.Popen(
        command(tmp_path, *overrides), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 180
    while len(list(tmp_path.glob("pretrain/training-*/*/checkpoint_*/progress.json"))) < 2:
        assert first.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint after three minutes"
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    again = subprocess.run(command(tmp_path, *overrides), capture_output=True, text=True, timeout=400, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "goes on from step" in again.stdout
    rows = [json.loads(line) for line in (tmp_path / "pretrain" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 45
    assert (tmp_path / "report.html").is_file()


def test_too_many_bad_clips_and_a_mistyped_key_are_one_clear_error(tmp_path: Path) -> None:
    corpus = uni_sign_corpus(tmp_path / "corpus")
    overrides = ["corpus.kind=uni_sign", f"corpus.root={corpus}", "corpus.max_bad_share=0.01"]
    bad = subprocess.run(
        command(tmp_path / "run", *overrides), capture_output=True, text=True, timeout=200, check=False
    )
    assert bad.returncode == 2
    assert "corpus.max_bad_share" in bad.stdout
    assert "Traceback" not in bad.stdout + bad.stderr
    typo = subprocess.run(command(tmp_path, "dpo.bta=0.1"), capture_output=True, text=True, timeout=60, check=False)
    assert typo.returncode == 2
    assert "did you mean dpo.beta?" in typo.stdout
    assert not (tmp_path / "config.yaml").exists()


@pytest.mark.long
@pytest.mark.parametrize("perturber", ["rules", "learned"])
def test_batches_that_never_end_are_one_clear_error(tmp_path: Path, perturber: str) -> None:
    overrides = [f"negatives.perturber.kind={perturber}", "resources.generator_timeout_seconds=0.001"]
    done = subprocess.run(command(tmp_path, *overrides), capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error: 3 generators hung on the batch of step" in done.stdout
    assert "resources.generator_timeout_seconds" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
