"""Chosen sentences that become unlikely are told of once, while there is time to stop."""

from io import StringIO

from rich.console import Console

from signdpo.monitoring.drift import LOWEST_DRIFT, REPORTS, DriftWatch


def warnings_of(drifts: list[float]) -> list[str]:
    console = Console(file=StringIO(), width=300)
    watch = DriftWatch(console)
    for step, drift in enumerate(drifts, start=1):
        watch.see({"step": step, "logps/chosen_drift": drift})
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_fall_of_the_mean_below_the_bound_is_told_once_with_step_size_and_remedy() -> None:
    falling = [-0.5 * step for step in range(4 * REPORTS)]
    (line,) = warnings_of(falling)
    means = [sum(falling[end - REPORTS : end]) / REPORTS for end in range(REPORTS, len(falling) + 1)]
    first = next(place for place, mean in enumerate(means) if mean < LOWEST_DRIFT)
    assert f"step {REPORTS + first}:" in line
    assert f"{-means[first]:.2f} nats a sentence below its value at step zero" in line
    assert "dpo.mle_weight" in line


def test_one_bad_batch_and_a_drift_above_the_bound_are_no_warning() -> None:
    assert warnings_of([0.0] * REPORTS + [0.9 * REPORTS * LOWEST_DRIFT] + [0.0] * REPORTS) == []
    assert warnings_of([0.9 * LOWEST_DRIFT] * 3 * REPORTS) == []
    assert warnings_of([10 * LOWEST_DRIFT] * (REPORTS - 1)) == []
