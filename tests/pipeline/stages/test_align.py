"""What an alignment tells of its negatives."""

from io import StringIO

from rich.console import Console

from signdpo.config import load_config
from signdpo.levels import LEVELS
from signdpo.negatives.statistics import LevelStatistics
from signdpo.pipeline.stages.align import show_negatives
from signdpo.run_context import RunContext


def test_levels_that_taught_nothing_are_told_of() -> None:
    console = Console(file=StringIO(), width=300)
    statistics = {level: LevelStatistics(accepted=0.5, masked=0.5, margin=2.0) for level in LEVELS}
    context = RunContext(load_config(), "run", console)
    show_negatives(context, statistics)
    assert "nothing was learned" not in console.file.getvalue()
    statistics["spatial_local"] = LevelStatistics(accepted=0.0, masked=1.0, margin=0.0)
    show_negatives(context, statistics)
    assert "nothing was learned from spatial_local: no negative's margin" in console.file.getvalue()
