"""Finds the segments of clips: the work of an actor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from signdpo.config import Config
from signdpo.counterfactuals.language import Language, keys_of
from signdpo.counterfactuals.maker import SEGMENT_SCHEMA, neighbours
from signdpo.counterfactuals.segments import segments_of
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import Policy
from signdpo.storage.files import fetch_folder
from signdpo.text.units import split_units

TOGETHER = 32  # clips whose attention is held at a time


class SegmentFinder:
    """Asks a policy which frames speak which units.

    Args:
        config: the run's configuration.
        policy: its folder.
        sentences: of the train split.
    """

    def __init__(self, config: Config, policy: str, sentences: list[str]) -> None:
        torch.set_num_threads(1)
        self.config, self.policy = config, Policy.load(fetch_folder(policy))
        self.device = torch.device("cuda" if config.resources.use_gpu and torch.cuda.is_available() else "cpu")
        self.policy.model.to(self.device)
        share = config.negatives.perturber.function_share
        self.language = Language(sentences, function_share=share)

    def __call__(self, ids: list[str], texts: list[str], clips: list[np.ndarray]) -> list[dict[str, Any]]:
        """Rows of `SEGMENT_SCHEMA`.

        Args:
            ids: of the clips.
            texts: their sentences.
            clips: `(frames_i, 69, 3)` float32 each.
        """
        rows = []
        for at in range(0, len(ids), TOGETHER):
            part = slice(at, at + TOGETHER)
            for clip, text, keypoints, attention in zip(
                ids[part], texts[part], clips[part], self._attention(texts[part], clips[part]), strict=True
            ):
                rows += self._rows(clip, text, keypoints, attention)
        return rows

    def _rows(self, clip: str, text: str, keypoints: np.ndarray, attention: np.ndarray) -> list[dict[str, Any]]:
        units = split_units(text)
        offsets = self.policy.tokenizer(text, return_offsets_mapping=True)["offset_mapping"][: len(attention)]
        settings, rows = self.config.negatives.counterfactual, []
        for segment in segments_of(text, offsets, attention, self.language, settings):
            before, after = neighbours(keys_of(units), segment)
            values = (
                clip,
                segment.first,
                units[segment.first : segment.first + segment.count],
                before,
                after,
                segment.begin,
                segment.end,
                segment.mass,
                keypoints[segment.begin : segment.end].astype(np.float16).ravel(),
            )
            rows.append(dict(zip(SEGMENT_SCHEMA.names, values, strict=True)))
        return rows

    @torch.no_grad()
    def _attention(self, texts: list[str], clips: list[np.ndarray]) -> list[np.ndarray]:
        """Of each clip `(tokens, frames)`, the mean over the decoder's layers and heads, a distribution a token."""
        keypoints, mask = pad_clips(clips, self.device)
        labels = tokenize(self.policy.tokenizer, texts, max_tokens=self.config.policy.max_text_tokens)
        encoded = self.policy.model.encode(keypoints, mask)
        shares = self.policy.model.frame_attention(encoded, labels.to(self.device), mask).cpu().numpy()
        return [shares[row, :, : len(clip)] for row, clip in enumerate(clips)]
