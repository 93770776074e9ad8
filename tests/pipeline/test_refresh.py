"""On-policy negatives: generators follow the trainer, the reference goes on scoring."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from support.reruns import align_again
from support.small_runs import SmallRun

from signdpo.data.actor_pool import on_actors
from signdpo.data.batches import PreferenceBatch
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore, ScheduledDataConfig
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import Policy
from signdpo.negatives.generator import NegativeGenerator, ReferenceMismatchError
from signdpo.pipeline.actors import FollowPolicy, GeneratorArguments
from signdpo.pipeline.stages.align import BLOCKS_AHEAD, follower
from signdpo.training import versions
from signdpo.training.dpo import PreferenceStep
from signdpo.training.step_metrics import read_metrics
from signdpo.training.versions import Follower, Publisher, WeightStore

pytestmark = pytest.mark.usefixtures("ray_cluster")


def arguments_of(run: SmallRun) -> tuple[Any, ...]:
    baseline, perturber = str(run.directory / "pretrain" / "policy"), str(run.directory / "perturber" / "model")
    clips, segments = str(run.directory / "clips"), str(run.directory / "segments")
    return run.config, baseline, run.reference_hash, perturber, clips, segments


def move(model: torch.nn.Module) -> None:
    """Change every weight."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.fixture(scope="module")
def followed(small_run: SmallRun) -> list[dict[str, Any]]:
    """Batches of a stream whose trainer, this test, changes its weights at every step and publishes every second."""
    arguments = arguments_of(small_run)
    store = ClipStore.load(str(small_run.directory / "clips"), "train", max_frames=256)
    schedule = Schedule(store.num_frames, epochs=2, batch_size=16, workers=1, seed=1)
    weights: Any = WeightStore.remote()
    following = (follower(weights, small_run.config), "test", GeneratorArguments(*arguments))
    stream = on_actors(store.stream(schedule.blocks()), FollowPolicy, following, small_run.config)
    model = Policy.load(arguments[1]).model
    publisher = Publisher(weights, model, every=2, step=0)
    (shard,) = ScheduledDataConfig().configure({"train": stream}, 1)
    batches: list[dict[str, Any]] = []
    for batch in shard["train"].iter_batches(batch_size=None, prefetch_batches=2):
        batches.append(batch)
        move(model)
        publisher.advance(len(batches))
    return batches


def test_generators_follow_and_do_not_run_an_epoch_ahead(followed: list[dict[str, Any]]) -> None:
    seen = [int(batch["policy_version"][0]) for batch in followed]
    assert len(seen) == 10
    assert seen == sorted(seen)
    assert set(seen) <= {0, 2, 4, 6, 8}
    assert len(set(seen)) >= 3
    lags = [step - version for step, version in enumerate(seen)]
    assert min(lags) >= 0
    assert max(lags) <= BLOCKS_AHEAD + 1  # made so many steps before, with weights at most one step old


def test_the_frozen_reference_scored_the_rows_of_every_version(
    small_run: SmallRun, followed: list[dict[str, Any]]
) -> None:
    _, baseline, reference_hash, *_ = arguments_of(small_run)
    reference = Policy.load(baseline)
    score = PreferenceStep(reference.model)
    for batch in map(PreferenceBatch.collate, followed):
        assert set(batch.reference_hashes) == {reference_hash}
        padded = [pad_clips(clips) for clips in (batch.clips, *batch.rejected_clips.values())]
        sentences = [*batch.texts, *batch.rejected_texts]
        labels = tokenize(reference.tokenizer, sentences, max_tokens=64).view(2, len(batch), -1)
        with torch.no_grad():
            scored, _ = score(torch.stack([keypoints for keypoints, _ in padded]), padded[0][1], labels)
        rejected = (batch.reference_rejected[level] for level in (*batch.rejected_clips, "language"))
        logps = np.stack([batch.reference_chosen, *rejected])
        np.testing.assert_allclose(logps, scored.numpy(), atol=1e-4)


def test_another_version_looks_elsewhere_and_version_zero_is_the_reference(small_run: SmallRun) -> None:
    arguments = arguments_of(small_run)
    _, baseline, reference_hash, *_ = arguments
    store = ClipStore.load(str(small_run.directory / "clips"), "dev", max_frames=256)
    schedule = Schedule(store.num_frames, epochs=1, batch_size=6, workers=1, seed=1)
    batch = next(iter(store.stream(schedule.blocks()[:1]).iter_batches(batch_size=None)))
    generator = NegativeGenerator(*arguments)
    model = Policy.load(baseline).model
    move(model)
    before = generator(batch)
    generator.follow(2, model.state_dict())
    moved = generator(batch)
    generator.follow(0, None)
    after = generator(batch)
    chosen = [np.stack(rows["reference_logps"])[:, 0] for rows in (before, moved, after)]
    np.testing.assert_array_equal(chosen[0], chosen[1])
    assert any((a != b).any() for a, b in zip(before["salience_frames"], moved["salience_frames"], strict=True))
    for a, b in zip(before["keypoints_spatial_local"], after["keypoints_spatial_local"], strict=True):
        np.testing.assert_array_equal(a, b)
    with torch.no_grad():
        next(generator.model.parameters()).add_(1)
    with pytest.raises(ReferenceMismatchError, match=f"started with {reference_hash}"):
        generator.follow(4, model.state_dict())


@pytest.mark.long
def test_a_run_with_the_current_policy_reports_the_lag_of_its_rows(small_run: SmallRun, tmp_path: Path) -> None:
    rows = align_again(small_run, tmp_path / "run", "negatives.policy=current", "negatives.refresh_every=2")
    assert [row["step"] for row in rows] == list(range(1, 11))
    seen = [row["step"] - 1 - row["policy_version_lag"] for row in rows]
    assert seen[0] == 0
    assert set(seen) <= {0, 2, 4, 6, 8}
    assert len(set(seen)) >= 3
    assert all(0 <= row["policy_version_lag"] <= BLOCKS_AHEAD + 1 for row in rows)
    with_reference = read_metrics(str(small_run.directory / "align" / "metrics.jsonl"))
    assert all("policy_version_lag" not in row for row in with_reference)


def test_a_resumed_trainer_counts_versions_on_from_its_checkpoint() -> None:
    store: Any = WeightStore.remote()
    model = torch.nn.Linear(2, 2)
    Publisher(store, model, every=4, step=0).advance(8)
    assert ray.get(store.read.remote()).version == 8
    ray.get(store.clear.remote())  # the worker group dies, its checkpoint is of step 5
    store.advance.remote(9)  # a report of the dead trainer that comes late
    assert ray.get(store.read.remote()).step is None
    resumed = Publisher(store, model, every=4, step=5)
    published = ray.get(store.read.remote())
    assert (published.step, published.version) == (5, 5)
    torch.testing.assert_close(published.fetch(), dict(model.state_dict()))
    resumed.advance(6)
    published = ray.get(store.read.remote())
    assert (published.step, published.version) == (6, 5)


def test_a_generator_waits_for_the_trainer_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PATIENCE_SECONDS", 0.5)
    store: Any = WeightStore.remote()
    follower = Follower(store, ahead=2)
    begun = threading.Timer(1.0, lambda: store.publish.remote(0, []))
    begun.start()
    began = time.monotonic()
    assert follower.wait(2).step == 0  # nothing may be made before there is a trainer
    assert time.monotonic() - began >= 0.9
    began = time.monotonic()
    assert follower.wait(3).step == 0
    assert 0.4 <= time.monotonic() - began < 5
