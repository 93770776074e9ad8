"""The preference levels, in the order in which rows and batches carry them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Level:
    """One way to make the non-preferred side of a pair; its name is a key of configuration, rows and metrics.

    Args:
        name: key of the level.
        perturbs: the side of the pair that is made wrong, the clip's skeleton or its sentence; both: signs of the clip
            are exchanged and with them their words, so that the new sentence is right and the old one wrong.
        axis: what the operations of a skeleton level disturb: where joints are, or when.
        scope: the part of the clip that they may touch: all of it, or only where its meaning is.
        colour: of the level in figures. Okabe and Ito's, which colour-blind readers tell apart; all stand out from
            white and from black.
    """

    name: str
    perturbs: Literal["skeleton", "sentence", "both"]
    axis: Literal["space", "time"] | None
    scope: Literal["global", "local"] | None
    colour: str


BY_NAME: Final = {
    level.name: level
    for level in (
        Level("spatial_global", "skeleton", "space", "global", "#1f83c9"),
        Level("spatial_local", "skeleton", "space", "local", "#56b4e9"),
        Level("temporal_global", "skeleton", "time", "global", "#d55e00"),
        Level("temporal_local", "skeleton", "time", "local", "#e69f00"),
        Level("language", "sentence", None, None, "#009e73"),
        Level("counterfactual", "both", None, None, "#cc79a7"),
    )
}
LANGUAGE: Final = "language"
COUNTERFACTUAL: Final = "counterfactual"
LEVELS: Final = tuple(BY_NAME)
SKELETON_LEVELS: Final = tuple(name for name, level in BY_NAME.items() if level.perturbs == "skeleton")
