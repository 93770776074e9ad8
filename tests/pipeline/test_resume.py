"""Exact resumption: a run whose workers are killed has the losses of one that was left alone, to the bit."""

import os
import shutil
import signal
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.reruns import assert_same_training, context_of, ledger_of, metrics_of, policy_hash, run_again
from support.small_runs import SmallRun

from signdpo.training.checkpoint import CheckpointMismatchError, CheckpointStore
from signdpo.training.fit import KeepCheckpoints, fit
from signdpo.training.plan import PerturberSettings, TrainingPlan

pytestmark = pytest.mark.usefixtures("ray_cluster")

END = -1
PLAN = TrainingPlan(
    stage="align",
    key="0",
    section="dpo",
    loop=lambda given: None,
    settings=PerturberSettings("", ""),
    identity={},
    total_steps=10,
    workers=1,
    cpus=1,
    score=None,
)
Worker = Callable[[dict[str, Any]], None]


def dying(worker: Worker, marks: Path, *, rank: int, steps: Collection[int]) -> Worker:
    """A loop whose worker of one rank is killed once after each of these many steps; `END`: when all is done."""
    marks.mkdir()

    def run(settings: dict[str, Any]) -> None:
        from signdpo.training.state import TrainingState
        from signdpo.training.workers import rank_and_world

        update = TrainingState.update

        def die_once(step: int) -> None:
            mark = Path(marks, str(step))
            if step in steps and rank_and_world()[0] == rank and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        def update_or_die(self: TrainingState, *arguments: Any, **options: Any) -> dict[str, float]:
            die_once(self.step)
            return update(self, *arguments, **options)

        TrainingState.update = update_or_die  # type: ignore[method-assign]
        worker(settings)
        die_once(END)

    return run


