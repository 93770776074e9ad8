"""Which number format a forward pass computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def uses_bfloat16(device: torch.device, precision: str) -> bool:
    """Whether `autocast` computes in bfloat16."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16" or (precision == "auto" and fast)


def allow_tensor_float32(device: torch.device, precision: str) -> None:
    """Let this process multiply float32 matrices in TF32 where `autocast` computes in bfloat16 anyway.

    What is kept in float32 there, such as the projection onto a large vocabulary, then runs on tensor cores; TF32 has
    three more bits than bfloat16. With `float32`, and on a CPU, nothing changes.
    """
    if device.type == "cuda" and uses_bfloat16(device, precision):
        torch.set_float32_matmul_precision("high")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Compute in bfloat16 for `bfloat16`, in float32 for `float32`.

    `auto` is bfloat16 on a GPU that multiplies it in hardware. On a CPU it is float32: casting the small matrices of a
    model that one trains there costs more than the multiplication saves.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(device, precision))
