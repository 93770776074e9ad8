"""A whole run over a real Ray: what it promises about its first step, its files and its resumption."""

import json
import math
import shutil
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.small_runs import SmallRun
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from signdpo.config import ConfigError, load_config
from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.pipeline.run import run
from signdpo.pipeline.stage import plan
from signdpo.pipeline.stages import stages_of
from signdpo.pipeline.stages.align import Align
from signdpo.pipeline.stages.control import Control
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.run_context import RunContext
from signdpo.training.step_metrics import read_metrics


def test_step_zero_loss_is_ln2_and_margins_are_zero(small_run: SmallRun) -> None:
    first = read_metrics(str(small_run.directory / "align" / "metrics.jsonl"))[0]
    assert first["step"] == 1  # measured before the first update
    for level in LEVELS:
        assert first[f"negatives/accepted/{level}"] > 0
        assert first[f"losses/{level}"] == pytest.approx(math.log(2), abs=1e-4)
        assert first[f"rewards/margins/{level}"] == pytest.approx(0, abs=1e-4)
    assert first["logps/chosen_drift"] == pytest.approx(0, abs=1e-4)


def test_training_moves_the_policy_and_not_the_reference(small_run: SmallRun) -> None:
    outputs = small_run.outputs
    hashes = {outputs[Pretrain].policy_hash, outputs[Control].policy_hash, outputs[Align].policy_hash}
    assert len(hashes) == 3


def test_the_control_takes_the_steps_of_the_alignment(small_run: SmallRun) -> None:
    stages = [read_metrics(str(small_run.directory / stage / "metrics.jsonl")) for stage in ("control", "align")]
    scored = [[row["step"] for row in rows if "eval_nll" in row] for rows in stages]
    assert scored[0] == scored[1] == [5, 10]
    control, alignment = ({row["step"]: row["lr"] for row in rows} for rows in stages)
    assert control == {step: alignment[step] for step in control}


def test_every_step_of_every_epoch_is_reported(small_run: SmallRun) -> None:
    rows = read_metrics(str(small_run.directory / "align" / "metrics.jsonl"))
    assert [row["step"] for row in rows] == list(range(1, 11))  # 72 clips, 16 a step, 2 epochs
    assert [sum(row["rows"] for row in rows if row["epoch"] == epoch) for epoch in range(2)] == [72, 72]


@pytest.mark.parametrize("stage", ["pretrain", "control", "perturber", "align"])
def test_tensorboard_shows_what_was_reported(small_run: SmallRun, stage: str) -> None:
    events = EventAccumulator(str(small_run.directory / stage / "tensorboard"))
    events.Reload()
    rows = read_metrics(str(small_run.directory / stage / "metrics.jsonl"))
    reported = {name for row in rows for name in row if name != "step"}
    assert set(events.Tags()["scalars"]) == reported
    for name in reported:
        drawn = [(point.step, point.value) for point in events.Scalars(name)]
        assert drawn == [(row["step"], pytest.approx(row[name], rel=1e-4)) for row in rows if name in row]


def test_models_are_loaded_once_an_actor_and_not_once_an_epoch(small_run: SmallRun) -> None:
    rows = read_metrics(str(small_run.directory / "align" / "metrics.jsonl"))
    assert rows[-1]["epoch"] == 1
    assert rows[-1]["generators"] == small_run.config.resources.generators[1] == 1


def test_each_epoch_tells_the_share_of_time_spent_waiting(small_run: SmallRun) -> None:
    for epoch in (1, 2):
        assert f"epoch {epoch}: " in small_run.printed
    assert small_run.printed.count("% of the trainer's time went on waiting for negatives") == 2


def test_how_negatives_came_out_is_logged_and_printed(small_run: SmallRun) -> None:
    outcomes = small_run.outputs[Align].negatives
    assert list(outcomes) == list(LEVELS)
    rows = read_metrics(str(small_run.directory / "align" / "metrics.jsonl"))
    printed = small_run.printed[small_run.printed.index("Negatives, skeletons with reference margins") :]
    band = small_run.config.negatives.hardness.skeleton
    for level, row in outcomes.items():
        accepted = sum(step["rows"] * step[f"negatives/accepted/{level}"] for step in rows) / 144
        assert row.accepted == pytest.approx(accepted)
        assert row.accepted + row.masked == pytest.approx(1)
        assert f"{100 * row.accepted:.1f} %" in next(line for line in printed.splitlines() if level in line)
        if level in SKELETON_LEVELS:
            assert row.redrawn == 0  # nothing is outside the wide band of this run
            assert band.min_margin <= row.margin <= band.max_margin


