"""What becomes of trials, without Ray: who is stopped, what is said, what is drawn and written."""

from __future__ import annotations

import asyncio
import csv
import json
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from ray.tune.integration.ray_train import TuneReportCallback
from rich.console import Console

from signdpo.cluster.autoscaling import of_cluster_file
from signdpo.cluster.placement import Inventory
from signdpo.config import Config, ConfigError, lay_over, load_config
from signdpo.pipeline.stages import shared_stages
from signdpo.run_context import RunContext, Upstream
from signdpo.tuning.halving import Halving
from signdpo.tuning.picture import Scale, importance_of, search_figure
from signdpo.tuning.plan import trial_capacity
from signdpo.tuning.record import RECORD, check_record, record_of
from signdpo.tuning.results import TrialResult, labels, last_line, ranked, show_results, to_csv
from signdpo.tuning.scores import ReportScores
from signdpo.tuning.search import can_resume
from signdpo.tuning.settings import Range, SearchConfig
from signdpo.tuning.slots import TrialSlots
from signdpo.tuning.space import Space
from signdpo.tuning.trial_logger import TrialLogger

RANGES = {
    "dpo.beta": Range(loguniform=(0.1, 10)),
    "dpo.weights.language": Range(uniform=(0, 1)),
    "dpo.betas.language": Range(uniform=(0.1, 1)),
    "dpo.loss": Range(choice=("sigmoid", "ipo")),
}
SPACE = Space(lay_over(Config(), {"negatives.mode": "cached"}), RANGES)


def result_of(number: int, score: float | None, **changes: Any) -> TrialResult:
    beta = 0.1 * 10 ** (2 * (number % 7) / 7)
    settings = {"dpo.beta": beta, "dpo.weights.language": 0.5, "dpo.betas.language": 0.3, "dpo.loss": "ipo"}
    fields: dict[str, Any] = {"epoch": 3, "epochs": 3, "state": "finished"} | changes
    return TrialResult(f"t{number}", settings, score, **fields)


def context_of(directory: Path, **settings: Any) -> RunContext:
    return RunContext(lay_over(SPACE.base, settings), str(directory), Console(file=StringIO(), width=200))


# ASHA.


def reports(scheduler: Halving, *scores: tuple[str, int, float]) -> list[str]:
    """What the scheduler decides on reports of trials of three epochs."""
    trials = {name: SimpleNamespace(trial_id=name) for name, _, _ in scores}
    for trial in trials.values():
        scheduler.on_trial_add(None, trial)
    return [
        scheduler.on_trial_result(None, trials[name], {"score": score, "epoch": epoch, "epochs": 3})
        for name, epoch, score in scores
    ]


def halving(mode: str = "max") -> Halving:
    scheduler = Halving(epochs=3, grace_epochs=1, keep_one_in=2)
    scheduler.set_search_properties("score", mode)
    return scheduler


def test_a_trial_worse_than_others_after_an_epoch_is_stopped_and_a_better_one_goes_on() -> None:
    decisions = reports(halving(), ("a", 0, 1.0), ("a", 1, 5.0), ("b", 0, 0.0), ("b", 1, 4.0), ("c", 1, 6.0))
    assert decisions == ["CONTINUE", "CONTINUE", "CONTINUE", "STOP", "CONTINUE"]
    assert reports(halving("min"), ("a", 1, 5.0), ("b", 1, 4.0), ("c", 1, 6.0)) == ["CONTINUE", "CONTINUE", "STOP"]


def test_a_trial_that_has_done_its_last_epoch_is_never_stopped() -> None:
    scheduler = Halving(epochs=4, grace_epochs=1, keep_one_in=2)
    scheduler.set_search_properties("score", "max")
    assert reports(scheduler, ("a", 1, 5.0), ("b", 3, 0.0)) == ["CONTINUE", "CONTINUE"]


# Slots.


def test_no_more_trials_train_at_a_time_than_there_are_slots() -> None:
    async def play() -> list[str]:
        slots, begun = TrialSlots(2), []

        async def trial(name: str) -> None:
            await slots.take(name)
            begun.append(name)

        waiting = [asyncio.create_task(trial(name)) for name in "abcd"]
        await asyncio.sleep(0)
        assert begun == ["a", "b"]
        await slots.free("c")  # killed while it waited: it takes no slot
        await asyncio.sleep(0.01)
        assert slots.training == {"a", "b"}
        await slots.free("a")
        await asyncio.gather(*waiting)
        assert slots.training == {"b", "d"}
        return begun

    assert asyncio.run(play())[-1] == "d"


# What a trial reports.


