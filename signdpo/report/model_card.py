"""The card of a policy: what it is, what it was trained on, what it scores, as the Hugging Face Hub reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from signdpo.report.html import ReportData, SplitScores
from signdpo.report.markdown import to_card, to_markdown
from signdpo.report.scores import NO_CONTROL, SCORES, p_value

SHOWN: Final = ("bleu4", "chrf", "rouge_l", "content_precision", "content_recall", "pairs_words")
USE: Final = """```python
from signdpo.inference.pipeline import TranslationPipeline

translate = TranslationPipeline("this/folder")
for clip in translate("me.pose"):
    print(clip.sentence)
```"""
INTENDED: Final = (
    "For research on sign language translation. It knows the signers, the camera and the pose estimator of its corpus: "
    "keypoints of another estimator, another sign language or a subject that the corpus lacks give fluent sentences "
    "that are wrong. It is no interpreter: nothing that matters to anyone should rest on what it says."
)


def model_card(data: ReportData, *, language: str) -> str:
    """The card of the aligned policy of a run, in Markdown with the header that the Hub reads.

    Args:
        data: what the report of the run shows.
        language: of the sentences.
    """
    header: dict[str, Any] = {
        "language": [language],
        "pipeline_tag": "translation",
        "tags": ["sign-language-translation", "pose", "dpo", "signdpo"],
        "inference": False,
    }
    paragraphs = [
        "# A sign language translator, aligned by SignDPO",
        "From a clip of 2-D keypoints (69 joints of body, hands and face) to a sentence. Trained by maximum "
        "likelihood, then by Direct Preference Optimisation (arXiv 2604.18034).",
        *data.warnings,
        "## Use",
        USE,
        "Or `python jobs/translate.py --policy FOLDER me.pose`. Weights are safetensors, and no code is in the folder.",
        "## Intended use",
        INTENDED,
        "## Data and training",
        "\n".join(f"- {name}: {fact}" for name, fact in data.facts.items()),
        *[part for split in data.splits for part in _scores(split)],
    ]
    return to_card(header, paragraphs, data.config)


def _scores(split: SplitScores) -> list[str]:
    """The systems on a split, and how the headline's two differ."""
    shown = [name for name in SHOWN if all(name in scores for scores in split.systems.values())]
    chose = ", which chose the checkpoint" if split.split == "dev" else ""
    table = [
        ["", *(SCORES[name].title for name in shown)],
        *([system, *(SCORES[name].write(scores[name]) for name in shown)] for system, scores in split.systems.items()),
    ]
    parts = [f"## Scores on {split.split}, {split.sentences} clips{chose}", to_markdown(table)]
    if split.headline is None:
        return [*parts, NO_CONTROL]
    name, tests = split.headline
    differences = [f"{SCORES[score].title} {_difference(score, tests[score])}" for score in shown if score in tests]
    parts.append(f"{name}: {'; '.join(differences)} (95 %, paired bootstrap).")
    return parts if "control" in split.systems else [*parts, NO_CONTROL]


def _difference(name: str, test: Mapping[str, Any]) -> str:
    delta, low, high = (SCORES[name].points(test[key]) for key in ("delta", "confidence_low", "confidence_high"))
    return f"{delta:+.2f} ({low:+.2f} to {high:+.2f}), {p_value(test['p_value'])}"
