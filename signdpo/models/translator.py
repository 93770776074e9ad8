"""The policy: a skeleton encoder in front of a T5-family encoder-decoder, as one Hugging Face model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from signdpo.config import EncoderConfig
from signdpo.models.encoders.st_gcn import SkeletonEncoder

IGNORED = -100  # label of padding, as everywhere in transformers
HEAD_IS_TIED = "tie_word_embeddings"  # in `SignTranslatorConfig.language_model`: what the weights are, not T5's default


class SignTranslatorConfig(PretrainedConfig):
    """What a policy folder's `config.json` holds.

    Args:
        encoder: an `EncoderConfig` as a plain dict.
        language_model: the T5-family config as a plain dict, `model_type` included.
        prompt_ids: token ids put before the clip's encoding; empty for none.
        language: of the sentences (`en`, `zh`, ...).
    """

    model_type = "sign_translator"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        language_model: dict[str, Any] | None = None,
        prompt_ids: list[int] | None = None,
        language: str = "en",
        **kwargs: Any,
    ) -> None:
        self.encoder = encoder or EncoderConfig().model_dump(mode="json")
        self.language_model = language_model or {"model_type": "t5"}
        self.prompt_ids = list(prompt_ids or [])
        self.language = language
        kwargs.setdefault("is_encoder_decoder", True)
        super().__init__(**kwargs)


@dataclass(frozen=True)
class Encoded:
    """Clips as the decoder sees them.

    Args:
        hidden: `(batch, positions, d_model)`, prompt positions first.
        mask: `(batch, positions)` bool.
        prompt_length: how many leading positions belong to the prompt.
        stride: frames a position.
    """

    hidden: Tensor
    mask: Tensor
    prompt_length: int
    stride: int

    def select(self, rows: Tensor | slice) -> Encoded:
        """The clips of some batch rows; rows may repeat."""
        return Encoded(self.hidden[rows], self.mask[rows], self.prompt_length, self.stride)

    def to_frames(self, values: Tensor, num_frames: int) -> Tensor:
        """Spread `(batch, positions)` over the frames they are about: `(batch, num_frames)`; the prompt left out.

        Strided convolutions centre position `p` on frame `p * stride`: a frame takes the value of the nearest one.
        """
        last = self.mask[:, self.prompt_length :].sum(-1, keepdim=True) - 1  # (batch, 1)
        nearest = (torch.arange(num_frames, device=values.device) + self.stride // 2) // self.stride
        return values[:, self.prompt_length :].gather(1, torch.minimum(nearest[None], last).clamp_min(0))


class SignTranslator(PreTrainedModel):
    """Skeleton encoder + T5-family language model: log-probabilities, cross-attention and translation of clips."""

    config_class = SignTranslatorConfig
    base_model_prefix = "sign_translator"
    main_input_name = "keypoints"
    _supports_sdpa = True

    def __init__(self, config: SignTranslatorConfig, language_model: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        settings = dict(config.language_model)
        text_config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        if language_model is not None:
            head, embedding = language_model.get_output_embeddings(), language_model.get_input_embeddings()
            config.language_model = {**config.language_model, HEAD_IS_TIED: head.weight is embedding.weight}
        self.language_model = language_model or AutoModelForSeq2SeqLM.from_config(text_config)
        if not config.language_model.get(HEAD_IS_TIED, True):
            _untie_head(self.language_model)
        self.encoder = SkeletonEncoder(EncoderConfig(**config.encoder), output_dim=text_config.d_model)
        self.post_init()

    @classmethod
    def from_uni_sign(cls, checkpoint: str | Path, language_model: str, language: str = "Chinese") -> SignTranslator:
        """A public Uni-Sign checkpoint, pose only, as a translator in evaluation mode; see `models.uni_sign`.

        Args:
            checkpoint: the `.pth` file.
            language_model: folder or hub name of the mT5 it was trained with, for its config and tokenizer alone.
            language: the word in Uni-Sign's prompt.

        Raises:
            ConfigError: naming the file, what was found in it and the remedy.
        """
        from signdpo.models.uni_sign_checkpoint import load_uni_sign  # which needs this class

        return load_uni_sign(checkpoint, language_model, language)[0]

    def _init_weights(self, module: nn.Module) -> None:
        """Linear layers of the encoder as Uni-Sign draws them; the language model initialises itself."""
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    @property
    def decoder_start(self) -> int:
        return int(self.language_model.config.decoder_start_token_id)

    def encode(self, keypoints: Tensor, frame_mask: Tensor) -> Encoded:
        """Encode a padded batch of clips.

        Args:
            keypoints: `(batch, frames, 69, 3)` float, normalised.
            frame_mask: `(batch, frames)` bool, True for real frames.
        """
        embedded, mask = self.encoder(keypoints, frame_mask)
        prompt_length = len(self.config.prompt_ids)
        if prompt_length:
            prompt_ids = torch.tensor(self.config.prompt_ids, device=embedded.device)
            prompt = self.language_model.get_input_embeddings()(prompt_ids)
            embedded = torch.cat([prompt.expand(len(embedded), -1, -1).to(embedded.dtype), embedded], dim=1)
            mask = torch.cat([mask.new_ones(len(mask), prompt_length), mask], dim=1)
        hidden = self.language_model.get_encoder()(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        return Encoded(hidden, mask, prompt_length, self.encoder.stride)

    def token_logps(self, encoded: Encoded, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Log-probability of each label, `(batch, tokens)` float32, 0 where the label is `IGNORED`.

        Chunked linear cross-entropy: the `(batch, tokens, vocabulary)` logits never exist, which matters at mT5's
        250,000 entries. With label smoothing the values are negative smoothed losses, for training only.
        """
        return self._score(self._decode(encoded, labels).last_hidden_state, labels, label_smoothing)

    def _score(self, hidden: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Decoder states `(batch, tokens, d_model)` -> what `token_logps` returns."""
        if getattr(self.language_model.config, "scale_decoder_outputs", False):
            hidden = hidden * (self.language_model.config.d_model**-0.5)
        weight = self.language_model.get_output_embeddings().weight
        losses = F.linear_cross_entropy(
            hidden.flatten(0, 1).float(),
            weight.float(),
            labels.flatten(),
            reduction="none",
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
            options=_chunking(vocabulary=weight.shape[0], width=weight.shape[1]),
        )
        return -losses.view_as(labels)

    def logps(self, encoded: Encoded, labels: Tensor) -> Tensor:
        """Summed log-probability of each label sequence, `(batch,)` float32."""
        return self.token_logps(encoded, labels).sum(-1)

    def cross_attention(self, encoded: Encoded, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        """Teacher-forced decoder cross-attention and what it led to, in one graph.

        Returns:
            Attention weights a layer, `(batch, heads, tokens, positions)` each, and `token_logps`, `(batch, tokens)`,
            which can be differentiated by them.

        Raises:
            RuntimeError: if the language model returns no attention weights (SDPA does not; this asks for eager).
        """
        with _eager_attention(self.language_model.get_decoder()):
            decoded = self._decode(encoded, labels, output_attentions=True)
        attentions = decoded.cross_attentions
        if not attentions or attentions[0] is None:
            raise RuntimeError("the language model returned no cross-attention weights; salience needs eager attention")
        return list(attentions), self._score(decoded.last_hidden_state, labels)

    @torch.no_grad()
    def translate(self, keypoints: Tensor, frame_mask: Tensor, **generation: Any) -> Tensor:
        """Decode token ids, `(batch * num_return_sequences, tokens)`; keywords go to transformers' `generate`."""
        return self.generate(self.encode(keypoints, frame_mask), **generation)

    @torch.no_grad()
    def generate(self, encoded: Encoded, **generation: Any) -> Tensor:
        """`translate` of clips that are encoded already."""
        return self.language_model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded.hidden),
            attention_mask=encoded.mask.long(),
            **generation,
        )

    def _decode(self, encoded: Encoded, labels: Tensor, **kwargs: Any) -> Any:
        """Teacher-forced decoder pass: inputs are the labels shifted right behind the start token."""
        inputs = labels.new_full(labels.shape, self.decoder_start)
        inputs[:, 1:] = labels[:, :-1]
        inputs = inputs.masked_fill(inputs == IGNORED, self.language_model.config.pad_token_id)
        return self.language_model.get_decoder()(
            input_ids=inputs,
            encoder_hidden_states=encoded.hidden,
            encoder_attention_mask=encoded.mask,
            use_cache=False,
            **kwargs,
        )


AutoConfig.register(SignTranslatorConfig.model_type, SignTranslatorConfig)


def _untie_head(language_model: PreTrainedModel) -> None:
    """Give a T5-family model an output projection of its own.

    Their configurations say that it is tied, whatever was saved; the weights of mT5 and T5 1.1 say that it is not.
    """
    target = "lm_head.weight"
    if language_model.lm_head.weight is language_model.shared.weight:
        language_model.lm_head.weight = nn.Parameter(language_model.shared.weight.detach().clone())
    kept = {name: source for name, source in language_model._tied_weights_keys.items() if name != target}
    language_model._tied_weights_keys = kept
    language_model.all_tied_weights_keys.pop(target, None)


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
