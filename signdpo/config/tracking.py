"""Keys of `tracking`: where training curves go, besides the run directory."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from signdpo.config.base import Section

Name = Annotated[str, Field(min_length=1)]


class TrackingConfig(Section):
    wandb: Name | None = None
    mlflow: Name | None = None
