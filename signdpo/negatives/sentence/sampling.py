"""Sampling sentences so that a draw depends on its own seed and not on the batch it is decoded in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from signdpo.config import Config
from signdpo.seeding import derive_seed

EXTRA_TOKENS = 8  # a wrong sentence may be so much longer than what it is written for


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


def sampled(seeds: Sequence[int], config: Config) -> dict[str, Any]:
    """Keywords of `generate` with which a policy says a sentence of its own, drawn by the seed of each row."""
    noise = SeededSampling(seeds, temperature=config.negatives.perturber.temperature)
    limit = config.evaluation.max_new_tokens
    return {"num_beams": 1, "do_sample": False, "max_new_tokens": limit, "logits_processor": [noise]}


@torch.no_grad()
def sample_sentences(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    ids: Tensor,
    mask: Tensor,
    limits: Tensor,
    seeds: Sequence[int],
    *,
    candidates: int,
) -> list[list[str]]:
    """Sample several sentences for each row of ids; those of row `i` depend on its ids and `seeds[i]` alone.

    Args:
        model: an encoder-decoder of transformers, which reads `ids`, or a causal language model, which continues them.
        tokenizer: the model's.
        ids: `(rows, tokens)` int64; for a causal model padded on the left.
        mask: `(rows, tokens)` bool, False where padded.
        limits: `(rows,)` int64, tokens that a sentence may have: each row its own, whatever the batch allows.
        seeds: one a row.
        candidates: sentences a row.
    """
    streams = [derive_seed(seed, candidate) for seed in seeds for candidate in range(candidates)]
    decoded = model.generate(
        input_ids=ids.repeat_interleave(candidates, dim=0),
        attention_mask=mask.long().repeat_interleave(candidates, dim=0),
        do_sample=False,
        num_beams=1,
        max_new_tokens=int(limits.max()),
        pad_token_id=padding_id(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        logits_processor=[SeededSampling(streams)],
    )
    start = 1 if model.config.is_encoder_decoder else ids.shape[1]  # behind the decoder's start token, or the prompt
    limited = zip(decoded.tolist(), limits.repeat_interleave(candidates).tolist(), strict=True)
    kept = [row[start : start + limit] for row, limit in limited]
    texts = [text.strip() for text in tokenizer.batch_decode(kept, skip_special_tokens=True)]
    return [texts[row : row + candidates] for row in range(0, len(texts), candidates)]


def padding_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of padding; of the end token where a tokenizer has none, as GPT-2's."""
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
