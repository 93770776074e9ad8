"""The ledger: every clip once an epoch, whatever was rolled back."""

from pathlib import Path

import numpy as np
import pytest
from support.preferences import preference_columns

from signdpo.data.batches import PreferenceBatch
from signdpo.levels import LEVELS
from signdpo.training.ledger import Ledger, LedgerError, check_ledger, read_ledger

CLIPS = ["a", "b", "c", "d"]


def batch(epoch: int, step: int, clips: str) -> PreferenceBatch:
    """Rows of which all levels but the first teach."""
    given = {
        "id": np.array(list(clips), dtype=object),
        "epoch": np.full(len(clips), epoch),
        "step": np.full(len(clips), step),
        "policy_version": np.full(len(clips), 3),
        "generator": np.array(["g1"] * len(clips), dtype=object),
        "valid": [np.array([False, *[True] * 5]) for _ in clips],
    }
    return PreferenceBatch.collate(preference_columns(len(clips), **given))


def record(folder: Path, rank: int, steps: dict[int, str], *, done: int = 0, epoch: int = 0) -> None:
    """What a rank does from a checkpoint to the next."""
    ledger = Ledger(str(folder), rank=rank, step=done)
    for step, clips in steps.items():
        ledger.record(batch(epoch, step, clips))
    ledger.commit(max(steps) + 1)


def test_rows_say_what_was_taught_when_and_by_whom(tmp_path: Path) -> None:
    record(tmp_path, 0, {0: "a", 1: "b"})
    record(tmp_path, 1, {0: "c", 1: "d"})
    rows = read_ledger(str(tmp_path)).to_pylist()
    assert [(row["step"], row["rank"], row["id"]) for row in rows] == [
        (0, 0, "a"),
        (0, 1, "c"),
        (1, 0, "b"),
        (1, 1, "d"),
    ]
    assert rows[0]["levels"] == list(LEVELS[1:])
    assert (rows[0]["policy_version"], rows[0]["generator"]) == (3, "g1")
    assert check_ledger(str(tmp_path), CLIPS, epochs=1) == "every clip once an epoch: 4 rows in 1 epoch, 5 levels"


def test_rows_of_a_skipped_step_taught_nothing(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), rank=0, step=0)
    ledger.record(batch(0, 0, "ab"), skipped=True)
    ledger.record(batch(0, 1, "cd"))
    ledger.commit(2)
    assert [bool(row["levels"]) for row in read_ledger(str(tmp_path)).to_pylist()] == [False, False, True, True]


def test_steps_trained_again_after_a_restart_count_once(tmp_path: Path) -> None:
    record(tmp_path, 0, {0: "ab"})
    record(tmp_path, 0, {1: "cd"}, done=1)  # its checkpoint was lost
    record(tmp_path, 0, {1: "cd"}, done=1)
    check_ledger(str(tmp_path), CLIPS, epochs=1)


def test_clips_that_are_missing_doubled_or_unknown_are_named(tmp_path: Path) -> None:
    record(tmp_path, 0, {0: "ab", 1: "bx"})
    faults = r"1 were trained on more than once, such as b in epoch 0; 1 are not of this run, such as x in epoch 0"
    with pytest.raises(LedgerError, match=rf"6 were not trained on, such as c in epoch 0, .*; {faults}"):
        check_ledger(str(tmp_path), CLIPS, epochs=2)


def test_a_run_without_a_ledger_was_not_trained(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="has 0 rows instead of 4"):
        check_ledger(str(tmp_path / "none"), CLIPS, epochs=1)


def test_a_part_that_was_cut_off_is_not_read(tmp_path: Path) -> None:
    record(tmp_path, 0, {0: "abcd"})
    (tmp_path / "0000002-0000003-rank-0.parquet.77.partial").write_bytes(b"PAR1")
    assert len(read_ledger(str(tmp_path))) == 4
