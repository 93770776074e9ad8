"""All that is measured of the systems of a run on one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signdpo.evaluation.metrics import Scores, score
from signdpo.evaluation.minimal_pairs import measure_pairs
from signdpo.evaluation.significance import (
    Estimate,
    Measurement,
    PairedBootstrap,
    compare,
    estimate,
    measure_translations,
)
from signdpo.evaluation.systems import comparisons_of, name_of
from signdpo.evaluation.training_sentences import TrainingSentences


@dataclass(frozen=True)
class SplitTranslations:
    """What systems said to the clips of a split, and what they told apart.

    Args:
        ids: clips, in the order of all sentences.
        references: their sentences.
        hypotheses: system -> its translations.
        pairs: lines of `signdpo.evaluation.minimal_pairs.pair_lines`.
    """

    ids: Sequence[str]
    references: Sequence[str]
    hypotheses: Mapping[str, Sequence[str]]
    pairs: str

    def measure(self, system: str, training: TrainingSentences, **how: Any) -> dict[str, Measurement]:
        """All scores of a system that can be resampled; `how` are the keywords of `measure_translations`."""
        said = self.hypotheses[system]
        return {
            **measure_translations(said, self.references, **how),
            **training.measure(said, self.references),
            **measure_pairs(self.pairs, self.ids, system),
        }


@dataclass(frozen=True)
class Judgement:
    """Scores of the systems on one split.

    Args:
        scores: system -> its scores.
        estimates: system -> score that was resampled -> it and its interval.
        comparison: the two systems, the headline first -> score that was resampled -> their difference.
    """

    scores: dict[str, Scores]
    estimates: dict[str, dict[str, Estimate]]
    comparison: dict[str, dict[str, PairedBootstrap]]

    @classmethod
    def of(
        cls, split: SplitTranslations, training: TrainingSentences, *, samples: int, seed: int, **how: Any
    ) -> Judgement:
        """Score and compare; `samples` and `seed` are those of `compare`, `how` the keywords of `score`."""
        systems = list(split.hypotheses)
        measured = {system: split.measure(system, training, **how) for system in systems}
        return cls(
            scores={system: score(said, split.references, **how) for system, said in split.hypotheses.items()},
            estimates={system: estimate(measured[system], samples=samples, seed=seed) for system in systems},
            comparison={
                name_of((first, second)): compare([(measured[first], measured[second])], samples=samples, seed=seed)
                for first, second in comparisons_of(systems)
            },
        )

    def by_system(self) -> dict[str, dict[str, Any]]:
        """System -> all its scores by name, and the `intervals` of those that were resampled."""
        found: dict[str, dict[str, Any]] = {}
        for system, estimates in self.estimates.items():
            values = {name: each.value for name, each in estimates.items()} | self.scores[system].to_dict()
            intervals = {name: [each.confidence_low, each.confidence_high] for name, each in estimates.items()}
            found[system] = values | {"intervals": intervals}
        return found
