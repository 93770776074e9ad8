"""What an encoder of skeletons is, and which kinds there are. A new one is a file and an entry of `ENCODERS`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from torch import Tensor, nn

from signdpo.config import EncoderConfig, look_up, parse_section

ENCODERS: Final[dict[str, str]] = {"st_gcn": "signdpo.models.encoders.st_gcn:StGcnEncoder"}


class SkeletonEncoder(nn.Module, ABC):
    """Clips of keypoints -> a sequence of vectors of the language model's width.

    Everything else relies on five promises, which `tests/docs/test_extending.py` checks:

    1. Padding changes nothing: in evaluation mode a clip is encoded alike in any batch, whatever lies in padded frames.
    2. Position `p` begins at frame `p * stride`, and is real where that frame is.
    3. The output can be differentiated by the keypoints: salience by gradient does so.
    4. Nothing is drawn from global randomness in evaluation mode, so that a clip's log-probability is one number.
    5. All state is in parameters and persistent buffers: a policy is loaded from its weights and its settings alone.

    Args:
        config: of the class `settings`.
        output_dim: the language model's `d_model`.
    """

    settings: ClassVar[type[EncoderConfig]]  # the keys of `policy.encoder` for this kind
    stride: int  # frames per position

    @abstractmethod
    def __init__(self, config: Any, *, output_dim: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, keypoints: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a padded batch.

        Args:
            keypoints: `(batch, frames, 69, 3)` float, normalised; what lies in padded frames does not matter.
            frame_mask: `(batch, frames)` bool, True for real frames.

        Returns:
            `(batch, ceil(frames / stride), output_dim)` and its bool mask `(batch, ceil(frames / stride))`.
        """


def encoder_settings(given: Mapping[str, Any]) -> EncoderConfig:
    """The keys of `policy.encoder`, checked by their kind, with its defaults.

    Raises:
        ConfigError: naming the key, if there is no such kind, or it has no such key or value.
    """
    return parse_section(_class_of(given).settings, given, prefix="policy.encoder.")


def build_encoder(given: Mapping[str, Any], *, output_dim: int) -> SkeletonEncoder:
    """A new encoder from the keys of `policy.encoder`. Raises what `encoder_settings` does."""
    return _class_of(given)(encoder_settings(given), output_dim=output_dim)


def _class_of(given: Mapping[str, Any]) -> type[SkeletonEncoder]:
    kind: type[SkeletonEncoder] = look_up(given.get("kind", "st_gcn"), ENCODERS, "policy.encoder.kind", SkeletonEncoder)
    return kind
