"""What an alignment tells of its negatives."""

from io import StringIO

import pytest
from rich.console import Console

from signdpo.levels import LEVELS
from signdpo.monitoring.teaching import NothingTaughtError, TeachingWatch


def told(shares: dict[str, float], steps: int) -> str:
    """What is said of so many steps of 1,000 clips, given the share of each level that teaches."""
    console = Console(file=StringIO(), width=300)
    watch = TeachingWatch(console, list(shares), steps=75)
    for _ in range(steps):
        watch.see({"rows": 1000, **{f"negatives/accepted/{level}": share for level, share in shares.items()}})
    return str(console.file.getvalue())


def test_levels_that_teach_next_to_nothing_are_told_of_after_the_first_steps() -> None:
    shares = dict.fromkeys(LEVELS, 0.5)
    assert told(shares, 10) == ""
    shares["spatial_local"] = 0.001
    assert told(shares, 9) == ""
    assert "in the first 10 steps few pairs taught (spatial_local 0.1 % of them)" in told(shares, 10)
    shares["language"] = 0.19
    assert "(language 19.0 % of them): no sentence of the perturber" in told(shares, 75)


def test_a_run_in_which_no_level_taught_has_failed() -> None:
    console = Console(file=StringIO(), width=300)
    watch = TeachingWatch(console, ["spatial_local", "language"], steps=75)
    watch.conclude({"spatial_local": 0.0, "language": 0.001})
    assert "in the whole run few pairs taught (spatial_local 0.0 % of them)" in console.file.getvalue()
    said = (
        r"no pair of any level taught anything \(spatial_local, language\).*widen negatives\.hardness; no sentence of"
    )
    with pytest.raises(NothingTaughtError, match=said):
        watch.conclude({"spatial_local": 0.0, "language": 0.0})