@pytest.mark.parametrize(("metric", "best"), [("eval_bleu4", [2.0, 7.0, 7.0]), ("eval_nll", [2.0, 2.0, 1.0])])
def test_only_scored_reports_reach_the_search_with_the_best_so_far_and_finished_epochs(
    monkeypatch: pytest.MonkeyPatch, metric: str, best: list[float]
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(TuneReportCallback, "__init__", lambda self: None)
    monkeypatch.setattr(TuneReportCallback, "after_report", lambda self, run, rows, checkpoint: sent.extend(rows))
    scores = ReportScores(metric, [4, 8, 12], None)
    for step, score in ((2, 2.0), (3, None), (4, 7.0), (8, 1.0)):
        scores.after_report(None, [{"step": step, "loss": 1.0} | ({metric: score} if score else {})], None)
    assert [row["score"] for row in sent] == best
    assert [(row["step"], row["epoch"], row["epochs"]) for row in sent] == [(2, 0, 3), (4, 1, 3), (8, 2, 3)]


def test_a_resumed_trial_remembers_its_best_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(TuneReportCallback, "__init__", lambda self: None)
    monkeypatch.setattr(TuneReportCallback, "after_report", lambda self, run, rows, checkpoint: sent.extend(rows))
    ReportScores("eval_bleu4", [4], 9.0).after_report(None, [{"step": 4, "eval_bleu4": 8.0}], None)
    assert sent[0]["score"] == 9.0


def test_a_trial_finds_upstream_what_comes_before_the_alignment() -> None:
    context = RunContext(SPACE.base, "/search/trials/t1", Console(), Upstream("/search", shared_stages()))
    assert context.name == "search-t1"  # on the dashboards
    assert (context.baseline, context.perturber) == ("/search/pretrain/policy", "/search/perturber/model")
    assert context.path("negatives") == "/search/negatives"
    assert (context.aligned, context.path("config.yaml")) == (
        "/search/trials/t1/align/policy",
        "/search/trials/t1/config.yaml",
    )


# What is said.


def test_many_scores_are_few_lines() -> None:
    console = Console(file=StringIO(), width=200)
    trial: Any = SimpleNamespace(trial_id="t1", config={"dpo.beta": 0.5}, is_finished=lambda: False)
    logger = TrialLogger(console, "eval_bleu4", total=8)
    logger.on_trial_start(0, [trial], trial)
    for epoch in range(200):
        trial.last_result = {"score": 3.0, "epoch": epoch, "epochs": 200}
        logger.on_trial_result(0, [trial], trial, trial.last_result)
    logger.on_trial_complete(0, [trial], trial)
    trial.get_error = lambda: "Failure # 1\nTraceback\nValueError: too hot\n"
    logger.on_trial_error(0, [trial], trial)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.strip() for line in lines] == [
        "trial t1 (1 of 8)  beta=0.5",
        "trial t1  dev BLEU-4 3.00 after epoch 0 of 200",
        "trial t1  stopped by the scheduler: dev BLEU-4 3.00 after epoch 199 of 200; 1 of 8 trials done, best 3.00",
        "trial t1  failed: ValueError: too hot; 1 of 8 trials done, best 3.00",
    ]


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_is_whole_however_narrow_the_console(width: int) -> None:
    console = Console(file=StringIO(), width=width)
    failed = result_of(3, None, epoch=0, epochs=0, state="failed", error="ValueError: too hot")
    show_results(
        console, [result_of(1, 21.5), result_of(2, 20.25, epoch=1, state="stopped"), failed], "eval_bleu4", 20.0
    )
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in printed
    for text in ("21.50", "20.25", "1/3", "stopped", "weights.language", "baseline", "trial t3 failed", "too hot"):
        assert text in printed


def test_labels_are_the_shortest_that_tell_keys_apart() -> None:
    assert list(labels(RANGES).values()) == ["beta", "weights.language", "betas.language", "loss"]
    assert last_line(None) == "no error was recorded: its process was killed"


def test_the_best_comes_first_and_what_was_not_scored_last() -> None:
    results = [result_of(0, None, state="failed"), result_of(1, 3.0), result_of(2, 5.0)]
    assert [result.id for result in ranked(results, "eval_bleu4")] == ["t2", "t1", "t0"]
    assert [result.id for result in ranked(results, "eval_nll")] == ["t1", "t2", "t0"]


def test_trials_as_csv_hold_every_setting() -> None:
    rows = list(csv.DictReader(StringIO(to_csv([result_of(1, 3.0), result_of(2, None, state="failed", error="a, b")]))))
    assert [row["state"] for row in rows] == ["finished", "failed"]
    assert rows[0]["dpo.weights.language"] == "0.5"
    assert (rows[1]["score"], rows[1]["error"]) == ("", "a, b")


# What is drawn.


def test_scales_put_ends_and_names_where_they_belong() -> None:
    logarithmic = Scale.of(Range(loguniform=(0.1, 10)))
    assert [logarithmic.height(value) for value in (0.1, 1.0, 10.0)] == pytest.approx([0.0, 0.5, 1.0])
    assert {text for _, text in logarithmic.ticks()} >= {"0.1", "1", "10"}
    names = Scale.of(Range(choice=(True, None, "x")))
    assert [names.height(value) for value in (True, None, "x")] == pytest.approx([1 / 6, 0.5, 5 / 6])


