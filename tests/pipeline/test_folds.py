"""Wrong sentences by policies that have not seen the clips."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from support.small_runs import SMALL, SmallRun

from signdpo.config import ConfigError, load_config
from signdpo.negatives.sentence.pairs import PAIRS_FILE, GivenSentences
from signdpo.pipeline.folds import fold_of
from signdpo.pipeline.stage import Inputs, Results, run_stage
from signdpo.pipeline.stages import perturber
from signdpo.pipeline.stages.perturber import NoFailuresError, Perturber, take_folds
from signdpo.run_context import RunContext, Upstream

IDS = [f"clip{number}" for number in range(2000)]


def test_folds_are_of_like_size_and_each_clip_is_decided_alone() -> None:
    folds = fold_of(IDS, 4, seed=1)
    assert set(folds.tolist()) == {0, 1, 2, 3}
    assert np.bincount(folds).min() > 430
    np.testing.assert_array_equal(fold_of(IDS[7:], 4, seed=1), folds[7:])
    assert (fold_of(IDS, 4, seed=2) != folds).any()


def said(reference: str, hypothesis: str, clip: str, right: bool = False) -> dict[str, Any]:
    return {"id": clip, "reference": reference, "hypothesis": hypothesis, "source": "sample", "right": right}


def context_of(tmp_path: Path, given: list[str], upstream: Upstream | None = None) -> RunContext:
    config = load_config(None, [*SMALL, "negatives.perturber.kind=folds", *given])
    return RunContext(config, str(tmp_path / "run"), Console(file=StringIO(), width=200), upstream)


def test_what_is_wrong_is_given_to_the_sentence_it_was_said_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [said("the dog barks", f"the cat {verb}", "a") for verb in ("barks", "runs", "runs")]
    rows += [said("the dog barks", "the dog barks", "b", right=True), said("the dog barks", "", "b")]
    rows += [said("my brother swam", f"my {name} swam", str(n)) for n, name in enumerate("abcdefgh")]
    monkeypatch.setattr(perturber, "mine_folds", lambda *_, **__: rows)
    context = context_of(tmp_path, [])
    assert take_folds(context, Results(), Inputs({})) == 9
    given = GivenSentences.load(context.perturber)
    assert given.rejected["the dog barks"] == ["the cat barks", "the cat runs"]
    assert len(given.rejected["my brother swam"]) == 8
    assert "11 of 13 sentences said to clips not seen are wrong (85%), of 9 clips" in context.console.file.getvalue()
    monkeypatch.setattr(perturber, "mine_folds", lambda *_, **__: rows[:4])
    with pytest.raises(NoFailuresError):
        take_folds(context, Results(), Inputs({}))


def test_a_given_policy_has_no_folds() -> None:
    with pytest.raises(ConfigError, match=r"kind=folds pre-trains a policy for each fold"):
        load_config(None, ["policy.init=/policies/a", "negatives.perturber.kind=folds"])


@pytest.mark.long
def test_a_policy_a_fold_is_trained_on_the_others_and_mined_once(small_run: SmallRun, tmp_path: Path) -> None:
    upstream = Upstream(str(small_run.directory), frozenset({"clips", "pretrain"}))
    context = context_of(tmp_path, ["negatives.perturber.samples_per_clip=3"], upstream)
    outputs = run_stage(context, Perturber(), small_run.outputs)
    assert outputs.pairs > 60  # of 72 clips: two epochs teach next to nothing
    mined = {}
    for fold in (0, 1):
        content = json.loads((tmp_path / f"run/perturber/fold-{fold}/mined.json").read_text())
        mined[fold] = {row["id"] for row in content["mined"]}
        assert len(content["mined"]) == 3 * len(mined[fold])
        assert (tmp_path / f"run/perturber/fold-{fold}/policy/model.safetensors").exists()
    assert not mined[0] & mined[1]
    assert len(mined[0] | mined[1]) == 72
    rejected = json.loads((tmp_path / "run/perturber/model" / PAIRS_FILE).read_text())
    assert all(wrong != reference for reference, found in rejected.items() for wrong in found)
    again = run_stage(context, Perturber(), small_run.outputs)
    assert again == outputs
    assert context.console.file.getvalue().count("fold 0: dev BLEU-4") == 1
