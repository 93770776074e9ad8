"""Is one system better than another, or was it luck? Paired bootstrap resampling of clips (Koehn, EMNLP 2004).

sacreBLEU has the test too (`sacrebleu.significance`), but it gives no confidence interval of the difference, takes its
seed from the environment, and centres absolute differences, which makes chance differences look too certain.

Any score that is a function of sums over clips can be resampled: BLEU and chrF of n-gram counts, shares of counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from signdpo.evaluation.metrics import prepare

BLEU_ORDER: Final = 4
CHRF2: Final = CHRF()


@dataclass(frozen=True)
class Measurement:
    """A score of one system on some clips.

    Attributes:
        statistics: `(clips, numbers)`; their sum over any of the clips, `(numbers,)`, decides the score of these.
        score: the score of such a sum.
    """

    statistics: np.ndarray
    score: Callable[[np.ndarray], float]

    @property
    def value(self) -> float:
        """The score of all clips."""
        return self.score(self.statistics.sum(axis=0))


Measurements = Mapping[str, Measurement]  # name of a score -> that of one system


@dataclass(frozen=True)
class Estimate:
    """A score with the 95 % percentile interval that resampling its clips gives."""

    value: float
    confidence_low: float
    confidence_high: float


@dataclass(frozen=True)
class PairedBootstrap:
    """What resampling says about the difference in a score between a system and a baseline.

    Attributes:
        delta: score of the system minus score of the baseline, on all clips; the mean of it over several seeds.
        p_value: two-sided, of so large a difference if there were none in truth.
        confidence_low, confidence_high: 95 % percentile interval of the difference.
        samples: number of resampled corpora.
        seed: of the resampling; the same seed gives the same numbers.
        by_seed: difference of each seed that the systems were trained with.
        deviation: standard deviation of `by_seed`; None for one.
    """

    delta: float
    p_value: float
    confidence_low: float
    confidence_high: float
    samples: int
    seed: int
    by_seed: tuple[float, ...] = ()
    deviation: float | None = None

    def __str__(self) -> str:
        spread = "" if self.deviation is None else f", {len(self.by_seed)} seeds with deviation {self.deviation:.2f}"
        return (
            f"{self.delta:+.2f} (95 % interval {self.confidence_low:+.2f} to {self.confidence_high:+.2f}), "
            f"p = {self.p_value:.4f}, paired bootstrap with {self.samples} samples, seed {self.seed}{spread}"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def paired_bootstrap(
    baseline: Sequence[str],
    system: Sequence[str],
    references: Sequence[str],
    *,
    language: str,
    tokenize: str | None = None,
    protocol: str | None = None,
    samples: int = 1000,
    seed: int = 12345,
) -> dict[str, PairedBootstrap]:
    """The difference of two systems in `bleu4` and `chrf`, by `compare` of one seed.

    Args:
        baseline, system, references: one sentence a clip each, in the same order.
        language, tokenize, protocol: as in `signdpo.evaluation.metrics.score`.
        samples, seed: as in `compare`.

    Raises:
        ValueError: `samples` below 1, or what `score` refuses.
    """
    how: dict[str, Any] = {"language": language, "tokenize": tokenize, "protocol": protocol}
    pair = measure_translations(system, references, **how), measure_translations(baseline, references, **how)
    return compare([pair], samples=samples, seed=seed)


def compare(
    pairs: Sequence[tuple[Measurements, Measurements]], *, samples: int = 1000, seed: int = 12345
) -> dict[str, PairedBootstrap]:
    """Resample the clips with replacement and see how the differences vary; of several seeds, the seeds too.

    All systems are scored on the same resampled clips: sentences of several seeds for one clip are no new evidence
    about clips, and stay together. Several seeds are drawn with replacement as well, independently of the clips (the
    pigeonhole bootstrap, Owen 2007), so that the interval is one of other clips and other seeds. That underrates the
    spread of few seeds: of n its variance comes out (n - 1) / n as large, so `by_seed` and `deviation` are told too.
    The p-value shifts the resampled differences to a mean of the null hypothesis:
    `(1 + #{|delta_i - delta| >= |delta|}) / (1 + samples)`.

    Args:
        pairs: of each seed the measurements of the system and of the baseline, all on the same clips in the same order.
        samples: number of resampled corpora, each as large as the original.
        seed: of the resampling.

    Returns:
        Name of each score that all of them have -> the difference.

    Raises:
        ValueError: `samples` below 1, no pairs, or systems measured on other numbers of clips.
    """
    sides = [side for pair in pairs for side in pair]
    names = [name for name in (sides[0] if sides else ()) if all(name in side for side in sides)]
    resampled = _resampled([side[name] for name in names for side in sides], len(pairs), samples, seed)
    found = {}
    for place, name in enumerate(names):
        by_seed = tuple(system[name].value - baseline[name].value for system, baseline in pairs)
        delta = float(np.mean(by_seed))
        first = place * len(sides)
        scores = resampled[:, first : first + len(sides)]
        deltas = (scores[:, ::2] - scores[:, 1::2]).mean(axis=1)
        low, high = np.percentile(deltas, [2.5, 97.5]).tolist()
        found[name] = PairedBootstrap(
            delta=delta,
            p_value=float((1 + np.sum(np.abs(deltas - delta) >= abs(delta))) / (1 + samples)),
            confidence_low=low,
            confidence_high=high,
            samples=samples,
            seed=seed,
            by_seed=by_seed,
            deviation=float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None,
        )
    return found


def estimate(measurements: Measurements, *, samples: int = 1000, seed: int = 12345) -> dict[str, Estimate]:
    """Scores of one system with the intervals that resampling its clips gives; arguments and errors as in `compare`."""
    resampled = _resampled(list(measurements.values()), 1, samples, seed)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)  # (scores,) each
    return {
        name: Estimate(measured.value, float(low[place]), float(high[place]))
        for place, (name, measured) in enumerate(measurements.items())
    }


def measure_translations(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str,
    tokenize: str | None = None,
    protocol: str | None = None,
) -> dict[str, Measurement]:
    """`bleu4` and `chrf` of a system, as `signdpo.evaluation.metrics.score` computes them; arguments and errors too."""
    task = prepare(hypotheses, references, language=language, tokenize=tokenize, protocol=protocol)
    metric = task.bleu
    ngrams, characters = [], []
    for hypothesis, reference in zip(task.hypotheses, task.references, strict=True):
        sentence = metric.corpus_score([hypothesis], [[reference]])
        ngrams.append([sentence.sys_len, sentence.ref_len, *sentence.counts, *sentence.totals])
        characters += CHRF2._extract_corpus_statistics([hypothesis], [[reference]])
    return {"bleu4": Measurement(np.array(ngrams), _bleu4), "chrf": Measurement(np.array(characters), _chrf)}


def _resampled(measured: Sequence[Measurement], seeds: int, samples: int, seed: int) -> np.ndarray:
    """Scores of resampled clips `(samples, measurements)`, all on the same draws.

    Args:
        measured: of `seeds` pairs of systems, score after score, in each pair after pair; a drawn pair stands in the
            place of another.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    if len({len(each.statistics) for each in measured}) != 1:
        raise ValueError("nothing to compare, or systems that were measured on different clips")
    clips = len(measured[0].statistics)
    ends = np.cumsum([each.statistics.shape[1] for each in measured])
    statistics = np.concatenate([each.statistics for each in measured], axis=1).astype(np.float64)
    generator = np.random.default_rng(seed)
    scores = np.empty((samples, len(measured)))
    for sample in range(samples):
        drawn = generator.integers(clips, size=clips)
        sums = np.split(np.bincount(drawn, minlength=clips) @ statistics, ends[:-1])
        scores[sample] = [each.score(total) for each, total in zip(measured, sums, strict=True)]
        if seeds > 1:
            pairs = scores[sample].reshape(-1, seeds, 2)
            scores[sample] = pairs[:, generator.integers(seeds, size=seeds)].ravel()
    return scores


def _bleu4(statistics: np.ndarray) -> float:
    hypothesis_length, reference_length, *ngrams = statistics.astype(int).tolist()  # sacreBLEU prints counts with %d
    return BLEU.compute_bleu(
        ngrams[:BLEU_ORDER], ngrams[BLEU_ORDER:], hypothesis_length, reference_length, smooth_method="exp"
    ).score


def _chrf(statistics: np.ndarray) -> float:
    return float(CHRF2._compute_f_score(statistics.tolist()))
