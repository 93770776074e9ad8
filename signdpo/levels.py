"""The five preference levels, in the order in which rows and batches carry them."""

from __future__ import annotations

from typing import Final

SKELETON_LEVELS: Final = ("spatial_global", "spatial_local", "temporal_global", "temporal_local")
LEVELS: Final = (*SKELETON_LEVELS, "language")
