"""What every section of the configuration is made of: the frozen base class, ranges of numbers, near names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "float32", "bfloat16"]


class Section(BaseModel):
    """A part of the configuration: frozen, and without unknown keys, infinite numbers and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def resolved_precision(precision: Precision, *, use_gpu: bool) -> Literal["float32", "bfloat16"]:
    """`auto` is bfloat16 on GPUs, and float32 on CPUs, where casting small matrices costs more than it saves.

    Decided by the configuration alone, never by the machine: one configuration is one format on every node.
    """
    if precision == "auto":
        return "bfloat16" if use_gpu else "float32"
    return precision


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of dotted keys."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}.{name}" if prefix else name
        leaves |= flat(value, key) if isinstance(value, Mapping) else {key: value}
    return leaves


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f": did you mean {close[0]}?" if close else f"; valid are {', '.join(known)}"
