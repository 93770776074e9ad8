"""A real search by Ray Tune over real alignments: shared stages and negatives, a failed trial, going on, best.yaml."""

from __future__ import annotations

import shutil
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import ray
from rich.console import Console
from support.small_runs import SMALL, SmallRun

from signdpo.config import ConfigError, lay_over, load_config
from signdpo.models.policy import Policy
from signdpo.storage.files import read_json
from signdpo.training.step_metrics import read_metrics
from signdpo.tuning import search as searching
from signdpo.tuning.results import TrialResult
from signdpo.tuning.search import run_search
from signdpo.tuning.settings import Range, SearchConfig
from signdpo.tuning.trial import TrialInputs, run_trial

# What is scored is each epoch's end, after steps 5 and 10.
BASE = [*SMALL, "dpo.checkpoint_every=100", "dpo.select_by=eval_bleu4"]
SEARCH = SearchConfig(
    trials=2,
    algorithm="random",
    scheduler="none",
    seed=6,  # suggests sigmoid, then ipo
    space={"dpo.loss": Range(choice=("sigmoid", "ipo")), "dpo.lr": Range(loguniform=(1e-4, 1e-2))},
)


def refuses_ipo(settings: dict[str, Any], shared: TrialInputs) -> None:
    """A trial that fails where it is told to."""
    if settings["dpo.loss"] == "ipo":
        raise ValueError("no ipo today")
    run_trial(settings, shared)


refuses_ipo.__name__ = run_trial.__name__  # by which Ray Tune knows what a resumed trial is to run


def search_in(directory: Path, search: SearchConfig = SEARCH) -> tuple[list[TrialResult], str]:
    """The results, and what was printed."""
    console = Console(file=StringIO(), width=200)
    results = run_search(load_config(None, BASE), search, str(directory), console)
    return results, console.file.getvalue()  # type: ignore[attr-defined]


def finished_alignments(directory: Path) -> dict[str, float]:
    """Trial -> when its alignment was done."""
    return {path.parts[-3]: path.stat().st_mtime for path in directory.glob("trials/*/align/stage.json")}


@pytest.fixture(scope="module")
def searched(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrialResult], str]:
    """A search that goes on from the stages of a run, one of whose trials fails."""
    directory = tmp_path_factory.mktemp("search") / "run"
    shutil.copytree(small_run.directory, directory, ignore=shutil.ignore_patterns("align", "translation"))
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "run_trial", refuses_ipo)
        results, printed = search_in(directory)
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    return directory, results, printed


def test_a_failed_trial_is_reported_and_the_others_finish(searched: tuple[Path, list[TrialResult], str]) -> None:
    directory, results, printed = searched
    assert [result.state for result in results] == ["finished", "failed"]
    failed = results[-1]
    assert (failed.settings["dpo.loss"], failed.error) == ("ipo", "ValueError: no ipo today")
    assert f"trial {failed.id} failed (loss=ipo" in printed
    assert set(finished_alignments(directory)) == {results[0].id}
    assert len(printed.splitlines()) < 130
    assert "beside the control of its settings" in printed
    assert "of 1 trials that are equal in truth the best is expected 0.00 BLEU-4 above their mean" in printed
    assert "2 trials by random and none, 2 at a time; a trial takes 1.5 CPU" in " ".join(printed.split())


def test_trials_share_stages_and_negatives(searched: tuple[Path, list[TrialResult], str], small_run: SmallRun) -> None:
    directory, results, printed = searched
    assert len(list(directory.glob("negatives/*/manifest.json"))) == 1
    assert printed.count("the negatives of all epochs, as Parquet") == 2  # in the plan, and when they were made
    own = {path.name for path in (directory / "trials" / results[0].id).iterdir()}
    assert own == {"config.yaml", "align", "control", "translation", "evaluation"}  # it is the best one
    for stage in ("clips", "pretrain", "perturber"):
        assert read_json(str(directory / stage / "stage.json")) == read_json(
            str(small_run.directory / stage / "stage.json")
        )


def test_scores_are_those_of_the_kept_policies(
    searched: tuple[Path, list[TrialResult], str], small_run: SmallRun
) -> None:
    directory, results, _ = searched
    aligned = directory / "trials" / results[0].id / "align"
    rows = read_metrics(str(aligned / "metrics.jsonl"))
    assert {row["step"]: row["eval_bleu4"] for row in rows if "eval_bleu4" in row}.keys() == {5, 10}
    baseline = read_json(str(directory / "baseline.json"))["eval_bleu4"]  # of step 0, a candidate too
    assert results[0].score == pytest.approx(max(baseline, *(row.get("eval_bleu4", 0.0) for row in rows)))
    Policy.load(aligned / "policy")
    scores = [
        row["eval_bleu4"]
        for row in read_metrics(str(small_run.directory / "pretrain" / "metrics.jsonl"))
        if "eval_bleu4" in row
    ]
    assert baseline == pytest.approx(max(scores))


def test_best_yaml_is_the_run_that_the_best_trial_was(searched: tuple[Path, list[TrialResult], str]) -> None:
    directory, results, printed = searched
    best = load_config(directory / "best.yaml")
    assert best == lay_over(load_config(None, BASE), results[0].settings)
    assert best.negatives.mode == "stream"
    assert f"--config {directory}/best.yaml --run-dir {directory} --set negatives.mode=cached" in printed
    assert (directory / "trials.csv").read_text().count("\n") == 3
    assert (directory / "search.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_the_same_command_goes_on_with_what_failed_and_another_is_refused(
    searched: tuple[Path, list[TrialResult], str],
) -> None:
    directory, before, _ = searched
    done = finished_alignments(directory)
    results, printed = search_in(directory)
    assert [result.state for result in results] == ["finished"] * 2
    assert {result.id: result.settings for result in results} == {result.id: result.settings for result in before}
    assert printed.count(" of 2)") == 1
    assert {trial: finished_alignments(directory)[trial] for trial in done} == done
    with pytest.raises(ConfigError, match=r"search\.trials \(there 2, here 4\)"):
        search_in(directory, SEARCH.model_copy(update={"trials": 4}))


@pytest.mark.long
def test_trials_whose_settings_decide_negatives_make_their_own(small_run: SmallRun, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    shutil.copytree(small_run.directory, directory, ignore=shutil.ignore_patterns("align", "translation"))
    space = {"negatives.guidance": Range(choice=("attention", "random")), "dpo.lr": Range(loguniform=(1e-4, 1e-2))}
    results, printed = search_in(directory, SEARCH.model_copy(update={"trials": 4, "seed": 2, "space": space}))
    assert [result.state for result in results] == ["finished"] * 4
    assert {result.settings["negatives.guidance"] for result in results} == {"attention", "random"}
    assert not (directory / "negatives").exists()
    assert "negatives.guidance decide the negatives: each trial makes its own while it trains" in printed