def test_importance_finds_the_key_that_decides() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng(0)
    results = []
    for number in range(40):
        settings = {"dpo.beta": float(10 ** rng.uniform(-1, 1)), "dpo.weights.language": float(rng.uniform(0, 1))}
        settings |= {"dpo.betas.language": float(rng.uniform(0.1, 1)), "dpo.loss": str(rng.choice(["sigmoid", "ipo"]))}
        results.append(TrialResult(f"t{number}", settings, settings["dpo.weights.language"], 1, 1, "finished"))
    shares = importance_of(results, SPACE)
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "dpo.weights.language"
    assert shares["dpo.weights.language"] > 0.5


@pytest.mark.parametrize("scores", [[], [3.0], [3.0, 3.0], [float(n) for n in range(12)]])
def test_any_search_can_be_drawn(tmp_path: Path, scores: list[float]) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    failed = result_of(99, None, epoch=0, epochs=0, state="failed")
    results = ranked([*(result_of(number, score) for number, score in enumerate(scores)), failed], "eval_bleu4")
    figure = search_figure(results, SPACE, 2.0)
    assert len(figure.axes) == (2 if len(scores) >= 10 else 1)
    figure.savefig(tmp_path / "search.png")


# What is refused.


def test_as_many_trials_run_as_the_cluster_holds() -> None:
    search = SearchConfig(space=RANGES)

    def trials(space: Space, search: SearchConfig, *nodes: dict[str, float]) -> int:
        return trial_capacity(space.base, Inventory(nodes), trials=search.trials, concurrent=search.concurrent).trials

    assert [trials(SPACE, search, {"CPU": cpus}) for cpus in (3, 4, 8, 64)] == [1, 2, 4, 8]
    assert trials(SPACE, SearchConfig(space=RANGES, concurrent=3), {"CPU": 64}) == 3
    generating = Space(Config(), RANGES)  # each trial makes its own negatives
    assert trials(generating, search, {"CPU": 4}) == 1
    for share, gpus, nodes in ((0.5, 1, 1), (0.6, 2, 1), (0.6, 1, 2)):  # a share comes from a single GPU
        on_gpus = lay_over(SPACE.base, {"resources.use_gpu": True, "resources.gpus_per_worker": share})
        assert trials(Space(on_gpus, RANGES), search, *[{"CPU": 64, "GPU": gpus}] * nodes) == 2
    refused = (
        r"a trial takes 1\.5 CPU.*; beside them 1 Ray Data task of 1 CPU; the cluster has 1 x 2 CPU: not one fits\."
    )
    with pytest.raises(ConfigError, match=refused + r" Lower resources\.workers, "):
        trial_capacity(SPACE.base, Inventory(({"CPU": 2},)), trials=8)


def test_trials_count_on_nodes_that_an_autoscaler_may_add() -> None:
    cluster = yaml.safe_load((Path(__file__).parents[2] / "cluster.yaml").read_text())
    base = load_config(None, ["resources=cluster", "negatives.mode=cached"])
    pairs = cluster["available_node_types"]["trainer"]["max_workers"] // base.resources.workers
    capacity = trial_capacity(base, of_cluster_file(cluster), trials=8)
    assert capacity.trials == pairs
    assert "to be added" in capacity.why


def test_another_search_in_the_same_directory_is_refused_with_what_differs(tmp_path: Path) -> None:
    search = SearchConfig(space=RANGES)
    context = context_of(tmp_path)
    check_record(context, search)
    (tmp_path / RECORD).write_text(record_of(context.config, search))
    check_record(context, search)
    check_record(context_of(tmp_path, **{"resources.num_cpus": 64}), search.model_copy(update={"concurrent": 2}))
    with pytest.raises(ConfigError, match=r"another search: dpo\.epochs \(there 8, here 5\); set them back"):
        check_record(context_of(tmp_path, **{"dpo.epochs": 5}), search)
    other = search.model_copy(update={"space": RANGES | {"dpo.beta": Range(loguniform=(0.1, 3))}})
    with pytest.raises(ConfigError, match=r"search\.space\.dpo\.beta\.loguniform \(there \[0\.1, 10\.0\], here"):
        check_record(context, other)
    check_record(context_of(tmp_path, **{"resources.workers": 2}), search)


def test_a_state_that_was_cut_off_is_an_error_and_no_new_beginning(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    assert not can_resume(context)
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "experiment_state-2026-01-01_00-00-00.json").write_text(json.dumps({"trial_data": [["", ""]]}))
    assert can_resume(context)
    (tmp_path / "tune" / "experiment_state-2026-01-02_00-00-00.json").write_text('{"trial_da')
    with pytest.raises(ConfigError, match=r"2026-01-02_00-00-00\.json was cut off.*remove it"):
        can_resume(context)