def test_scores_and_report_are_written(small_run: SmallRun) -> None:
    for system in ("baseline", "control", "aligned"):
        scores = json.loads((small_run.directory / "evaluation" / f"{system}.json").read_text())
        assert set(scores) == {"dev", "test"}
        assert {"bleu1", "bleu4", "chrf", "rouge_l", "brevity_penalty", "copies", "signature"} <= set(scores["dev"])
    compared = json.loads((small_run.directory / "evaluation" / "comparison.json").read_text())
    assert list(compared["test"]) == ["aligned - control", "aligned - baseline", "control - baseline"]
    for found in compared["test"].values():
        assert {"bleu4", "chrf", "content_recall", "pairs_clips"} <= set(found)
    pairs = [json.loads(line) for line in (small_run.directory / "translation" / "test.pairs.jsonl").open()]
    assert {pair["id"] for pair in pairs if pair["kind"] == "pairs_clips"} <= {pair["id"] for pair in pairs}
    assert all(set(pair["margins"]) == {"baseline", "control", "aligned"} for pair in pairs)
    lines = (small_run.directory / "translation" / "test.aligned.txt").read_text().splitlines()
    assert len(lines) == 12
    assert "<svg" in (small_run.directory / "report.html").read_text()
    assert "## Scores on test" in (small_run.directory / "align" / "policy" / "README.md").read_text()
    assert "paired bootstrap" in small_run.printed


def test_a_second_run_does_nothing(small_run: SmallRun) -> None:
    manifests = sorted(small_run.directory.glob("*/stage.json"))
    assert len(manifests) == 9
    before = [path.stat().st_mtime_ns for path in manifests]
    console = Console(file=StringIO(), width=200)
    run(small_run.config, str(small_run.directory), console)
    assert [path.stat().st_mtime_ns for path in manifests] == before
    assert console.file.getvalue().count("up to date") == 9


def test_a_moved_run_directory_is_still_the_run(small_run: SmallRun, tmp_path: Path) -> None:
    moved = shutil.copytree(small_run.directory, tmp_path / "elsewhere")
    context = RunContext(small_run.config, str(moved), Console(file=StringIO()))
    assert all(each.reason is None for each in plan(context, stages_of(small_run.config)))
    assert str(small_run.directory) not in "".join(path.read_text() for path in moved.glob("*/stage.json"))


@pytest.mark.parametrize(
    ("override", "stale"),
    [
        ("dpo.beta=0.7", {"align": "dpo.beta changed: 1.0 -> 0.7", "translation": "align runs anew"}),
        ("dpo.checkpoint_every=7", {"control": "dpo.checkpoint_every changed: 5 -> 7"}),
        ("negatives.perturber.lr=0.1", {"perturber": "negatives.perturber.lr changed: 0.0015 -> 0.1"}),
        ("negatives.perturber.candidates=3", {"align": "negatives.perturber.candidates changed: 5 -> 3"}),
        ("seed=5", {"pretrain": "seed changed: 1 -> 5", "perturber": "seed changed: 1 -> 5; pretrain runs anew"}),
        ("corpus.synthetic.noise=0.5", {"clips": "corpus.synthetic.noise changed: 1.0 -> 0.5; the corpus is another"}),
        ("evaluation.num_beams=2", {"perturber": "evaluation.num_beams changed: 4 -> 2"}),
        ("evaluation.bootstrap_samples=60", {"evaluation": "evaluation.bootstrap_samples changed: 50 -> 60"}),
        ("resources.generators=[1, 3]", {}),
        ("negatives.mode=cached", {"negatives": "never run"}),
    ],
)
def test_the_plan_says_why_a_stage_is_to_do(small_run: SmallRun, override: str, stale: dict[str, str]) -> None:
    from support.small_runs import SMALL

    config = load_config(None, [*SMALL, override])
    context = RunContext(config, str(small_run.directory), Console(file=StringIO()))
    reasons = {each.stage.name: each.reason for each in plan(context, stages_of(config)) if each.reason}
    assert list(reasons)[:1] == list(stale)[:1]
    for stage, reason in stale.items():
        assert reason in reasons[stage]


def test_a_stage_that_was_cut_off_and_one_of_another_version_are_told(small_run: SmallRun, tmp_path: Path) -> None:
    moved = shutil.copytree(small_run.directory, tmp_path / "elsewhere")
    context = RunContext(small_run.config, str(moved), Console(file=StringIO()))
    (moved / "align" / "stage.json").unlink()
    planned = {each.stage.name: each.reason for each in plan(context, stages_of(small_run.config))}
    assert (planned["perturber"], planned["align"]) == (None, "was cut off")
    assert planned["report"] == "align runs anew; translation runs anew; evaluation runs anew"
    (moved / "pretrain" / "stage.json").write_text('{"key": "0", "inputs": {}, "outputs": {}, "seconds": 1}')
    with pytest.raises(ConfigError, match=r"elsewhere was made by another version of signdpo .*name a new directory"):
        run(small_run.config, str(moved), context.console)


def test_a_policy_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    config = load_config(None, ["policy.init=/nowhere"])
    with pytest.raises(ConfigError, match=r"policy\.init=/nowhere: there is no policy"):
        run(config, str(tmp_path), Console(file=StringIO()))
    assert list(tmp_path.iterdir()) == []
