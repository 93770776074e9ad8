"""The systems of a run, which are compared with which, and how long each of them may speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from signdpo.config import Config
from signdpo.config.evaluation import TUNE
from signdpo.evaluation.metrics import score
from signdpo.run_context import RunContext

BASELINE: Final = "baseline"
CONTROL: Final = "control"
ALIGNED: Final = "aligned"

# The headline first: what preferences gained over as many steps of the likelihood term alone.
COMPARISONS: Final = ((ALIGNED, CONTROL), (ALIGNED, BASELINE), (CONTROL, BASELINE))

# Of `evaluation.length_penalty=tune`: the same for every system.
LENGTH_PENALTIES: Final = (0.6, 0.8, 1.0, 1.25, 1.6, 2.0)


def systems_of(config: Config) -> tuple[str, ...]:
    """Names of the policies that a run translates with, in reading order."""
    return (BASELINE, ALIGNED) if config.control == "none" else (BASELINE, CONTROL, ALIGNED)


def policies_of(context: RunContext) -> dict[str, str]:
    """System -> folder of its policy."""
    folders = {BASELINE: context.baseline, CONTROL: context.control, ALIGNED: context.aligned}
    return {system: folders[system] for system in systems_of(context.config)}


def protocol_of(config: Config) -> dict[str, Any]:
    """How a run's sentences are scored: the keywords of `signdpo.evaluation.metrics.score`."""
    evaluation = config.evaluation
    return {"language": config.corpus.language, "tokenize": evaluation.tokenize, "protocol": evaluation.protocol}


def comparisons_of(systems: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of systems to compare, the headline first."""
    return [pair for pair in COMPARISONS if set(pair) <= set(systems)]


def name_of(comparison: tuple[str, str]) -> str:
    """What a comparison is called in files and on pages, for example `aligned - control`."""
    return " - ".join(comparison)


def column_of(system: str, length_penalty: float) -> str:
    """The column of a system's translations with a length penalty."""
    return f"{system} {length_penalty:g}"


def margins_of(system: str) -> str:
    """The column of a system's margins in minimal pairs, and of a split's file of them."""
    return f"{system} margins"


def candidate_penalties(config: Config) -> tuple[float, ...]:
    """The length penalties that dev is translated with."""
    given = config.evaluation.length_penalty
    return LENGTH_PENALTIES if given == TUNE else (float(given),)


def choose_penalty(
    hypotheses: Mapping[float, Sequence[str]], references: Sequence[str], **how: Any
) -> tuple[float, dict[float, float]]:
    """The length penalty with the best BLEU-4, of equal ones the nearest to 1, and the BLEU-4 of each.

    Args:
        hypotheses: length penalty -> translations of dev with it.
        references: of dev.
        how: language, tokenize and protocol, as in `signdpo.evaluation.metrics.score`.
    """
    found = {penalty: score(texts, references, **how).bleu4 for penalty, texts in hypotheses.items()}
    return max(found, key=lambda penalty: (found[penalty], -abs(penalty - 1.0))), found
