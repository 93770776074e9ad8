"""A language model that reads no clip: text in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerBase

from signdpo.models.batch import tokenize
from signdpo.models.language_model import IGNORED
from signdpo.totals import Total


@dataclass(frozen=True)
class TextToText:
    """An encoder-decoder and its tokenizer.

    Args:
        model: of transformers, for text-to-text generation.
        tokenizer: its tokenizer.
        max_tokens: longer texts are cut.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int = 64

    @classmethod
    def load(cls, folder: str | Path, *, max_tokens: int) -> TextToText:
        """What `save` has written."""
        model, tokenizer = (auto.from_pretrained(folder) for auto in (AutoModelForSeq2SeqLM, AutoTokenizer))
        return cls(model, tokenizer, max_tokens)

    def save(self, folder: str | Path) -> None:
        """Write a Hugging Face folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def loss(self, sources: Sequence[str], targets: Sequence[str]) -> Total:
        """Cross-entropy of the target tokens, in nats."""
        ids = tokenize(self.tokenizer, sources, max_tokens=self.max_tokens).to(self.model.device)
        labels = tokenize(self.tokenizer, targets, max_tokens=self.max_tokens).to(self.model.device)
        mask = ids != IGNORED
        inputs = ids.masked_fill(~mask, self.tokenizer.pad_token_id)
        count = int((labels != IGNORED).sum())
        return Total(count * self.model(input_ids=inputs, attention_mask=mask.long(), labels=labels).loss, count)
