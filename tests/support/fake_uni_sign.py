"""A made-up checkpoint in the format of the Uni-Sign release: true shapes of the pose encoder, a tiny mT5."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import MT5Config, MT5ForConditionalGeneration

from signdpo.models.tokenizer import train_tokenizer

JOINTS = {"body": 9, "left": 21, "right": 21, "face_all": 18}
TEXTS = ["Translate sign language video to Chinese, English, German: ", "the man buys a red book"] * 4


def save_language_model(folder: Path, **settings: object) -> MT5Config:
    """Write config and tokenizer of a tiny mT5, no weights."""
    tokenizer = train_tokenizer(TEXTS, vocab_size=64)
    small = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": len(tokenizer)}
    config = MT5Config(**(small | settings))
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return config


def make_state(config: MT5Config, *, tied_head: bool = False) -> dict[str, Tensor]:
    """A state dict under the release's names, half precision. Without `tied_head`, lm_head is mT5's own."""
    torch.manual_seed(3)
    state = {"part_para": torch.randn(1024), **_linear("pose_proj", config.d_model, 1024)}
    for part, joints in JOINTS.items():
        state |= _linear(f"proj_linear.{part}", 64, 3)
        for layer, (before, after) in enumerate([(64, 64), (64, 128), (128, 256)]):
            name = f"gcn_modules.{part}.layer{layer}_0"
            state |= _graph(name, joints, before, after)
            if before != after:
                state |= _linear(f"{name}.residual.0", after, before, 1, 1) | _norm(f"{name}.residual.1", after)
        for layer in range(3):
            name = f"fusion_gcn_modules.{part}.layer0_{layer}"
            state |= _graph(name, joints, 256, 256)
            state |= _linear(f"{name}.tcn.0", 256, 256, 5, 1) | _norm(f"{name}.tcn.1", 256)
    for name in [name for name in state if ".left." in name]:  # both hands are one module there
        state[name] = state[name.replace(".left.", ".right.")]
    language_model = MT5ForConditionalGeneration(config).state_dict()
    if not tied_head:
        language_model["lm_head.weight"] = torch.randn_like(language_model["shared.weight"])
    state |= {f"mt5_model.{name}": tensor for name, tensor in language_model.items()}
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _linear(name: str, *shape: int) -> dict[str, Tensor]:
    fan_in = torch.Size(shape[1:]).numel()
    return {f"{name}.weight": torch.randn(shape) * fan_in**-0.5, f"{name}.bias": torch.randn(shape[0]) * 0.1}


def _norm(name: str, width: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": torch.rand(width) + 0.5,
        f"{name}.bias": torch.randn(width) * 0.1,
        f"{name}.running_mean": torch.randn(width) * 0.1,
        f"{name}.running_var": torch.rand(width) + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def _graph(name: str, joints: int, before: int, after: int) -> dict[str, Tensor]:
    adjacency = {f"{name}.gcn.A": torch.rand(2, joints, joints) / joints}
    return adjacency | _linear(f"{name}.gcn.conv", 2 * after, before, 1, 1) | _norm(f"{name}.gcn.bn", after)
