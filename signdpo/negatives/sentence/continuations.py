"""The language perturber as a causal language model: it reads a reference and goes on with a wrong sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from signdpo.models.language_model import IGNORED
from signdpo.negatives.sentence.sampling import EXTRA_TOKENS, padding_id, sample_sentences
from signdpo.totals import Total

ARROW = " ->"  # behind the reference; after it and a space comes the wrong sentence


@dataclass(frozen=True)
class ContinuationPerturber:
    """A causal language model with its tokenizer, fine-tuned to write `reference -> wrong sentence`.

    Args:
        model: of transformers, for causal language modelling.
        tokenizer: its own; it must have an end token.
        max_tokens: of the reference and of the wrong sentence, each; what is longer is cut.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int = 64

    def save(self, folder: str | Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def loss(self, sources: Sequence[str], targets: Sequence[str]) -> Total:
        """Cross-entropy of the target tokens, their end token included; the prompt is read, not learned."""
        rows, labels = [], []
        for prompt, target in zip(self._prompts(sources), targets, strict=True):
            written = [*self._ids(f" {target}")[: self.max_tokens - 1], self.tokenizer.eos_token_id]
            rows.append(torch.tensor([*prompt, *written]))
            labels.append(torch.tensor([*[IGNORED] * len(prompt), *written]))
        ids = pad_sequence(rows, batch_first=True, padding_value=padding_id(self.tokenizer))
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        learned = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        inputs, mask, learned = (tensor.to(self.model.device) for tensor in (ids, mask, learned))
        count = int((learned != IGNORED).sum())
        return Total(count * self.model(input_ids=inputs, attention_mask=mask, labels=learned).loss, count)

    def propose(self, references: Sequence[str], seeds: Sequence[int], *, candidates: int) -> list[list[str]]:
        """Sample candidate sentences for each reference; row `i` depends on `references[i]` and `seeds[i]` alone."""
        prompts = [torch.tensor(prompt) for prompt in self._prompts(references)]
        pad = padding_id(self.tokenizer)
        ids = pad_sequence(prompts, batch_first=True, padding_value=pad, padding_side="left")
        longest = ids.shape[1]
        mask = torch.stack([torch.arange(longest) >= longest - len(prompt) for prompt in prompts])
        limits = (mask.sum(1) + EXTRA_TOKENS).clamp_max(self.max_tokens)
        ids, mask, limits = (tensor.to(self.model.device) for tensor in (ids, mask, limits))
        return sample_sentences(self.model, self.tokenizer, ids, mask, limits, seeds, candidates=candidates)

    def _prompts(self, references: Sequence[str]) -> list[list[int]]:
        """Ids of each prompt, begun as the model expects a text to begin; a long reference is cut, the arrow is not."""
        begin = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        arrow = self._ids(ARROW)
        return [[*begin, *self._ids(reference)[: self.max_tokens], *arrow] for reference in references]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]
