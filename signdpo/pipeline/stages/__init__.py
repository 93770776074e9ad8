"""The stages of a run, a file each, in the order in which they are done."""

from __future__ import annotations

from typing import Any, Final

from signdpo.config import Config
from signdpo.pipeline.stage import Stage
from signdpo.pipeline.stages.align import Align
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.control import Control
from signdpo.pipeline.stages.evaluation import Evaluation
from signdpo.pipeline.stages.language import Language
from signdpo.pipeline.stages.negatives import Negatives
from signdpo.pipeline.stages.perturber import Perturber
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.pipeline.stages.report import Report
from signdpo.pipeline.stages.segments import Segments
from signdpo.pipeline.stages.translation import Translation

STAGES: Final[tuple[type[Stage[Any]], ...]] = (
    Clips,
    Language,
    Pretrain,
    Control,
    Perturber,
    Segments,
    Negatives,
    Align,
    Translation,
    Evaluation,
    Report,
)

# Keys that decide no stage's result, by the section or key they are in, and why.
DECIDE_NOTHING: Final = {
    "resources": "who does the work, and how fast; the rows of each step are the same on any number of workers",
    "tracking": "where curves are shown",
    "negatives.mode": "when negatives are made: the same ones, before the training or during it",
    "negatives.cache": "where they are read from: those of other settings are refused",
    "policy.init_saw_held_out": "what the user knows of policy.init: it only allows the run",
    "evaluation.batch_size": "padding changes nothing",
}


def stages_of(config: Config) -> list[Stage[Any]]:
    """The stages that a run with this configuration has, in order."""
    return [stage for stage in (kind() for kind in STAGES) if stage.is_wanted(config)]


def shared_stages() -> frozenset[str]:
    """Names of the stages before the alignment, which many alignments can share."""
    return frozenset(stage.name for stage in STAGES if stage.shared)
