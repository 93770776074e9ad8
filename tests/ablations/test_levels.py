"""The ablation of levels: what its arms are, what is written of them, and a small one over Ray."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from support.configs import ALL_LEVELS
from support.small_runs import SmallRun

import signdpo.ablations.levels as module
from signdpo.ablations.arms import (
    ALL,
    EQUAL_TIME,
    RANDOM,
    arms_of,
    chosen_arms,
    comparisons_of_arms,
    equal_epochs,
    equal_time,
    level_rows,
    time_rows,
)
from signdpo.ablations.levels import LevelsAblation, Run
from signdpo.config import Config, ConfigError, lay_over, load_config
from signdpo.evaluation.replicates import Replicates
from signdpo.evaluation.significance import Measurement
from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.monitoring.teaching import NothingTaughtError
from signdpo.pipeline.stage import Results
from signdpo.pipeline.stages.clips import Clips, ClipsOutputs
from signdpo.pipeline.stages.perturber import Perturber, PerturberOutputs
from signdpo.pipeline.stages.pretrain import Pretrain, PretrainOutputs
from signdpo.report.forest import arms_figure
from signdpo.run_context import Upstream


def levels_of(config: Config, name: str) -> tuple[str, ...]:
    return lay_over(config, {"negatives.levels": list(LEVELS), **arms_of(config)[name].settings}).dpo.levels


def test_each_level_has_an_arm_of_its_own_and_all_have_theirs() -> None:
    config = load_config(ALL_LEVELS)
    for level in LEVELS:
        assert levels_of(config, level) == (level,)
    assert levels_of(config, "skeleton levels") == SKELETON_LEVELS
    assert levels_of(config, ALL) == levels_of(config, RANDOM) == config.dpo.levels
    assert lay_over(config, arms_of(config)[RANDOM].settings).negatives.guidance == "random"
    assert list(arms_of(config))[:2] == ["baseline", "control"]


def test_a_level_keeps_its_weight_and_one_without_gets_the_largest() -> None:
    config = lay_over(Config(), {"dpo.weights.spatial_local": 0.25, "dpo.weights.language": 0.0})
    weights = [lay_over(config, arms_of(config)[level].settings).dpo for level in ("spatial_local", "language")]
    largest = max(config.dpo.weight_of(level) for level in LEVELS)
    assert weights[0].weight_of("spatial_local") == 0.25
    assert weights[1].weight_of("language") == largest
    assert "language" not in levels_of(config, ALL)


def test_arms_are_chosen_by_name() -> None:
    assert list(chosen_arms(Config(), ["language"])) == ["baseline", "control", "language"]
    with pytest.raises(ConfigError, match=r"--arms 'langage' is none: did you mean language\?"):
        chosen_arms(Config(), ["langage"])


def test_a_control_of_equal_time_has_the_epochs_that_fit() -> None:
    assert equal_epochs(1, method=130.0, control=20.0) == 6
    assert equal_epochs(4, method=10.0, control=20.0) == 2
    assert equal_epochs(1, method=1.0, control=20.0) == 1
    assert equal_time(1, 25, 6).settings == {"dpo.epochs": 6, "dpo.checkpoint_every": 150}


def measured(values: list[float]) -> dict[str, Measurement]:
    return {"bleu4": Measurement(np.array([[value, 1] for value in values]), lambda total: total[0] / total[1])}


SEEDS = {
    "baseline": {1: measured([1.0, 3.0]), 2: measured([1.0, 3.0])},
    "control": {1: measured([2.0, 4.0]), 2: measured([2.0, 4.0])},
    "language": {},
    ALL: {1: measured([4.0, 4.0]), 2: measured([6.0, 6.0])},
    EQUAL_TIME: {1: measured([5.0, 5.0]), 2: measured([5.0, 5.0])},
}


def test_an_arm_that_taught_nothing_is_a_row_and_no_crash() -> None:
    arms = [arms_of(Config())[name] for name in ("baseline", "control", "language", ALL)]
    found = Replicates.of(SEEDS, comparisons_of_arms(arms), samples=20)
    rows = {row[0]: row[1:] for row in level_rows(found, {"language": "taught nothing"}, {ALL: 1.234})}
    assert rows["arm"] == ["seeds", "BLEU-4", "BLEU-4 - control", "95 %", "p", "s a step"]
    assert rows["language"] == ["0", "-", "taught nothing", "", "", ""]
    assert rows[ALL][:3] == ["2", "5.00 ± 1.41", "+2.00"]
    assert rows[ALL][-1] == "1.23"
    assert EQUAL_TIME not in rows
    assert time_rows(found)[1][:4] == ["BLEU-4", "5.00 ± 0.00", "5.00 ± 1.41", "+0.00"]
    arms_figure(found.to_dict()["comparison"], ["bleu4"])


def test_that_nothing_was_taught_is_noted_with_what_decided_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def teaches_nothing(*arguments: Any) -> None:
        raise NothingTaughtError("no pair")

    before = Results()
    before.add(Clips(), ClipsOutputs(content_hash="c", clips={}, quarantined=0, reasons=[]))
    before.add(Pretrain(), PretrainOutputs(policy_hash="p"))
    before.add(Perturber(), PerturberOutputs(pairs=9, content_hash="w"))
    monkeypatch.setattr(module, "run_stages", teaches_nothing)
    arm, upstream = arms_of(Config())["language"], Upstream("/run", frozenset())
    run = Run(arm, 1, lay_over(Config(), arm.settings), str(tmp_path), upstream)
    context = run.context(Console())
    assert run.failure(context, before) is None
    run.train(context, before)
    assert run.failure(context, before) == "taught nothing"
    other = Run(arm, 1, lay_over(run.config, {"dpo.beta": 0.7}), str(tmp_path), upstream)
    assert other.failure(context, before) is None


@pytest.mark.long
def test_arms_share_the_run_and_one_cache_of_negatives(small_run: SmallRun, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    left = shutil.ignore_patterns("align", "control", "translation", "evaluation")
    shutil.copytree(small_run.directory, directory, ignore=left)

    def start() -> dict[Path, float]:
        ablation = LevelsAblation(small_run.config, str(directory), [1], Console(file=StringIO()), ["language", ALL])
        ablation.run()
        return {path: path.stat().st_mtime for path in directory.rglob("stage.json")}

    manifests = start()
    places = {str(path.parent.relative_to(directory)) for path in manifests if "ablation" in path.parts}
    trained = {"control": "control", "language": "align", "all": "align", "control_equal_time": "control"}
    expected = {f"ablation/{arm}-1/{stage}" for arm, stage in trained.items()}
    expected |= {f"ablation/{arm}-1/translation" for arm in ("baseline", *trained)}
    expected |= {f"ablation/{arm}-1/negatives" for arm in ("negatives_attention", "language", "all")}
    assert places == expected
    assert len(list(directory.glob("ablation/*-1/negatives/*/manifest.json"))) == 1
    found = json.loads((directory / "ablation" / "levels.json").read_text())
    assert list(found["systems"]) == ["baseline", "control", "language", ALL, EQUAL_TIME]
    assert {"language - control", f"{ALL} - control", f"{ALL} - {EQUAL_TIME}"} <= set(found["comparison"])
    page = (directory / "ablation" / "levels.md").read_text()
    assert "Equal time: all levels took" in page
    assert (directory / "ablation" / "levels.png").stat().st_size > 10_000
    assert start() == manifests
