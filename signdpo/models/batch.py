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


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_tokens: int) -> list[list[int]]:
    """The ids of sentences, which is all that a model sees of them: two with the same ids are one sentence to it.

    A sentence longer than `max_tokens` keeps its end token: what is cut is what comes before it.
    """
    rows = tokenizer(list(texts))["input_ids"] if len(texts) else []
    return [ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], tokenizer.eos_token_id] for ids in rows]


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_tokens: int) -> Tensor:
    """Sentences -> their `token_ids` as labels `(batch, tokens)` int64, `IGNORED` where padded."""
    rows = [torch.tensor(ids, dtype=torch.long) for ids in token_ids(tokenizer, texts, max_tokens=max_tokens)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)
