"""A run that is cut off goes on where it was; what it refuses is kept apart; what it cannot do it says first."""

import gzip
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from small_runs import SMALL

JOB = Path(__file__).parents[2] / "jobs" / "align.py"


def command(directory: Path, *overrides: str) -> list[str]:
    settings = [part for override in (*SMALL, *overrides) for part in ("--set", override)]
    return [sys.executable, str(JOB), "--run-dir", str(directory), *settings]


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    overrides = ["pretrain.epochs=40"]
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
    assert rows[-1]["step"] == 120
    assert (tmp_path / "report.html").is_file()


def test_bad_clips_are_kept_apart_and_the_run_completes(tmp_path: Path) -> None:
    corpus = uni_sign_corpus(tmp_path / "corpus")
    overrides = [
        "corpus.kind=uni_sign",
        f"corpus.root={corpus}",
        "corpus.max_bad_share=0.2",
        "pretrain.epochs=1",
        "dpo.epochs=1",
        "policy.vocab_size=48",
    ]
    done = subprocess.run(
        command(tmp_path / "run", *overrides), capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 clips were quarantined" in done.stdout
    records = [json.loads(line) for line in (tmp_path / "run" / "clips" / "quarantine.jsonl").read_text().splitlines()]
    assert {record["id"] for record in records} == {"train_0", "train_1"}


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


def uni_sign_corpus(root: Path) -> Path:
    """24 + 4 + 4 clips of a moving right hand; the first two training clips are damaged."""
    rng = np.random.default_rng(0)
    (root / "pose_format").mkdir(parents=True)
    for split, count in (("train", 24), ("dev", 4), ("test", 4)):
        labels = {}
        for index in range(count):
            name = f"{split}_{index}"
            words = rng.choice(["cat", "dog", "sees", "the", "red", "house", "runs", "home"], size=4)
            labels[name] = {
                "name": name,
                "gloss": [],
                "text": f"{' '.join(words)} {index}",
                "video_path": f"{name}.mp4",
            }
            frames = [rng.uniform(0.3, 0.7, (1, 133, 2)) for _ in range(12)]
            pose = {"keypoints": frames, "scores": [np.ones((1, 133)) for _ in frames]}
            (root / "pose_format" / f"{name}.pkl").write_bytes(pickle.dumps(pose))
        (root / f"labels.{split}").write_bytes(gzip.compress(pickle.dumps(labels)))
    whole = (root / "pose_format" / "train_0.pkl").read_bytes()
    (root / "pose_format" / "train_0.pkl").write_bytes(whole[: len(whole) // 2])
    frames = [np.full((1, 133, 2), np.nan) for _ in range(12)]
    broken = {"keypoints": frames, "scores": [np.ones((1, 133)) for _ in frames]}
    (root / "pose_format" / "train_1.pkl").write_bytes(pickle.dumps(broken))
    return root
