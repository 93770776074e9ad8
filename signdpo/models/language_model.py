"""What is T5's: shape, output projection, teacher forcing, cross-attention and log-probabilities of its family.

The language model itself is transformers' (T5, mT5, ...); these functions are all that the translator asks of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM, PreTrainedModel, T5Config

from signdpo.config import ConfigError, LanguageModelConfig

IGNORED = -100  # label of padding, as everywhere in transformers
HEAD_IS_TIED = "tie_word_embeddings"  # in the settings of a language model: what the weights are, not T5's default


def fresh_t5(settings: LanguageModelConfig, *, vocab_size: int, dropout: float) -> T5Config:
    """The shape of a language model trained from scratch. Raises `ConfigError` if the heads do not divide its width."""
    if settings.d_model % settings.heads:
        raise ConfigError(
            f"policy.language_model.d_model={settings.d_model} is not a multiple of heads={settings.heads}"
        )
    return T5Config(
        vocab_size=vocab_size,
        d_model=settings.d_model,
        d_kv=settings.d_model // settings.heads,
        d_ff=settings.d_ff,
        num_layers=settings.layers,
        num_decoder_layers=settings.layers,
        num_heads=settings.heads,
        dropout_rate=dropout,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )


def build_language_model(settings: Mapping[str, Any]) -> PreTrainedModel:
    """A language model with new weights from its configuration as a plain dict, `model_type` included."""
    shape = dict(settings)
    return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(shape.pop("model_type"), **shape))


def head_is_tied(language_model: PreTrainedModel) -> bool:
    """Whether the output projection is the input embedding."""
    head, embedding = language_model.get_output_embeddings(), language_model.get_input_embeddings()
    return bool(head.weight is embedding.weight)


def untie_head(language_model: PreTrainedModel) -> None:
    """Give the model an output projection of its own, in place.

    The family's configurations say that it is tied, whatever was saved; the weights of mT5 and T5 1.1 say that it is
    not.
    """
    target = "lm_head.weight"
    if language_model.lm_head.weight is language_model.shared.weight:
        language_model.lm_head.weight = nn.Parameter(language_model.shared.weight.detach().clone())
    kept = {name: source for name, source in language_model._tied_weights_keys.items() if name != target}
    language_model._tied_weights_keys = kept
    language_model.all_tied_weights_keys.pop(target, None)


def decode(
    language_model: PreTrainedModel, hidden: Tensor, mask: Tensor, labels: Tensor, *, attentions: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """Teacher-forced decoder pass: inputs are the labels shifted right behind the start token.

    Args:
        language_model: of the T5 family.
        hidden: `(batch, positions, d_model)` of its encoder.
        mask: `(batch, positions)` bool.
        labels: `(batch, tokens)`, `IGNORED` where padded.
        attentions: whether to return cross-attention, which only eager attention can.

    Returns:
        States `(batch, tokens, d_model)`, and attention weights `(batch, heads, tokens, positions)` per layer, or none.

    Raises:
        RuntimeError: if the language model returns no attention weights though asked to.
    """
    inputs = labels.new_full(labels.shape, language_model.config.decoder_start_token_id)
    inputs[:, 1:] = labels[:, :-1]
    inputs = inputs.masked_fill(inputs == IGNORED, language_model.config.pad_token_id)
    decoder = language_model.get_decoder()
    asked = {"encoder_hidden_states": hidden, "encoder_attention_mask": mask, "use_cache": False}
    if not attentions:
        return decoder(input_ids=inputs, **asked).last_hidden_state, []
    with _eager_attention(decoder):
        decoded = decoder(input_ids=inputs, **asked, output_attentions=True)
    if not decoded.cross_attentions or decoded.cross_attentions[0] is None:
        raise RuntimeError("the language model returned no cross-attention weights; salience needs eager attention")
    return decoded.last_hidden_state, list(decoded.cross_attentions)


def token_logps(
    language_model: PreTrainedModel, states: Tensor, labels: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Log-probability of each label under the decoder's states, `(batch, tokens)` float32, 0 where it is `IGNORED`.

    Chunked linear cross-entropy: the `(batch, tokens, vocabulary)` logits never exist, which matters at mT5's 250,000
    entries. With label smoothing the values are negative smoothed losses, for training only.
    """
    if getattr(language_model.config, "scale_decoder_outputs", False):
        states = states * (language_model.config.d_model**-0.5)
    weight = language_model.get_output_embeddings().weight
    with torch.autocast(states.device.type, enabled=False):  # which would project in bfloat16 where nothing is chunked
        losses = F.linear_cross_entropy(
            states.flatten(0, 1).float(),
            weight.float(),
            labels.flatten(),
            reduction="none",
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
            options=_chunking(vocabulary=weight.shape[0], width=weight.shape[1]),
        )
    return -losses.view_as(labels)


def _chunking(*, vocabulary: int, width: int) -> nn.LinearCrossEntropyOptions | None:
    """Chunk where it pays: torch's own advice is a vocabulary larger than the width; small ones fit in a few MB."""
    return nn.LinearCrossEntropyOptions() if vocabulary > 32 * width else None


@contextmanager
def _eager_attention(model: PreTrainedModel) -> Iterator[None]:
    # The decoder itself: in some releases of transformers it has a copy of the configuration, which setting that of the
    # whole model does not reach.
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
