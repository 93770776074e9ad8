"""What the training sentences tell about a translation: whether it is one of them, and which words carry meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from signdpo.evaluation.significance import Measurement
from signdpo.text.units import folded, words_of

# Words that more than this share of the sentences have carry next to no meaning of their own: in English `the`, `to`,
# `of`, in Chinese 的, 了, 是. No list of words: it would be one per language.
FUNCTION_SHARE: Final = 0.15


@dataclass(frozen=True)
class TrainingSentences:
    """The distinct sentences a policy was trained on.

    Args:
        texts: sentences, each once.
        known: all of them, folded.
        counts: folded word -> number of the sentences that have it.
    """

    texts: Sequence[str]
    known: Collection[str]
    counts: Mapping[str, int]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        distinct = list(dict.fromkeys(texts))
        counts = Counter(word for text in distinct for word in set(words_of(text)))
        return cls(distinct, frozenset(map(folded, distinct)), counts)

    def is_content(self, word: str) -> bool:
        """Whether a folded word carries meaning: all that are not among the most frequent ones."""
        return self.counts.get(word, 0) <= FUNCTION_SHARE * len(self.texts)

    def content(self, sentence: str) -> Counter[str]:
        """The meaning-bearing words of a sentence, in no order."""
        return Counter(word for word in words_of(sentence) if self.is_content(word))

    def measure(self, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Measurement]:
        """Shares in [0, 1] of a system's translations, to be resampled.

        Returns:
            `content_precision`: share of the hypotheses' content words that their references have; `content_recall`:
            share of the references' that their hypotheses have; `copies`: share of the hypotheses that are a training
            sentence, letter for letter but for case and punctuation.
        """
        rows = []
        for hypothesis, reference in zip(hypotheses, references, strict=True):
            said, wanted = self.content(hypothesis), self.content(reference)
            copied = folded(hypothesis) in self.known
            rows.append([(said & wanted).total(), said.total(), wanted.total(), copied, 1])
        statistics = np.array(rows)
        return {
            "content_precision": share(statistics[:, [0, 1]]),
            "content_recall": share(statistics[:, [0, 2]]),
            "copies": share(statistics[:, [3, 4]]),
        }


def share(statistics: np.ndarray) -> Measurement:
    """A share of counts: `(clips, 2)`, those that count and all of them; 0 of none."""
    return Measurement(statistics, lambda total: float(total[0] / total[1]) if total[1] else 0.0)
