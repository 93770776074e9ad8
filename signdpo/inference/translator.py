"""Translates clip rows of one policy, and draws where it looks: the work of an actor, or of a process without Ray."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from signdpo.config import Config
from signdpo.counterfactuals.segments import token_places
from signdpo.data.rows import clips_of
from signdpo.inference.decoding import Decoding, Hypothesis, decode_clips
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import Policy
from signdpo.report.attention import attention_figure
from signdpo.storage.files import absolute, fetch_folder, join, write_bytes
from signdpo.storage.names import file_stem
from signdpo.text.units import split_units

MOST_SEQUENCES: Final = 256  # that are decoded at a time


@dataclass(frozen=True)
class TranslatorArguments:
    """What a translator is made of.

    Args:
        policy: its folder, a local path or a URI.
        decoding: how clips are decoded.
        use_gpu: whether a GPU is used, where there is one.
        batch_size: clips that are encoded at a time.
        max_tokens: of a sentence whose attention is drawn.
        attention: folder for a picture of each clip; None: none are drawn.
    """

    policy: str
    decoding: Decoding
    use_gpu: bool
    batch_size: int
    max_tokens: int
    attention: str | None = None

    @classmethod
    def of(cls, config: Config, policy: str, decoding: Decoding, attention: str | None = None) -> TranslatorArguments:
        """Those of a configuration."""
        return cls(
            policy=absolute(policy),
            decoding=decoding,
            use_gpu=config.resources.use_gpu,
            batch_size=config.evaluation.batch_size,
            max_tokens=config.policy.max_text_tokens,
            attention=None if attention is None else absolute(attention),
        )


class ClipTranslator:
    """A policy, loaded once, that translates batch after batch as the evaluation does."""

    def __init__(self, arguments: TranslatorArguments) -> None:
        self.arguments = arguments
        self.policy = Policy.load(fetch_folder(arguments.policy))
        self.device = torch.device("cuda" if arguments.use_gpu and torch.cuda.is_available() else "cpu")
        self.policy.model.to(self.device)
        decoding = arguments.decoding
        sequences = decoding.samples if decoding.mbr == "samples" else 1
        self.at_once = max(1, min(arguments.batch_size, MOST_SEQUENCES // sequences))

    def __call__(self, rows: Sequence[dict[str, Any]]) -> list[list[Hypothesis]]:
        """The translations of each row of `READ_SCHEMA`, the best first; none of a row that was refused."""
        good = [row for row in rows if not row["reason"]]
        found: dict[str, list[Hypothesis]] = {}
        for at in range(0, len(good), self.at_once):
            part = good[at : at + self.at_once]
            found |= zip([row["id"] for row in part], self._translated(part), strict=True)
        return [found.get(row["id"], []) for row in rows]

    def _translated(self, rows: list[dict[str, Any]]) -> list[list[Hypothesis]]:
        ids, clips = [row["id"] for row in rows], clips_of(rows)
        keypoints, mask = pad_clips(clips, self.device)
        with torch.no_grad():
            encoded = self.policy.model.encode(keypoints, mask)
        found = decode_clips(self.policy, encoded, ids, self.arguments.decoding)
        if self.arguments.attention is not None:
            sentences = [hypotheses[0].sentence for hypotheses in found]
            labels = tokenize(self.policy.tokenizer, sentences, max_tokens=self.arguments.max_tokens)
            attention = self.policy.model.frame_attention(encoded, labels.to(self.device), mask).cpu().numpy()
            for clip, sentence, shares, id_ in zip(clips, sentences, attention, ids, strict=True):
                self._draw(
                    join(self.arguments.attention, f"{file_stem(id_)}.png"), clip, sentence, shares[:, : len(clip)]
                )
        return found

    def _draw(self, uri: str, clip: np.ndarray, sentence: str, attention: np.ndarray) -> None:
        words = list(self._words(sentence, attention))
        looks = np.stack([look for _, look in words]) if words else np.zeros((0, len(clip)))
        picture = io.BytesIO()
        attention_figure(clip, [word for word, _ in words], looks).savefig(picture, dpi=150, facecolor="white")
        write_bytes(uri, picture.getvalue())

    def _words(self, sentence: str, attention: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Each word and the share of its attention that falls on each frame, the mean over its tokens."""
        offsets = self.policy.tokenizer(sentence, return_offsets_mapping=True)["offset_mapping"][: len(attention)]
        units = split_units(sentence)
        for unit, tokens in zip(units, token_places(sentence, units, offsets), strict=True):
            if tokens:
                yield unit.strip(), attention[tokens].mean(0)
