"""Which of several wrong sentences is rejected: wrong in what it means, yet one that the policy might say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sacrebleu.metrics import CHRF

from signdpo.config import PerturberConfig
from signdpo.text.units import words_of

TEXT_FILE = "training_text.json"
_CHRF = CHRF()


@dataclass(frozen=True)
class TrainingText:
    """What the training sentences tell about a candidate.

    Args:
        sentences: number of distinct sentences.
        counts: word that occurs, folded -> the number of sentences that it is in.
        function_share: words that more than this share of the sentences have carry no meaning of their own, in any
            language. Not stored: it is no property of the text.
    """

    sentences: int
    counts: Mapping[str, int]
    function_share: float = 1.0

    @classmethod
    def of(cls, texts: Sequence[str], *, function_share: float = 1.0) -> TrainingText:
        """Count words over the distinct sentences."""
        distinct = list(dict.fromkeys(texts))
        counts = Counter(word for text in distinct for word in set(words_of(text)))
        return cls(len(distinct), dict(sorted(counts.items())), function_share)

    @classmethod
    def load(cls, folder: str | Path, *, function_share: float) -> TrainingText:
        return cls(**json.loads(Path(folder, TEXT_FILE).read_text(encoding="utf-8")), function_share=function_share)

    def to_json(self) -> str:
        return json.dumps({"sentences": self.sentences, "counts": self.counts}, ensure_ascii=False)

    def is_function_word(self, word: str) -> bool:
        return self.counts.get(word, 0) > self.function_share * self.sentences

    def meaning(self, sentence: str) -> Counter[str]:
        """The meaning-bearing words of a sentence, in no order: signed languages and their translators move words."""
        return Counter(word for word in words_of(sentence) if not self.is_function_word(word))

    def unknown(self, sentence: str) -> set[str]:
        """The words of a sentence that no training sentence has."""
        return set(words_of(sentence)) - self.counts.keys()


def admissible(reference: str, candidate: str, text: TrainingText, config: PerturberConfig) -> bool:
    """Whether a candidate is a wrong sentence worth rejecting, as far as its words tell.

    It has other meaning-bearing words than the reference; its words are known (`known_words`); it is neither too long
    nor too short (`max_length_ratio`); and its character n-gram F-score (chrF, Popović 2015) lies in the band: a
    sentence with nothing in common with the reference is too easy to reject, one that differs by a letter may be right.
    """
    old, new = words_of(reference), words_of(candidate)
    if not new or text.meaning(candidate) == text.meaning(reference):
        return False
    if config.known_words and text.unknown(candidate) - set(old):
        return False
    if max(len(new), len(old)) > config.max_length_ratio * min(len(new), max(len(old), 1)):
        return False
    return config.min_chrf <= _CHRF.sentence_score(candidate, [reference]).score <= config.max_chrf


def choose_rejected(
    reference: str,
    candidates: Sequence[str],
    fluencies: Sequence[float],
    text: TrainingText,
    config: PerturberConfig,
) -> str:
    """The admissible candidate that the policy finds likeliest, or "" if there is none: the mistake it is nearest to.

    Args:
        reference: the right sentence.
        candidates: sentences, any of them may be right, empty or nonsense.
        fluencies: log-probability a token of each under the policy, given the clip; below `min_fluency` it is no
            sentence, and minus infinity is what is no pair for other reasons than its words.
        text: the training text.
        config: bounds.
    """
    likely = [
        (fluency, candidate)
        for candidate, fluency in zip(candidates, fluencies, strict=True)
        if fluency >= config.min_fluency and admissible(reference, candidate, text, config)
    ]
    return max(likely)[1] if likely else ""
