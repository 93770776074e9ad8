"""Is one system better than another, or was it luck? Paired bootstrap resampling of BLEU-4 (Koehn, EMNLP 2004).

sacreBLEU has the test too (`sacrebleu.significance`), but it gives no confidence interval of the difference, takes its
seed from the environment, and centres absolute differences, which makes chance differences look too certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from sacrebleu.metrics import BLEU

from signdpo.evaluation.metrics import ScoringTask, prepare

BLEU_ORDER: Final = 4


@dataclass(frozen=True)
class PairedBootstrap:
    """What resampling says about the difference in BLEU-4 between a system and a baseline.

    Attributes:
        delta: BLEU-4 of the system minus BLEU-4 of the baseline, on all sentences.
        p_value: two-sided, of so large a difference if there were none in truth.
        confidence_low, confidence_high: 95 % percentile interval of the difference.
        samples: number of resampled corpora.
        seed: of the resampling; the same seed gives the same numbers.
    """

    delta: float
    p_value: float
    confidence_low: float
    confidence_high: float
    samples: int
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.delta:+.2f} (95 % interval {self.confidence_low:+.2f} to {self.confidence_high:+.2f}), "
            f"p = {self.p_value:.4f}, paired bootstrap with {self.samples} samples, seed {self.seed}"
        )

    def to_dict(self) -> dict[str, float | str]:
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
) -> PairedBootstrap:
    """Resample the sentences with replacement and see how the difference in BLEU-4 varies.

    Both systems are scored on the same resampled sentences. The p-value shifts the resampled differences to a mean of
    the null hypothesis: `(1 + #{|delta_i - delta| >= |delta|}) / (1 + samples)`.

    Args:
        baseline, system, references: one sentence a clip each, in the same order.
        language, tokenize, protocol: as in `signdpo.evaluation.metrics.score`.
        samples: number of resampled corpora, each as large as the original.
        seed: of the resampling.

    Raises:
        ValueError: `samples` below 1, or what `score` refuses.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    ours, theirs = (
        _sentence_statistics(prepare(side, references, language=language, tokenize=tokenize, protocol=protocol))
        for side in (system, baseline)
    )
    delta = _bleu4(ours.sum(axis=0)) - _bleu4(theirs.sum(axis=0))

    generator = np.random.default_rng(seed)
    deltas = np.empty(samples)
    for sample in range(samples):
        drawn = generator.integers(len(references), size=len(references))
        deltas[sample] = _bleu4(ours[drawn].sum(axis=0)) - _bleu4(theirs[drawn].sum(axis=0))
    low, high = np.percentile(deltas, [2.5, 97.5])
    return PairedBootstrap(
        delta=delta,
        p_value=float((1 + np.sum(np.abs(deltas - delta) >= abs(delta))) / (1 + samples)),
        confidence_low=float(low),
        confidence_high=float(high),
        samples=samples,
        seed=seed,
    )


def _sentence_statistics(task: ScoringTask) -> np.ndarray:
    """BLEU's sufficient statistics `(sentences, 10)`: 2 lengths, 4 matches, 4 totals. A corpus is their sum."""
    metric = task.bleu
    rows = []
    for hypothesis, reference in zip(task.hypotheses, task.references, strict=True):
        sentence = metric.corpus_score([hypothesis], [[reference]])
        rows.append([sentence.sys_len, sentence.ref_len, *sentence.counts, *sentence.totals])
    return np.array(rows, dtype=np.int64)


def _bleu4(statistics: np.ndarray) -> float:
    hypothesis_length, reference_length, *ngrams = statistics.tolist()
    return BLEU.compute_bleu(
        ngrams[:BLEU_ORDER], ngrams[BLEU_ORDER:], hypothesis_length, reference_length, smooth_method="exp"
    ).score
