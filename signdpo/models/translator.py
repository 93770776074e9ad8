"""The policy: a skeleton encoder in front of a T5-family encoder-decoder, as one Hugging Face model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from signdpo.config import StGcnConfig
from signdpo.models.encoders.base import build_encoder
from signdpo.models.language_model import (
    HEAD_IS_TIED,
    build_language_model,
    decode,
    head_is_tied,
    token_logps,
    untie_head,
)


class SignTranslatorConfig(PretrainedConfig):
    """What a policy folder's `config.json` holds.

    Args:
        encoder: the keys of `policy.encoder` as a plain dict.
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
        self.encoder = encoder or StGcnConfig().model_dump(mode="json")
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
        stride: frames per position.
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
        if language_model is not None:
            config.language_model = {**config.language_model, HEAD_IS_TIED: head_is_tied(language_model)}
        self.language_model = language_model or build_language_model(config.language_model)
        if not config.language_model.get(HEAD_IS_TIED, True):
            untie_head(self.language_model)
        self.encoder = build_encoder(config.encoder, output_dim=self.language_model.config.d_model)
        self.post_init()

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

        With label smoothing the values are negative smoothed losses, for training only.
        """
        states, _ = decode(self.language_model, encoded.hidden, encoded.mask, labels)
        return token_logps(self.language_model, states, labels, label_smoothing=label_smoothing)

    def logps(self, encoded: Encoded, labels: Tensor) -> Tensor:
        """Summed log-probability of each label sequence, `(batch,)` float32."""
        return self.token_logps(encoded, labels).sum(-1)

    def cross_attention(self, encoded: Encoded, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        """Teacher-forced decoder cross-attention and what it led to, in one graph.

        Returns:
            Attention weights per layer, `(batch, heads, tokens, positions)` each, and `token_logps`, `(batch, tokens)`,
            which can be differentiated by them.
        """
        states, attentions = decode(self.language_model, encoded.hidden, encoded.mask, labels, attentions=True)
        return attentions, token_logps(self.language_model, states, labels)

    @torch.no_grad()
    def frame_attention(self, encoded: Encoded, labels: Tensor, frame_mask: Tensor) -> Tensor:
        """Which frames the decoder looks at for each label: the mean over its layers and heads.

        Args:
            encoded: the clips.
            labels: `(batch, tokens)`, `IGNORED` where padded.
            frame_mask: `(batch, frames)` bool, True for real frames.

        Returns:
            `(batch, tokens, frames)`, each row a distribution over the real frames.
        """
        layers, _ = self.cross_attention(encoded, labels)
        mean = torch.stack(layers).mean((0, 2))  # (batch, tokens, positions)
        batch, tokens, _ = mean.shape
        rows = torch.arange(batch, device=mean.device).repeat_interleave(tokens)
        frames = encoded.select(rows).to_frames(mean.flatten(0, 1), frame_mask.shape[1]).view(batch, tokens, -1)
        frames = frames * frame_mask[:, None]
        return frames / frames.sum(-1, keepdim=True).clamp_min(1e-9)

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


AutoConfig.register(SignTranslatorConfig.model_type, SignTranslatorConfig)
