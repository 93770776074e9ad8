"""Cached negatives: the rows a stream would have made, kept under what decided them."""

import copy
import os
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from support.reruns import align_again
from support.small_runs import SMALL, SmallRun

from signdpo.config import Config, ConfigError, load_config
from signdpo.data.cache import CachedNegatives
from signdpo.data.rows import PREFERENCE_SCHEMA
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.pipeline.run import run
from signdpo.pipeline.stages.negatives import Negatives, open_cache, training_clips
from signdpo.run_context import RunContext, Upstream
from signdpo.training.step_metrics import read_metrics


@pytest.fixture(scope="module")
def cached_run(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    directory = tmp_path_factory.mktemp("cached") / "run"
    return directory, align_again(small_run, directory, "negatives.mode=cached")


def made_cache(run: SmallRun, directory: Path, *overrides: str) -> CachedNegatives:
    """The cache of a run in `directory` that has its first stages from another, made as far as it is lacking."""
    config = load_config(None, [*SMALL, "negatives.mode=cached", *overrides])
    upstream = Upstream(str(run.directory), frozenset({"clips", "pretrain", "perturber", "segments"}))
    context = RunContext(config, str(directory), Console(file=StringIO()), upstream)
    stage, before = Negatives(), copy.deepcopy(run.outputs)
    before.add(stage, stage.work(context, before, stage.inputs(config, before)))
    return open_cache(context, before, training_clips(context))


def schedule_of(store: ClipStore, config: Config, batch_size: int) -> Schedule:
    return Schedule(store.num_frames, epochs=config.dpo.epochs, batch_size=batch_size, workers=1, seed=config.seed)


def test_cached_and_streamed_runs_have_the_same_losses(
    small_run: SmallRun, cached_run: tuple[Path, list[dict[str, Any]]]
) -> None:
    streamed = read_metrics(str(small_run.directory / "align" / "metrics.jsonl"))
    _, cached = cached_run
    assert len(cached) == 10
    for name in ("loss", "grad_norm", "logps/chosen", "rewards/margins/language", "rewards/margins/temporal_local"):
        assert [row[name] for row in cached] == [row[name] for row in streamed]


def test_parts_are_plain_parquet_of_the_preference_schema(cached_run: tuple[Path, list[dict[str, Any]]]) -> None:
    directory, _ = cached_run
    schema = pq.read_schema(next(directory.glob("negatives/*/part-*.parquet")))
    assert schema.equals(PREFERENCE_SCHEMA)


def test_a_cache_serves_another_run_and_other_batches(
    small_run: SmallRun, cached_run: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    named = f"negatives.cache={cached_run[0] / 'negatives'}"
    cache = made_cache(small_run, tmp_path, named, "dpo.beta=0.3", "dpo.lr=0.01", "dpo.weights.language=1")
    assert list(tmp_path.iterdir()) == []
    store = ClipStore.load(str(small_run.directory / "clips"), "train", max_frames=256)
    schedule = schedule_of(store, small_run.config, 9)
    blocks = schedule.blocks(from_step=3)
    rows = [row for batch in cache.stream(blocks).iter_batches(batch_size=None) for row in _rows(batch)]
    planned = [store.ids[clip] for block in blocks for clip in block.rows]
    assert sorted(row["id"] for row in rows) == sorted(planned)
    assert {row["step"] for row in rows} == set(range(3, schedule.steps))
    for row in rows:
        assert len(row["keypoints_spatial_local"]) == len(row["keypoints"]) == row["num_frames"] * 207


def _rows(batch: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: column[i] for name, column in batch.items()} for i in range(len(batch["id"]))]


def test_a_stale_cache_is_refused_with_what_differs(
    small_run: SmallRun, cached_run: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    named = f"negatives.cache={cached_run[0] / 'negatives'}"
    stale = r"is stale for this run: dpo\.seed \(there 1, here 5\); negatives\.donors \(there 64, here 5\); set"
    with pytest.raises(ConfigError, match=stale):
        made_cache(small_run, tmp_path, named, "negatives.donors=5", "seed=5")


def test_a_cache_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    config = load_config(None, ["negatives.mode=cached", f"negatives.cache={tmp_path / 'nowhere'}"])
    with pytest.raises(ConfigError, match=r"nowhere: there are no finished negatives here; name the negatives/ of a"):
        run(config, str(tmp_path / "run"), Console(file=StringIO()))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_cache_goes_on(
    small_run: SmallRun, cached_run: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    shutil.copytree(cached_run[0] / "negatives", tmp_path / "negatives")
    parts = sorted((tmp_path / "negatives").glob("*/part-*"))
    lost, kept = parts[3], parts[:3] + parts[4:]
    whole = pq.read_table(lost)
    lost.unlink()
    (lost.parent / "manifest.json").unlink()
    for part in kept:
        os.utime(part, (1, 1))
    made_cache(small_run, tmp_path)
    assert {part.stat().st_mtime for part in kept} == {1}
    again, before = (str(table.drop_columns(["generator"]).to_pylist()) for table in (pq.read_table(lost), whole))
    assert again == before  # as text, since scores of what was not made are NaN, and equal nothing
    assert (lost.parent / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["negatives.mode=cached", "negatives.policy=current"], "makes all negatives before training"),
        (["negatives.cache=/somewhere"], "would not be read with mode=stream"),
    ],
)
def test_what_cannot_go_together_is_refused(overrides: list[str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_config(None, overrides)
