"""Padded batches of clips and sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signdpo.models.language_model import IGNORED


def pad_clips(clips: Sequence[np.ndarray | Tensor], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Clips `(frames_i, 69, 3)` -> `(batch, max frames, 69, 3)` float32, zero-padded, and its bool mask."""
    longest = max(len(clip) for clip in clips)
    padded = torch.zeros(len(clips), longest, *clips[0].shape[1:])
    mask = torch.zeros(len(clips), longest, dtype=torch.bool)
    for row, clip in enumerate(clips):
        padded[row, : len(clip)] = torch.as_tensor(clip)
        mask[row, : len(clip)] = True
    return padded.to(device), mask.to(device)


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_tokens: int) -> Tensor:
    """Sentences -> labels `(batch, tokens)` int64 ending in the end token, `IGNORED` where padded.

    A sentence longer than `max_tokens` keeps its end token: what is cut is what comes before it.
    """
    rows = []
    for ids in tokenizer(list(texts))["input_ids"]:
        kept = ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], tokenizer.eos_token_id]
        rows.append(torch.tensor(kept, dtype=torch.long))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)
