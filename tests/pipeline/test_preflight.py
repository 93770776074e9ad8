"""What cannot run is refused before any work, with the key, what was found and the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_runs import SMALL, SmallRun

from signdpo.cluster.plan import check_demands
from signdpo.cluster.storage_check import check_storage
from signdpo.config import ConfigError, load_config
from signdpo.pipeline.policy_checks import check_language
from signdpo.pipeline.preflight import demands_of
from signdpo.pipeline.stages import stages_of

JOB = str(Path(__file__).parents[2] / "jobs" / "align.py")
# The least that runs: on two CPUs trainer and generator share the one that need not stay free.
EXACT = ["resources.num_cpus=2", "resources.cpus_per_pretrain_worker=1", "resources.cpus_per_worker=0.5"]


def align(directory: Path, *overrides: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """The job in a process of its own, and the CPU seconds it took: others may use the machine at the same time."""
    command = [sys.executable, JOB, "--run-dir", str(directory)]
    for override in overrides:
        command += ["--set", override]
    began = os.times()
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    ended = os.times()
    return done, ended.children_user - began.children_user + ended.children_system - began.children_system


def test_a_plan_that_two_cpus_cannot_hold_is_refused_within_ten_seconds(tmp_path: Path) -> None:
    done, seconds = align(tmp_path / "run", *EXACT, "resources.cpus_per_worker=0.6")
    assert done.returncode == 2
    message = " ".join(done.stdout.split())
    assert "the align stage needs 2.1 CPU at a time" in message
    assert "raise resources.num_cpus=2" in message
    assert seconds < 10
    assert not (tmp_path / "run").exists()


@pytest.mark.long
@pytest.mark.usefixtures("own_ray")
@pytest.mark.parametrize("generators", ["[1, 1]", "[1, 4]"])
def test_a_plan_that_two_cpus_just_hold_runs_to_its_end(tmp_path: Path, generators: str) -> None:
    done, _ = align(tmp_path / "run", *SMALL, *EXACT, f"resources.generators={generators}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.usefixtures("ray_cluster")
def test_a_plan_the_cluster_cannot_place_is_refused_with_keys_and_numbers() -> None:
    config = load_config(None, ["resources.workers=4", "resources.cpus_per_worker=4"])
    with pytest.raises(ConfigError, match=r"control stage needs 17 CPU.*the cluster has 1 x 8 CPU.*resources\.workers"):
        check_demands(config, demands_of(config, stages_of(config)))


@pytest.mark.usefixtures("ray_cluster")
def test_storage_that_every_node_can_write_leaves_no_trace(tmp_path: Path) -> None:
    check_storage(str(tmp_path / "run"))
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match=r"--run-dir .*file/run cannot be used on node .*name a folder that every"):
        check_storage(str(tmp_path / "file" / "run"))


@pytest.mark.usefixtures("ray_cluster")
def test_a_storage_without_its_package_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"abfs://.*cannot be used on node .*Install adlfs.*is installed on them"):
        check_storage("abfs://container/run")


def test_a_tokenizer_of_another_language_is_refused_before_any_clip_is_read(
    small_run: SmallRun, tmp_path: Path
) -> None:
    (tmp_path / "labels.tsv").write_text(
        "id\ttext\tsplit\na\t他今年四岁。\ttrain\nb\t你们好！\tdev\nc\t他很好。\ttest\n"
    )
    baseline = small_run.directory / "pretrain" / "policy"
    own = ["corpus.kind=npz", f"corpus.root={tmp_path}", f"policy.init={baseline}"]
    with pytest.raises(ConfigError, match=r"policy\.init=.*does not know \d+% of the tokens.*'他今年四岁。'"):
        check_language(load_config(None, own))


def test_a_policy_of_another_language_is_refused(small_run: SmallRun) -> None:
    baseline = small_run.directory / "pretrain" / "policy"
    own = ["corpus.kind=npz", "corpus.root=/data", "corpus.language=de", f"policy.init={baseline}"]
    with pytest.raises(ConfigError, match=r"policy\.init=.* translates into en, and corpus\.language=de"):
        check_language(load_config(None, own))


def test_a_policy_of_the_corpus_language_passes(small_run: SmallRun) -> None:
    check_language(load_config(None, [f"policy.init={small_run.directory / 'pretrain' / 'policy'}"]))
