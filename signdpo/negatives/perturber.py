"""The language perturber: a text-to-text model that has learned the policy's own mistakes.

Fine-tuned on (reference -> policy hypothesis) pairs, it writes plausible wrong sentences for any reference, without
annotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)

from signdpo.config import ConfigError, PerturberConfig
from signdpo.models.batch import tokenize
from signdpo.models.hub import load_pretrained
from signdpo.models.translator import IGNORED
from signdpo.negatives.edits import EditPerturber
from signdpo.negatives.rules import RulePerturber
from signdpo.negatives.sampling import SeededSampling
from signdpo.seeding import derive_seed

PATH_KEY = "negatives.perturber.path"
EXTRA_TOKENS = 8  # a wrong sentence may be so much longer than its reference


class Perturber(Protocol):
    """Writes candidate wrong sentences."""

    def propose(self, references: Sequence[str], seeds: Sequence[int], *, candidates: int) -> list[list[str]]:
        """Candidates for each reference; row `i` depends on `references[i]` and `seeds[i]` alone."""


@dataclass(frozen=True)
class LanguagePerturber:
    """An encoder-decoder and its tokenizer: the policy's for a model from scratch, its own for a pretrained one."""

    model: Any  # of transformers, for text-to-text generation
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
    def pretrained(cls, path: str, *, max_tokens: int) -> LanguagePerturber:
        """The T5, mT5 or BART in a folder or of a hub name, to be fine-tuned.

        Raises:
            ConfigError: if there is none, or if it is no encoder-decoder.
        """
        if not load_pretrained(AutoConfig, path, PATH_KEY).is_encoder_decoder:
            raise ConfigError(f"{PATH_KEY}={path} is a causal language model: name an encoder-decoder (T5, mT5, BART)")
        model = load_pretrained(AutoModelForSeq2SeqLM, path, PATH_KEY)
        return cls(model, load_pretrained(AutoTokenizer, path, PATH_KEY), max_tokens)

    @classmethod
    def load(cls, folder: str | Path, *, max_tokens: int) -> LanguagePerturber:
        model = AutoModelForSeq2SeqLM.from_pretrained(folder)
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


def load_perturber(
    folder: str | Path, config: PerturberConfig, *, max_tokens: int, device: torch.device
) -> Perturber | None:
    """What writes the wrong sentences of a run; None for `kind: policy`, where the policy itself does."""
    if config.kind == "policy":
        return None
    if config.kind == "rules":
        return RulePerturber.load(folder)
    learned = (
        EditPerturber.load(folder)
        if config.architecture == "edits"
        else LanguagePerturber.load(folder, max_tokens=max_tokens)
    )
    learned.model.to(device)
    return learned
