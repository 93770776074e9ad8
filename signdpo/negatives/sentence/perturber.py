"""The language perturber: a text-to-text model that has learned the policy's own mistakes.

Fine-tuned on (reference -> policy hypothesis) pairs, it writes plausible wrong sentences for any reference, without
annotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)

from signdpo.config import ConfigError, PerturberConfig
from signdpo.models.batch import tokenize
from signdpo.models.hub import load_pretrained
from signdpo.models.language_model import IGNORED
from signdpo.models.text_to_text import TextToText
from signdpo.negatives.sentence.continuations import ContinuationPerturber
from signdpo.negatives.sentence.edits import EditPerturber
from signdpo.negatives.sentence.pairs import GivenSentences
from signdpo.negatives.sentence.rules import RulePerturber
from signdpo.negatives.sentence.sampling import EXTRA_TOKENS, sample_sentences

PATH_KEY = "negatives.perturber.path"


class Perturber(Protocol):
    """Writes candidate wrong sentences."""

    def propose(self, references: Sequence[str], seeds: Sequence[int], *, candidates: int) -> list[list[str]]:
        """Candidates for each reference; row `i` depends on `references[i]` and `seeds[i]` alone."""


class LanguagePerturber(TextToText):
    """An encoder-decoder and its tokenizer: the policy's for a model from scratch, its own for a pretrained one."""

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

    def propose(self, references: Sequence[str], seeds: Sequence[int], *, candidates: int) -> list[list[str]]:
        """Sample candidate sentences for each reference; row `i` depends on `references[i]` and `seeds[i]` alone."""
        ids = tokenize(self.tokenizer, references, max_tokens=self.max_tokens).to(self.model.device)
        mask = ids != IGNORED
        inputs = ids.masked_fill(~mask, self.tokenizer.pad_token_id)
        limits = (mask.sum(1) + EXTRA_TOKENS).clamp_max(self.max_tokens)
        return sample_sentences(self.model, self.tokenizer, inputs, mask, limits, seeds, candidates=candidates)


def pretrained_perturber(path: str, *, max_tokens: int) -> LanguagePerturber | ContinuationPerturber:
    """The T5, mT5, BART or causal language model in a folder or of a hub name, in float32, to be fine-tuned.

    Raises:
        ConfigError: if there is none, if it is of another kind, or if its tokenizer cannot end a sentence.
    """
    config = load_pretrained(AutoConfig, path, PATH_KEY)
    if not config.is_encoder_decoder and (
        type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or type(config) in MODEL_FOR_MASKED_LM_MAPPING
    ):
        raise ConfigError(
            f"{PATH_KEY}={path} is a {config.model_type}, which writes no sentences: "
            "name an encoder-decoder (T5, mT5, BART) or a causal language model (GPT-2, Qwen, Llama)"
        )
    tokenizer = load_pretrained(AutoTokenizer, path, PATH_KEY)
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"{PATH_KEY}={path}: its tokenizer has no eos_token, so no sentence would end: give it one")
    if config.is_encoder_decoder:
        return LanguagePerturber(load_pretrained(AutoModelForSeq2SeqLM, path, PATH_KEY).float(), tokenizer, max_tokens)
    return ContinuationPerturber(load_pretrained(AutoModelForCausalLM, path, PATH_KEY).float(), tokenizer, max_tokens)


def load_perturber(
    folder: str | Path, config: PerturberConfig, *, max_tokens: int, device: torch.device
) -> Perturber | None:
    """What writes the wrong sentences of a run; None for `kind: policy`, where the policy itself does."""
    if config.kind == "policy":
        return None
    if config.kind == "rules":
        return RulePerturber.load(folder)
    if config.kind in ("pairs", "folds"):
        return GivenSentences.load(folder)
    learned = (
        EditPerturber.load(folder)
        if config.architecture == "edits"
        else pretrained_perturber(str(folder), max_tokens=max_tokens)
    )
    learned.model.eval().to(device)
    return learned