def test_killed_mid_epoch_and_at_its_end_and_at_the_very_end(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from signdpo.pipeline.actors import align_worker

    steps = (3, 5, END)  # an epoch has 5
    worker = dying(align_worker, tmp_path / "marks", rank=0, steps=steps)
    monkeypatch.setattr("signdpo.pipeline.stages.align.align_worker", worker)
    context = run_again(small_run, tmp_path / "run", "align", "dpo.checkpoint_every=1")
    assert len(list((tmp_path / "marks").iterdir())) == len(steps)
    assert_same_training(context.directory, small_run.directory, "align")
    assert ledger_of(context.directory) == ledger_of(small_run.directory)
    assert "every clip once an epoch: 144 rows in 2 epochs, 6 levels" in context.console.file.getvalue()
    # The last two, and the best, of which all but one were written before some worker was killed.
    stored = CheckpointStore(str(next(Path(context.directory, "align").glob("training-*")))).complete()
    assert [checkpoint.step for checkpoint in stored][:2] == [10, 9]
    assert len(stored) <= 3


@pytest.mark.long
def test_two_workers_of_which_either_dies(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from signdpo.pipeline.actors import align_worker

    pair = ("resources.workers=2", "resources.cpus_per_worker=0.5")
    run_again(small_run, tmp_path / "straight", "align", *pair)
    worker = dying(align_worker, tmp_path / "marks", rank=1, steps=(3, 5))  # in an epoch and at its end
    monkeypatch.setattr("signdpo.pipeline.stages.align.align_worker", worker)
    run_again(small_run, tmp_path / "run", "align", *pair, "dpo.checkpoint_every=1")
    assert len(list((tmp_path / "marks").iterdir())) == 2
    assert_same_training(tmp_path / "run", tmp_path / "straight", "align")
    ledger = ledger_of(tmp_path / "run")
    assert ledger == ledger_of(tmp_path / "straight")
    assert {row["rank"] for row in ledger} == {0, 1}


@pytest.mark.long
def test_a_training_goes_on_with_another_number_of_workers_and_of_checkpoints(
    small_run: SmallRun, tmp_path: Path
) -> None:
    directory = shutil.copytree(small_run.directory, tmp_path / "run")
    (directory / "align" / "stage.json").unlink()
    (newest,) = directory.glob("align/training-*/*/checkpoint_0000010")
    shutil.rmtree(newest)  # it was cut off after step 5, when one worker had trained and written its ledger up to 10
    pair = ("resources.workers=2", "resources.cpus_per_worker=0.5", "dpo.checkpoint_every=3")
    context = run_again(small_run, directory, "align", *pair)
    printed = context.console.file.getvalue()
    assert "goes on from step 5" in printed
    assert "every clip once an epoch: 144 rows in 2 epochs, 6 levels" in printed
    one, two = (ledger_of(where) for where in (small_run.directory, directory))
    assert [row["rank"] for row in two if row["step"] < 5] == [0] * 72
    assert {row["rank"] for row in two if row["step"] >= 5} == {0, 1}
    steps = [{(row["step"], row["id"]) for row in ledger} for ledger in (one, two)]
    assert steps[0] == steps[1]  # the same clips in the same steps
    assert [row["step"] for row in metrics_of(directory, "align")] == list(range(1, 11))


@pytest.mark.long
def test_a_damaged_newest_checkpoint_is_skipped_for_the_one_before(small_run: SmallRun, tmp_path: Path) -> None:
    directory = shutil.copytree(small_run.directory, tmp_path / "run")
    (directory / "align" / "stage.json").unlink()
    (newest,) = directory.glob("align/training-*/*/checkpoint_0000010")
    weights = newest / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    context = run_again(small_run, directory, "align")
    printed = context.console.file.getvalue()
    assert f"{newest} is skipped: model/model.safetensors has 1,000 bytes instead of" in printed
    assert "goes on from step 5" in printed
    assert_same_training(directory, small_run.directory, "align")
    assert ledger_of(directory) == ledger_of(small_run.directory)
    assert not newest.exists()  # pruned when it was replaced


def test_a_run_that_ended_before_its_manifest_was_written_trains_nothing(small_run: SmallRun, tmp_path: Path) -> None:
    directory = shutil.copytree(small_run.directory, tmp_path / "run")
    for path in ("stage.json", "metrics.jsonl"):
        (directory / "align" / path).unlink()
    shutil.rmtree(directory / "align" / "policy")
    context = run_again(small_run, directory, "align")
    assert "goes on from step 10" in context.console.file.getvalue()
    assert metrics_of(directory, "align") == metrics_of(small_run.directory, "align")
    assert policy_hash(directory, "align") == policy_hash(small_run.directory, "align")


def test_a_checkpoint_of_other_rows_is_refused_before_any_work(small_run: SmallRun) -> None:
    context = context_of(small_run.directory)
    (training,) = Path(small_run.directory, "align").glob("training-*")
    with pytest.raises(CheckpointMismatchError, match=r"batch_size \(there 16, here 7\).*start a new run directory"):
        fit(context, replace(PLAN, key=training.name.removeprefix("training-"), identity={"batch_size": "7"}))


def test_a_stage_gives_up_after_max_failures_and_keeps_keep_checkpoints(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    class Trainer:
        def __init__(self, loop: Worker, **options: Any) -> None:
            given.update(options)

        def fit(self) -> None:
            pass

    monkeypatch.setattr("ray.train.torch.TorchTrainer", Trainer)
    context = context_of(tmp_path, "resources.max_failures=-1", "resources.keep_checkpoints=7")
    fit(context, PLAN)
    assert given["run_config"].failure_config.max_failures == -1
    (keeping,) = [each for each in given["run_config"].callbacks if isinstance(each, KeepCheckpoints)]
    assert keeping.keep == 7


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_pretraining_with_dropout_and_augmentation_resumes_exactly(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    from signdpo.pipeline.actors import mle_worker

    group = ["pretrain.epochs=4", f"resources.pretrain_workers={workers}", "resources.cpus_per_pretrain_worker=0.5"]
    group += [f"pretrain.augmentation.{name}" for name in ("mirror=0.5", "joint_jitter=0.01", "frame_drop=0.2")]
    run_again(small_run, tmp_path / "straight", "pretrain", *group)
    worker = dying(mle_worker, tmp_path / "marks", rank=workers - 1, steps=(4, 9))  # epochs of 3: back to 3; at 9
    monkeypatch.setattr("signdpo.pipeline.stages.pretrain.mle_worker", worker)
    run_again(small_run, tmp_path / "run", "pretrain", *group)
    assert len(list((tmp_path / "marks").iterdir())) == 2
    assert metrics_of(tmp_path / "run", "pretrain") == metrics_of(tmp_path / "straight", "pretrain")
    assert policy_hash(tmp_path / "run", "pretrain") == policy_hash(tmp_path / "straight", "pretrain")


@pytest.mark.long
def test_the_perturber_resumes_exactly(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from signdpo.pipeline.actors import perturber_worker

    worker = dying(perturber_worker, tmp_path / "marks", rank=0, steps=(2, 4))
    monkeypatch.setattr("signdpo.pipeline.stages.perturber.perturber_worker", worker)
    run_again(small_run, tmp_path / "run", "perturber")
    assert list((tmp_path / "marks").iterdir())
    assert metrics_of(tmp_path / "run", "perturber") == metrics_of(small_run.directory, "perturber")
    weights = "perturber/model/model.safetensors"
    assert (tmp_path / "run" / weights).read_bytes() == (small_run.directory / weights).read_bytes()


@pytest.mark.long
def test_cached_negatives_resume_exactly(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from signdpo.pipeline.actors import align_worker

    worker = dying(align_worker, tmp_path / "marks", rank=0, steps=(4, 8))
    monkeypatch.setattr("signdpo.pipeline.stages.align.align_worker", worker)
    run_again(small_run, tmp_path / "run", "align", "negatives.mode=cached", "dpo.checkpoint_every=3")
    assert len(list((tmp_path / "marks").iterdir())) == 2
    assert_same_training(tmp_path / "run", small_run.directory, "align")
    assert ledger_of(tmp_path / "run") == ledger_of(small_run.directory)
