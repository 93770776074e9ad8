"""BLEURT (Sellam et al., ACL 2020), where Google's package and a checkpoint of it are installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from signdpo.config import ConfigError


def bleurt(hypotheses: Sequence[str], references: Sequence[str], checkpoint: str | Path) -> float:
    """Mean BLEURT of a system, times 100 as the field reports it.

    Args:
        hypotheses: one sentence a clip.
        references: the reference of each, in the same order.
        checkpoint: folder of an unpacked checkpoint, such as BLEURT-20.

    Raises:
        ConfigError: if the package or the checkpoint is not there, with the remedy.
    """
    if not Path(checkpoint).is_dir():
        raise ConfigError(f"--bleurt {checkpoint}: there is no such folder; unpack BLEURT-20 or another there")
    try:
        from bleurt.score import BleurtScorer
    except ImportError as error:
        raise ConfigError(
            f"--bleurt needs the package bleurt, which is not on PyPI ({error}): install it from its repository, "
            "google-research/bleurt"
        ) from error
    scores = BleurtScorer(str(checkpoint)).score(references=list(references), candidates=list(hypotheses))
    return 100 * sum(scores) / len(scores)
