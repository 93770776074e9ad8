"""The language perturber: a text-to-text model that has learned the policy's own mistakes.

Fine-tuned on (reference -> policy hypothesis) pairs, it writes plausible wrong sentences for any reference, without
annotation. It shares the policy's tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sacrebleu.metrics import CHRF
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5Config, T5ForConditionalGeneration

from signdpo.config import PerturberConfig
from signdpo.models.batch import tokenize
from signdpo.models.translator import IGNORED
from signdpo.negatives.sampling import SeededSampling
from signdpo.seeding import derive_seed

EXTRA_TOKENS = 8  # a wrong sentence may be so much longer than its reference


@dataclass(frozen=True)
class LanguagePerturber:
    """A perturbation model and the policy's tokenizer."""

    model: T5ForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int = 64

    @classmethod
    def fresh(
        cls, tokenizer: PreTrainedTokenizerBase, config: PerturberConfig, *, max_tokens: int
    ) -> LanguagePerturber:
        """A small T5 with random weights, for the embedded default."""
        heads = 4
        settings = T5Config(
            vocab_size=len(tokenizer),
            d_model=config.d_model,
            d_kv=config.d_model // heads,
            d_ff=2 * config.d_model,
            num_layers=config.layers,
            num_decoder_layers=config.layers,
            num_heads=heads,
            feed_forward_proj="gated-gelu",
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
        )
        return cls(T5ForConditionalGeneration(settings), tokenizer, max_tokens)

    @classmethod
    def load(cls, folder: str | Path, *, max_tokens: int) -> LanguagePerturber:
        model = T5ForConditionalGeneration.from_pretrained(folder)
        return cls(model.eval(), AutoTokenizer.from_pretrained(folder), max_tokens)

    def save(self, folder: str | Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def loss(self, sources: Sequence[str], targets: Sequence[str]) -> torch.Tensor:
        """Mean cross-entropy a target token, a scalar."""
        ids = tokenize(self.tokenizer, sources, max_tokens=self.max_tokens).to(self.model.device)
        labels = tokenize(self.tokenizer, targets, max_tokens=self.max_tokens).to(self.model.device)
        mask = ids != IGNORED
        inputs = ids.masked_fill(~mask, self.tokenizer.pad_token_id)
        return self.model(input_ids=inputs, attention_mask=mask.long(), labels=labels).loss

    @torch.no_grad()
    def propose(self, references: Sequence[str], seeds: Sequence[int], *, candidates: int) -> list[list[str]]:
        """Sample candidate sentences for each reference; row `i` depends on `references[i]` and `seeds[i]` alone."""
        ids = tokenize(self.tokenizer, references, max_tokens=self.max_tokens).repeat_interleave(candidates, dim=0)
        ids = ids.to(self.model.device)
        mask = ids != IGNORED
        limits = (mask.sum(1) + EXTRA_TOKENS).clamp_max(self.max_tokens)  # each row its own, whatever the batch allows
        streams = [derive_seed(seed, candidate) for seed in seeds for candidate in range(candidates)]
        decoded = self.model.generate(
            input_ids=ids.masked_fill(~mask, self.tokenizer.pad_token_id),
            attention_mask=mask.long(),
            do_sample=False,
            num_beams=1,
            max_new_tokens=int(limits.max()),
            logits_processor=[SeededSampling(streams)],
        )
        kept = [row[1 : 1 + limit] for row, limit in zip(decoded.tolist(), limits.tolist(), strict=True)]
        texts = [text.strip() for text in self.tokenizer.batch_decode(kept, skip_special_tokens=True)]
        return [texts[row : row + candidates] for row in range(0, len(texts), candidates)]


def choose_rejected(reference: str, candidates: Sequence[str], config: PerturberConfig) -> str:
    """The candidate nearest to the reference that is still another sentence, or "" if there is none.

    Near in character n-gram F-score (chrF, Popović 2015) within the configured band: a sentence with nothing in common
    with the reference is too easy to reject, one that differs by a letter may be right.
    """
    best, best_score = "", -1.0
    for candidate in candidates:
        if not candidate or _folded(candidate) == _folded(reference):
            continue
        score = _CHRF.sentence_score(candidate, [reference]).score
        if config.min_chrf <= score <= config.max_chrf and score > best_score:
            best, best_score = candidate, score
    return best


_CHRF = CHRF()


def _folded(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
