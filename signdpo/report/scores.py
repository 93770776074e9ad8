"""What scores are called, and how they are written, on a terminal and on a page."""

from __future__ import annotations

from typing import Final, NamedTuple


class Score(NamedTuple):
    """A score as people read it.

    Args:
        title: heading of its column.
        percent: whether it is a share in [0, 1] that is written in percent.
        digits: decimals.
        lower_is_better: whether less of it is better.
    """

    title: str
    percent: bool = False
    digits: int = 2
    lower_is_better: bool = False

    def write(self, value: float) -> str:
        return f"{100 * value:.{self.digits}f} %" if self.percent else f"{value:.{self.digits}f}"

    def points(self, difference: float) -> float:
        """A difference in points, which all scores but ratios have."""
        return 100 * difference if self.percent else difference


QUALITY: Final = {
    "bleu1": Score("BLEU-1"),
    "bleu2": Score("BLEU-2"),
    "bleu3": Score("BLEU-3"),
    "bleu4": Score("BLEU-4"),
    "chrf": Score("chrF"),
    "rouge_l": Score("ROUGE-L"),
}
LENGTH: Final = {
    "brevity_penalty": Score("brevity penalty", digits=3),
    "length_ratio": Score("length ratio", digits=3),
    "loop_rate": Score("loops", percent=True, digits=1, lower_is_better=True),
    "copies": Score("training copies", percent=True, digits=1, lower_is_better=True),
}
MEANING: Final = {
    "content_precision": Score("content precision", percent=True, digits=1),
    "content_recall": Score("content recall", percent=True, digits=1),
    "pairs_words": Score("pairs: words", percent=True, digits=1),
    "pairs_signs": Score("pairs: signs", percent=True, digits=1),
    "pairs_clips": Score("pairs: clips", percent=True, digits=1),
}
SCORES: Final = {**QUALITY, **LENGTH, **MEANING}

# In reading order: the headline is on test.
SPLITS: Final = {"test": "test", "dev": "dev (used to choose the checkpoint)"}

NO_CONTROL: Final = (
    "There is no control that trained as many steps by maximum likelihood alone: what aligned gained over the baseline "
    "may be what any more training gains (control: steps)."
)


def p_value(value: float) -> str:
    """`p = 0.012`, or `p < 0.001`."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
