"""Sampling sentences so that a draw depends on its own seed and not on the batch it is decoded in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor


class SeededSampling(LogitsProcessor):
    """Gumbel-max sampling: greedy decoding of logits plus this noise is a draw from their softmax.

    `generate(do_sample=True)` draws a whole batch from one global stream, so a sentence would depend on its neighbours;
    here each row has a stream of its own.

    Args:
        seeds: one a row of the decoded batch.
        temperature: above 0; higher is more random.
        top_k: only so many of the likeliest tokens can be drawn.
    """

    def __init__(self, seeds: Sequence[int], *, temperature: float = 1.0, top_k: int = 50) -> None:
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature = temperature
        self.top_k = top_k

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`(rows, vocabulary)` scores -> the same, noisy, all but the `top_k` set to minus infinity."""
        top, indices = (scores / self.temperature).topk(min(self.top_k, scores.shape[-1]), dim=-1)
        # Always as many draws: torch's numbers depend on how many are drawn at once, and padding may add columns.
        uniforms = torch.stack([torch.rand(self.top_k, generator=stream) for stream in self.streams])
        uniforms = uniforms[:, : top.shape[-1]]
        gumbel = -torch.log(-torch.log(uniforms.clamp(1e-9, 1 - 1e-7))).to(top)
        return torch.full_like(scores, float("-inf")).scatter(-1, indices, top + gumbel)
