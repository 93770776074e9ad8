"""Steps that are not finite are skipped and named; a training of nothing else ends with its last sound checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.reruns import metrics_of, policy_hash, run_again
from support.small_runs import SmallRun

from signdpo.models.policy import Policy
from signdpo.training.fit import DivergedError

pytestmark = pytest.mark.usefixtures("ray_cluster")


def spoil(directory: Path) -> str:
    """Make the keypoints of a training clip NaN, behind the back of all checks; its id."""
    shard = next((directory / "clips" / "train").glob("*.parquet"))
    table = pq.read_table(shard)
    keypoints = table["keypoints"].to_pylist()
    keypoints[0] = [float("nan")] * len(keypoints[0])
    place = table.column_names.index("keypoints")
    column = table.schema.field(place)
    pq.write_table(table.set_column(place, column, pa.array(keypoints, column.type)), shard)
    return str(table["id"][0])


def test_a_clip_that_is_not_finite_costs_its_step_alone(small_run: SmallRun, tmp_path: Path) -> None:
    shutil.copytree(small_run.directory, tmp_path / "run", ignore=shutil.ignore_patterns("control"))
    clip = spoil(tmp_path / "run")
    printed = run_again(small_run, tmp_path / "run", "control", "dpo.lr=0.002").console.file.getvalue()
    faults = [row["fault"] for row in metrics_of(tmp_path / "run", "control") if "fault" in row]
    assert faults == [f"nll of {clip}"] * 2  # once an epoch
    assert f"was skipped, since this was not finite: nll of {clip}" in printed
    assert "2 of 10 steps were skipped" in printed
    assert policy_hash(tmp_path / "run", "control") != policy_hash(tmp_path / "run", "pretrain")


def test_a_training_that_diverges_fails_and_keeps_its_last_sound_checkpoint(
    small_run: SmallRun, tmp_path: Path
) -> None:
    with pytest.raises(DivergedError, match=r"the stage control has diverged.*checkpoint_0000000.*Lower dpo\.lr"):
        run_again(small_run, tmp_path / "run", "control", "dpo.lr=1e20")
    (kept,) = (tmp_path / "run" / "control").glob("training-*/*/checkpoint_0000000/model")
    assert Policy.load(kept).hash() == policy_hash(tmp_path / "run", "pretrain")
