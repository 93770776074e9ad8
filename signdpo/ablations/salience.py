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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from signdpo.ablations.ratios import Ratio, ratio_of_means
from signdpo.config import SalienceConfig
from signdpo.corpora.synthetic.lexicon import (
    SIGNS,
    Sign,
    distinguishing_parts,
    distinguishing_share,
    minimal_pairs,
)
from signdpo.data.clips import keypoints_of
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import Policy
from signdpo.negatives.skeleton.salience import Salience, measure_salience
from signdpo.skeleton.layout import PARTS

BATCH: Final = 32


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
        ValueError: if a clip has no gloss spans, or glosses of another corpus.
    """
    partners: dict[str, list[Sign]] = {}
    for first, second in minimal_pairs():
        partners.setdefault(first.gloss, []).append(second)
        partners.setdefault(second.gloss, []).append(first)
    found = []
    for index, row in enumerate(rows):
        if not len(row["gloss_spans"]) or not set(row["gloss"]) <= SIGNS.keys():
            raise ValueError(f"clip {row['id']} is not of the synthetic corpus: only that says what tells signs apart")
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
    policy: Policy,
    rows: Sequence[Mapping[str, Any]],
    found: Sequence[Contrast],
    config: SalienceConfig,
    max_tokens: int,
) -> Iterator[int | SalienceScores]:
    """Measure salience under one rule: yields how many questions are answered, and in the end the scores.

    Args:
        policy: in evaluation mode.
        rows: clips of the synthetic corpus.
        found: their `contrasts`.
        config: the rule.
        max_tokens: `policy.max_text_tokens`.
    """
    questions: list[tuple[int, slice | None]] = [(each.clip, each.words) for each in found]
    questions += [(index, None) for index in range(len(rows))]
    answers: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0))] * len(questions)
    by_length = sorted(range(len(questions)), key=lambda question: rows[questions[question][0]]["num_frames"])
    for begin in range(0, len(by_length), BATCH):
        batch = by_length[begin : begin + BATCH]
        salience = _ask(policy, rows, [questions[question] for question in batch], config, max_tokens)
        for place, question in enumerate(batch):
            length = rows[questions[question][0]]["num_frames"]
            answers[question] = salience.frames[place, :length].numpy(), salience.parts[place].numpy()
        yield begin + len(batch)
    yield _scores(rows, found, answers)


def _ask(
    policy: Policy,
    rows: Sequence[Mapping[str, Any]],
    questions: Sequence[tuple[int, slice | None]],
    config: SalienceConfig,
    max_tokens: int,
) -> Salience:
    clips = [torch.from_numpy(keypoints_of(rows[clip]["keypoints"], rows[clip]["num_frames"])) for clip, _ in questions]
    texts = [rows[clip]["text"] for clip, _ in questions]
    labels = tokenize(policy.tokenizer, texts, max_tokens=max_tokens)
    focus = torch.ones_like(labels, dtype=torch.bool)
    for row, (text, (_, words)) in enumerate(zip(texts, questions, strict=True)):
        if words is not None:
            focus[row] = _tokens_of(policy, text, words, labels.shape[1])
    device = policy.model.device
    keypoints, mask = (tensor.to(device) for tensor in pad_clips(clips))
    salience = measure_salience(
        policy.model, keypoints, mask, labels.to(device), config, policy.tokenizer.eos_token_id, focus.to(device)
    )
    return Salience(salience.frames.cpu(), salience.parts.cpu())


def _tokens_of(policy: Policy, text: str, words: slice, length: int) -> Tensor:
    """`(length,)` bool, the tokens that spell a stretch of the text."""
    offsets = policy.tokenizer(text, return_offsets_mapping=True)["offset_mapping"][:length]
    spelled = torch.zeros(length, dtype=torch.bool)
    spelled[: len(offsets)] = torch.tensor([begin < words.stop and end > words.start for begin, end in offsets])
    return spelled


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
