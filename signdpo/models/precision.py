"""Which number format a forward pass computes in; `Config.dpo_precision` and `.pretrain_precision` say which."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from signdpo.config import ConfigError


def set_up_precision(device: torch.device, precision: str, *, key: str) -> None:
    """Make this process ready to compute in `precision` on `device`; once, before the first forward pass.

    With `bfloat16` on a GPU, float32 matrices are multiplied in TF32: what `autocast` keeps in float32 there, such as
    the projection onto a large vocabulary, then runs on tensor cores, and TF32 has three more bits than bfloat16.
    With `float32`, and on a CPU, nothing changes.

    Args:
        device: where the model is.
        precision: `float32` or `bfloat16`.
        key: the configuration key that decides it, for the error message.

    Raises:
        ConfigError: if the GPU would only emulate bfloat16.
    """
    if device.type != "cuda" or precision != "bfloat16":
        return
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(
            f"{key} is bfloat16 (so is auto with resources.use_gpu), which {torch.cuda.get_device_name(device)} does "
            f"not compute in hardware: set {key}=float32"
        )
    torch.set_float32_matmul_precision("high")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Compute in bfloat16 for `bfloat16`, in float32 for `float32`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
