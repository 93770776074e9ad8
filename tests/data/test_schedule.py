"""The schedule: every clip once an epoch, whatever the batch size and the workers."""

import numpy as np
import pytest

from signdpo.data.schedule import Schedule

LENGTHS = np.random.default_rng(0).integers(10, 60, size=107)


@pytest.mark.parametrize(
    ("batch_size", "workers", "steps_per_block"), [(16, 1, 1), (16, 2, 1), (10, 3, 4), (106, 2, 1)]
)
def test_every_epoch_holds_every_clip_exactly_once(batch_size: int, workers: int, steps_per_block: int) -> None:
    schedule = Schedule(
        LENGTHS, epochs=3, batch_size=batch_size, workers=workers, seed=1, steps_per_block=steps_per_block
    )
    rows = np.concatenate([block.rows for block in schedule.blocks()])
    epochs = np.concatenate([block.epochs for block in schedule.blocks()])
    for epoch in range(3):
        assert sorted(rows[epochs == epoch]) == list(range(107))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_worker_that_takes_the_next_block_when_it_has_the_fewest_rows_gets_one_a_step(workers: int) -> None:
    schedule = Schedule(LENGTHS, epochs=2, batch_size=16, workers=workers, seed=1)
    had, steps = [0] * workers, [[] for _ in range(workers)]
    for block in schedule.blocks():  # the rule of Ray's OutputSplitter
        worker = had.index(min(had))
        had[worker] += len(block.rows)
        steps[worker].extend(np.unique(block.steps).tolist())
    assert steps == [list(range(schedule.steps))] * workers


def test_blocks_go_on_from_any_step_as_if_nothing_had_happened() -> None:
    schedule = Schedule(LENGTHS, epochs=2, batch_size=16, workers=2, seed=1)
    rest = schedule.blocks(from_step=5)
    assert [block.rows.tolist() for block in rest] == [block.rows.tolist() for block in schedule.blocks()[10:]]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def rows(seed: int) -> list[list[int]]:
        schedule = Schedule(LENGTHS, epochs=2, batch_size=16, workers=1, seed=seed)
        return [block.rows.tolist() for block in schedule.blocks()]

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)
    assert rows(1)[:7] != rows(1)[7:]


def test_clips_of_a_batch_are_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(10, 200, size=4096)
    spread = [
        np.ptp(lengths[block.rows]) for block in Schedule(lengths, epochs=1, batch_size=32, workers=1, seed=1).blocks()
    ]
    assert np.mean(spread) < 0.1 * np.ptp(lengths)


def test_more_workers_than_clips_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be split over 3 workers"):
        Schedule(LENGTHS[:2], epochs=1, batch_size=2, workers=3, seed=1)


def test_a_schedule_of_other_rows_has_another_identity_that_says_why() -> None:
    ids = [f"clip{number}" for number in range(107)]

    def identity(clips: list[str] = ids, **changed: int) -> dict[str, str]:
        choices = {"epochs": 2, "batch_size": 16, "workers": 1, "seed": 1}
        return Schedule(LENGTHS[: len(clips)], **(choices | changed)).identity(clips)

    same = identity()
    assert same == identity()
    assert same == identity(workers=2)  # the same rows, whoever shares a step: another number of workers may go on
    for name, value in {"epochs": 3, "batch_size": 8, "seed": 2}.items():
        other = identity(**{name: value})
        assert {key for key in same if same[key] != other[key]} == {name, "rows"}
    assert {key for key in same if same[key] != identity(ids[::-1])[key]} == {"rows"}
    assert {key for key in same if same[key] != identity(ids[:100])[key]} == {"clips", "rows"}
