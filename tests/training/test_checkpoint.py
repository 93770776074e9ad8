"""Checkpoints in storage: which can be resumed from, which are kept, and what their metrics come to."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from signdpo.training.checkpoint import (
    PROGRESS_FILE,
    CheckpointMismatchError,
    CheckpointStore,
    checkpoint_name,
    manifest_file,
    rank_file,
    seal,
)

IDENTITY = {"reference": "abc", "batch_size": "16", "rows": "123"}


def write(folder: Path, step: int, *, score: float = 0.0, ranks: int = 2, attempt: int = 1, start: str = "") -> Path:
    """A checkpoint as the ranks of one start of a worker group would upload it."""
    place = folder / f"align-{attempt:03d}" / checkpoint_name(step)
    for rank in range(ranks):
        part = folder / "part"
        part.mkdir(parents=True)
        (part / rank_file(rank)).write_text(f"random {rank} {step}")
        if rank == 0:
            (part / "model").mkdir()
            (part / "model" / "weights").write_bytes(bytes(1000))
            progress = {"step": step, "epoch": 0, "identity": IDENTITY, "metrics": {"step": step, "bleu": score}}
            progress["metrics"]["eval_nll"] = score
            (part / PROGRESS_FILE).write_text(json.dumps(progress))
        seal(part, rank=rank, ranks=ranks, start=start or f"{attempt} {step}")
        shutil.copytree(part, place, dirs_exist_ok=True)
        shutil.rmtree(part)
    return place


def test_the_newest_complete_checkpoint_of_all_attempts_is_resumed_from(tmp_path: Path) -> None:
    assert CheckpointStore(str(tmp_path)).newest_step() == 0
    for attempt, step in ((1, 5), (1, 10), (2, 10), (2, 15)):
        write(tmp_path, step, attempt=attempt)
    store = CheckpointStore(str(tmp_path))
    assert [checkpoint.step for checkpoint in store.complete()] == [15, 10, 5]
    assert [checkpoint.uri.split("/")[-2] for checkpoint in store.complete()] == ["align-002", "align-002", "align-001"]
    assert store.next_attempt("align") == "align-003"


def test_a_run_directory_that_was_renamed_goes_on_with_the_attempts_it_has(tmp_path: Path) -> None:
    write(tmp_path, 10, attempt=2)
    store = CheckpointStore(str(tmp_path))
    assert store.next_attempt("another-align") == "another-align-003"
    write(tmp_path, 10, attempt=3).parent.rename(tmp_path / "a_name_before-align-003")
    assert [checkpoint.uri.split("/")[-2] for checkpoint in store.listed()] == ["a_name_before-align-003", "align-002"]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda place: (place / "model" / "weights").unlink(), "model/weights is missing"),
        (lambda place: (place / "model" / "weights").write_bytes(bytes(7)), "has 7 bytes instead of 1,000"),
        (lambda place: (place / "model" / "weights").write_bytes(b"1" + bytes(999)), "weights does not have the check"),
        (lambda place: (place / rank_file(1)).unlink(), r"rank-1\.pt is missing"),
        (lambda place: (place / manifest_file(1)).unlink(), r"not written to its end: manifest-1\.json is missing"),
        (lambda place: (place / manifest_file(1)).write_text('{"sta'), r"a manifest cannot be read"),
    ],
)
def test_a_damaged_newest_checkpoint_is_skipped_with_the_reason(
    tmp_path: Path, harm: Callable[[Path], object], reason: str
) -> None:
    for step in (5, 10, 15):
        newest = write(tmp_path, step)
    harm(newest)
    warnings: list[str] = []
    store = CheckpointStore(str(tmp_path)).examined(warnings.append)
    assert store.newest_step() == 10
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{newest} is skipped: ")
    assert re.search(reason, warnings[0])
    write(tmp_path, 15, attempt=2)  # trained again, beside the damaged one
    assert store.newest_step() == 15


def test_ranks_of_different_starts_are_no_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 5)
    older, newer = write(tmp_path / "a", 10, start="killed"), write(tmp_path / "b", 10, start="again")
    mixed = tmp_path / "align-001" / checkpoint_name(10)
    shutil.copytree(older, mixed)
    for name in (rank_file(0), manifest_file(0)):  # rank 1 was killed before it uploaded
        shutil.copy(newer / name, mixed / name)
    assert CheckpointStore(str(tmp_path)).newest_step() == 5


def test_the_best_and_the_last_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path))
    for step, score in ((5, 1.0), (10, 3.0), (15, 3.0), (20, 2.0), (25, 0.0), (30, 1.0)):
        write(tmp_path, step, score=score)
        store.prune(keep=2, score="bleu")
    assert [checkpoint.step for checkpoint in store.listed()] == [30, 25, 10]
    assert next(store.best("bleu")).step == 10  # of equal ones the earliest
    assert next(store.best(None)).step == 30


def test_the_best_score_is_the_lowest_where_lower_is_better(tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path))
    assert store.best_score("bleu") is None
    for step, score in ((5, 2.0), (10, 1.0), (15, 3.0), (20, float("nan")), (25, float("inf"))):
        write(tmp_path, step, score=score)
    assert store.best_score("bleu") == 3.0  # one that is not finite is never best
    assert store.best_score("eval_nll") == 1.0
    assert next(store.best("eval_nll")).step == 10


def test_what_is_left_of_an_upload_goes_when_it_cannot_be_in_progress(tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path))
    for step in (5, 10):
        (write(tmp_path, step) / manifest_file(0)).unlink()
    write(tmp_path, 8)
    store.prune(keep=2, score=None)
    assert [checkpoint.step for checkpoint in store.listed()] == [10, 8]


def test_a_checkpoint_of_other_rows_is_refused_with_what_differs(tmp_path: Path) -> None:
    write(tmp_path, 5)
    store = CheckpointStore(str(tmp_path))
    store.check_identity(IDENTITY)
    differs = r"batch_size \(there 16, here 8\), workers \(there None, here 2\); going on .* start a new run directory"
    with pytest.raises(CheckpointMismatchError, match=differs):
        store.check_identity(IDENTITY | {"batch_size": "8", "workers": "2"})
