"""Does salience find what tells signs apart? Measured on the synthetic corpus, which knows.

A sign of the lexicon is told from its partner in a minimal pair, the sign that differs in one feature, by certain parts
and at certain times (`distinguishing_parts`, `distinguishing_share`). A `Contrast` is one such pair at one place of a
clip: if salience, asked about the words that the sign stands for, means something, it lies on those frames and parts.

Chance is an even spread: over frames, the share of the clip they fill; over parts, how many of the four they are.
Signs fill two thirds of a clip, so salience of the whole sentence, all of it on signs, would be 1.5 times chance at
best; it is reported beside its ceiling.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch

from signdpo.ablations.measured_run import Findings, MeasuredRun, new_table
from signdpo.ablations.ratios import Ratio, ratio_of_means
from signdpo.config import ConfigError, SalienceConfig
from signdpo.corpora.synthetic.lexicon import (
    SIGNS,
    Sign,
    distinguishing_parts,
    distinguishing_share,
    minimal_pairs,
)
from signdpo.data.rows import clips_of
from signdpo.models.batch import pad_clips, tokenize
from signdpo.negatives.skeleton.salience import Salience, measure_salience
from signdpo.skeleton.layout import PARTS

BATCH: Final = 32
# One thing changed at a time from what the run is configured to do.
CHANGES: Final[tuple[dict[str, str], ...]] = (
    {},
    *({"layers": layers} for layers in ("all", "last")),
    *({key: reduction} for key in ("heads", "tokens") for reduction in ("mean", "max")),
    *({"weighting": weighting} for weighting in ("none", "gradient")),
    *({"parts": parts} for parts in ("freeze", "gradient")),
)


def ablate_salience(run: MeasuredRun, progress: Callable[[int, int], None]) -> Findings:
    """How far above chance salience is, as the run is configured and with one thing changed at a time.

    Args:
        run: on the synthetic corpus.
        progress: called with the number of questions answered, and of all questions.
    """
    found = contrasts(run.rows)
    rules = _rules(run.config.negatives.salience)
    questions = len(found) + len(run.rows)
    columns = ("rule", "frames", "parts", "parts over a constant answer")
    table = new_table("times chance, 95 % interval over clips", *columns)
    scores: dict[str, SalienceScores] = {}
    for rule, settings in rules.items():

        def show(done: int, before: int = len(scores) * questions) -> None:
            progress(before + done, len(rules) * questions)

        scores[rule] = each = score_salience(run, found, settings, show)
        table.add_row(rule, *map(str, (each.frames, each.parts, each.parts_over_constant)))
    default = next(iter(scores.values()))
    return Findings(
        table=table,
        note=f"{run.split}: {len(run.rows)} clips, {len(found)} contrasts with minimal pairs in {default.frames.clips} "
        "of them. Frames: salience of a sign's words on the frames in which it differs from its partner. Parts: on "
        "the parts in which it does. The whole sentence's salience on all signs, as configured: "
        f"{default.sentence} times chance, of {default.ceiling:.2f} that are possible.",
        figures={"rules": {rule: asdict(each) for rule, each in scores.items()}, "contrasts": len(found)},
        ratios={
            f"{name}, {rule}": getattr(each, name) for name in ("frames", "parts") for rule, each in scores.items()
        },
    )


def _rules(configured: SalienceConfig) -> dict[str, SalienceConfig]:
    """The configured rule, and each that differs from it in one key."""
    found = {}
    for change in CHANGES:
        changed = configured.model_copy(update=change)
        if not change or changed != configured:
            found[", ".join(f"{key}={value}" for key, value in change.items()) or "as configured"] = changed
    return found


@dataclass(frozen=True, eq=False)
class Contrast:
    """Where one sign of a clip differs from its partner in a minimal pair.

    Attributes:
        clip: index of the clip.
        gloss, partner: names of the two signs.
        words: `(characters,)` slice of the sentence that the sign stands for.
        frames: `(frames,)` bool, where the two differ.
        parts: the parts in which they differ.
    """

    clip: int
    gloss: str
    partner: str
    words: slice
    frames: np.ndarray
    parts: frozenset[str]


def contrasts(rows: Sequence[Mapping[str, Any]]) -> list[Contrast]:
    """All contrasts of clips of the synthetic corpus, in order; a sign that comes twice in a clip is one contrast.

    Args:
        rows: of `read_clips`, as dicts.

    Raises:
        ConfigError: if a clip has no gloss spans, or glosses of another corpus.
    """
    partners: dict[str, list[Sign]] = {}
    for first, second in minimal_pairs():
        partners.setdefault(first.gloss, []).append(second)
        partners.setdefault(second.gloss, []).append(first)
    found = []
    for index, row in enumerate(rows):
        if not len(row["gloss_spans"]) or not set(row["gloss"]) <= SIGNS.keys():
            raise ConfigError(f"clip {row['id']} is not of the synthetic corpus: only that says what tells signs apart")
        for gloss in dict.fromkeys(row["gloss"]):
            words = _words_of(SIGNS[gloss], row["text"])
            if words is None:  # the pronoun of a question, for one, may be another word than its sign's
                continue
            for partner in partners.get(gloss, []):
                found.append(
                    Contrast(
                        clip=index,
                        gloss=gloss,
                        partner=partner.gloss,
                        words=words,
                        frames=_differing_frames(row, gloss, distinguishing_share(SIGNS[gloss], partner)),
                        parts=distinguishing_parts(SIGNS[gloss], partner),
                    )
                )
    return found


def sign_frames(row: Mapping[str, Any]) -> np.ndarray:
    """`(frames,)` bool: inside a sign, not at rest or on the way from one to the next."""
    inside = np.zeros(row["num_frames"], dtype=bool)
    for begin, end in np.reshape(row["gloss_spans"], (-1, 2)):
        inside[begin:end] = True
    return inside


@dataclass(frozen=True)
class SalienceScores:
    """How many times chance salience finds what it should; see the module.

    Attributes:
        frames: of each contrast, salience asked about its words, on its frames.
        parts: the same on its parts.
        parts_over_constant: parts against the mean answer of all contrasts, as if salience did not look at the clip.
        sentence: of each clip, salience of the whole sentence on the frames of all signs.
        ceiling: what `sentence` would be if all of it lay on signs.
    """

    frames: Ratio
    parts: Ratio
    parts_over_constant: Ratio
    sentence: Ratio
    ceiling: float


def score_salience(
    run: MeasuredRun, found: Sequence[Contrast], rule: SalienceConfig, progress: Callable[[int], None]
) -> SalienceScores:
    """Measure salience under one rule.

    Args:
        run: on the synthetic corpus.
        found: the `contrasts` of its clips.
        rule: how salience is measured.
        progress: called with the number of questions answered: one for each contrast, one for each clip.
    """
    rows = run.rows
    questions: list[tuple[int, slice | None]] = [(each.clip, each.words) for each in found]
    questions += [(index, None) for index in range(len(rows))]
    answers: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0))] * len(questions)
    by_length = sorted(range(len(questions)), key=lambda question: rows[questions[question][0]]["num_frames"])
    for begin in range(0, len(by_length), BATCH):
        batch = by_length[begin : begin + BATCH]
        salience = _ask(run, [questions[question] for question in batch], rule)
        for place, question in enumerate(batch):
            length = rows[questions[question][0]]["num_frames"]
            answers[question] = salience.frames[place, :length].numpy(), salience.parts[place].numpy()
        progress(begin + len(batch))
    return _scores(rows, found, answers)


def _ask(run: MeasuredRun, questions: Sequence[tuple[int, slice | None]], rule: SalienceConfig) -> Salience:
    """Salience of clips, asked about a stretch of the sentence or about all of it."""
    policy, rows = run.policy, [run.rows[clip] for clip, _ in questions]
    labels = tokenize(policy.tokenizer, [row["text"] for row in rows], max_tokens=run.config.policy.max_text_tokens)
    focus = torch.ones_like(labels, dtype=torch.bool)  # (questions, tokens)
    for place, (row, (_, words)) in enumerate(zip(rows, questions, strict=True)):
        if words is not None:
            offsets = policy.tokenizer(row["text"], return_offsets_mapping=True)["offset_mapping"][: labels.shape[1]]
            spelled = [begin < words.stop and end > words.start for begin, end in offsets]
            focus[place] = False
            focus[place, : len(spelled)] = torch.tensor(spelled)
    clips = pad_clips(clips_of(rows))
    keypoints, mask, labels, focus = (tensor.to(policy.model.device) for tensor in (*clips, labels, focus))
    eos_id = policy.tokenizer.eos_token_id
    salience = measure_salience(policy.model, keypoints, mask, labels, rule, eos_id, focus)
    return Salience(salience.frames.cpu(), salience.parts.cpu())


def _scores(
    rows: Sequence[Mapping[str, Any]], found: Sequence[Contrast], answers: Sequence[tuple[np.ndarray, np.ndarray]]
) -> SalienceScores:
    names = list(PARTS)
    constant = np.mean([parts for _, parts in answers[: len(found)]], axis=0)
    table: dict[int, list[tuple[float, ...]]] = {}
    for contrast, (frames, parts) in zip(found, answers, strict=False):
        where = [names.index(part) for part in contrast.parts]
        row = (
            float(frames[contrast.frames].sum()),
            float(contrast.frames.mean()),
            float(parts[where].sum()),
            len(where) / len(names),
            float(constant[where].sum()),
        )
        table.setdefault(contrast.clip, []).append(row)
    on_frames, even_frames, on_parts, even_parts, on_average = np.array(
        [np.mean(each, axis=0) for each in table.values()]
    ).T
    inside = [sign_frames(row) for row in rows]
    shares = [each.mean() for each in inside]
    on_signs = [frames[each].sum() for each, (frames, _) in zip(inside, answers[len(found) :], strict=True)]
    return SalienceScores(
        frames=ratio_of_means(on_frames, even_frames),
        parts=ratio_of_means(on_parts, even_parts),
        parts_over_constant=ratio_of_means(on_parts, on_average),
        sentence=ratio_of_means(on_signs, shares),
        ceiling=float(1 / np.mean(shares)),
    )


def _words_of(sign: Sign, text: str) -> slice | None:
    """Where the sentence says what the sign means; the longest of its forms that is there."""
    for form in sorted(sign.words, key=len, reverse=True):
        match = re.search(rf"\b{re.escape(form)}\b", text)
        if match:
            return slice(*match.span())
    return None


def _differing_frames(row: Mapping[str, Any], gloss: str, share: tuple[float, float]) -> np.ndarray:
    frames = np.zeros(row["num_frames"], dtype=bool)
    for name, (begin, end) in zip(row["gloss"], np.reshape(row["gloss_spans"], (-1, 2)), strict=True):
        if name == gloss:
            progress = (np.arange(end - begin) + 0.5) / (end - begin)
            frames[begin:end] |= (progress >= share[0]) & (progress <= share[1])
    return frames
