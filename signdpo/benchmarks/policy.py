"""Steps of a policy: clips a second and memory, by stage, number format and batch size.

The policy has the shape that a configuration asks for and random weights; clips and sentences are random and all as
long as the configuration allows, so that a batch size that fits here fits every batch of a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, MT5Config, T5Config

from signdpo.benchmarks.measurement import Figures
from signdpo.config import Config, ConfigError
from signdpo.levels import SKELETON_LEVELS
from signdpo.models.language_model import HEAD_IS_TIED, fresh_t5
from signdpo.models.precision import autocast, set_up_precision
from signdpo.models.translator import SignTranslator, SignTranslatorConfig
from signdpo.negatives.skeleton.salience import measure_salience
from signdpo.skeleton.layout import NUM_JOINTS
from signdpo.training.dpo import PreferenceStep
from signdpo.training.mle import LikelihoodStep

WARM_UP: Final = 2  # batches that are not counted: allocation, autotuning
GIB: Final = 2**30
PRECISIONS: Final = ("float32", "bfloat16")
# What the published configurations say: no weights are needed to know how fast they are.
MT5: Final[Mapping[str, Mapping[str, int]]] = {
    "mt5-small": {"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6},
    "mt5-base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_decoder_layers": 12, "num_heads": 12},
    "mt5-large": {"d_model": 1024, "d_ff": 2816, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 16},
}
MT5_VOCABULARY: Final = 250112
EOS_ID: Final = 1


@dataclass(frozen=True)
class Batch:
    """What a stage works on.

    Args:
        config: the configuration of the run.
        clips: `(5, batch, frames, 69, 3)`: clean clips, then four others of the same length.
        mask: `(batch, frames)` bool.
        labels: `(2, batch, tokens)`: a sentence, then another.
    """

    config: Config
    clips: Tensor
    mask: Tensor
    labels: Tensor


def measure_policy(
    config: Config,
    *,
    stages: Iterable[str],
    precisions: Iterable[str],
    sizes: Iterable[int],
    batches: int,
    announce: Callable[[str], None],
) -> Figures:
    """Clips a second and, on a GPU, peak GiB, keyed `<stage>, <precision>, <batch size>, <unit>`.

    Args:
        config: its policy, and how long clips and sentences are.
        stages: keys of `STEPS`.
        precisions: of `PRECISIONS`.
        sizes: batch sizes.
        batches: number of batches to time, after two to warm up.
        announce: called with what is measured next.

    Raises:
        ConfigError: if the shape of the policy is not known.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = _random_policy(config).to(device)
    figures: Figures = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "frames": config.corpus.max_frames,
        "tokens": config.policy.max_text_tokens,
    }
    for stage, precision, size in ((a, b, c) for a in stages for b in precisions for c in sizes):
        name = f"{stage}, {precision}, {size}"
        announce(name)
        try:
            rate, peak = _measure(stage, model, config, device, precision, size, batches)
        except torch.cuda.OutOfMemoryError:
            figures[f"{name}, clips/s"] = "out of memory"
            continue
        figures[f"{name}, clips/s"] = rate
        if device.type == "cuda":
            figures[f"{name}, peak GiB"] = peak
    return figures


def _random_policy(config: Config) -> SignTranslator:
    """A policy of the configured shape with random weights; nothing is downloaded."""
    path = config.policy.language_model.path
    text: T5Config | MT5Config
    if path is None:
        dropout = config.pretrain.dropout
        text = fresh_t5(config.policy.language_model, vocab_size=config.policy.vocab_size, dropout=dropout)
    elif (shape := MT5.get(path.rstrip("/").split("/")[-1])) is not None:
        text = MT5Config(**shape, vocab_size=MT5_VOCABULARY, decoder_start_token_id=0)
    else:
        raise ConfigError(f"policy.language_model.path={path}: its shape is not known; those of {', '.join(MT5)} are")
    torch.manual_seed(config.seed)
    model = SignTranslator(
        SignTranslatorConfig(
            encoder=config.policy.encoder.model_dump(mode="json"),
            language_model={**text.to_dict(), HEAD_IS_TIED: path is None},
            prompt_ids=[5] * len(config.policy.prompt.split()),
        )
    )
    model.language_model.generation_config = GenerationConfig(
        num_beams=config.evaluation.num_beams,
        max_new_tokens=config.evaluation.max_new_tokens,
        min_new_tokens=config.evaluation.max_new_tokens,  # random weights would end a sentence anywhere
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=EOS_ID,
    )
    return model


def _measure(
    stage: str, model: SignTranslator, config: Config, device: torch.device, precision: str, size: int, batches: int
) -> tuple[float, float]:
    """Clips a second and peak GiB of a stage's batches, the optimiser's state included where the stage has one."""
    generator = torch.Generator().manual_seed(config.seed)
    frames, tokens = config.corpus.max_frames, config.policy.max_text_tokens
    clips = torch.rand(len(SKELETON_LEVELS) + 1, size, frames, NUM_JOINTS, 3, generator=generator).to(device)
    mask = torch.ones(size, frames, dtype=torch.bool, device=device)
    labels = torch.randint(2, model.language_model.config.vocab_size, (2, size, tokens), generator=generator).to(device)
    forward, trained = STEPS[stage]
    model.train(stage == "pretrain").requires_grad_(trained)  # alignment runs without dropout
    batch = Batch(config, clips, mask, labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6) if trained else None
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.set_float32_matmul_precision("highest")
    set_up_precision(device, precision, key="--precisions")
    began = 0.0
    for count in range(WARM_UP + batches):
        if count == WARM_UP:
            began = _now(device)
        with autocast(device, precision):
            result = forward(model, batch)
        if optimizer is not None:
            optimizer.zero_grad(set_to_none=True)
            result.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    seconds = _now(device) - began
    peak = torch.cuda.max_memory_allocated() / GIB if device.type == "cuda" else 0.0
    return batches * size / seconds, peak


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _pretrain(model: SignTranslator, batch: Batch) -> Tensor:
    step = LikelihoodStep(model, label_smoothing=batch.config.pretrain.label_smoothing)
    return -step(batch.clips[0], batch.mask, batch.labels[0]).mean()


def _align(model: SignTranslator, batch: Batch) -> Tensor:
    scores, _ = PreferenceStep(model)(batch.clips, batch.mask, batch.labels)
    return scores[1:].mean() - scores[0].mean()


def _salience(model: SignTranslator, batch: Batch) -> Tensor:
    rule = batch.config.negatives.salience
    return measure_salience(model, batch.clips[0], batch.mask, batch.labels[0], rule, EOS_ID).frames


def _translate(model: SignTranslator, batch: Batch) -> Tensor:
    return model.translate(batch.clips[0], batch.mask)


# stage -> its forward pass, and whether weights are trained by it
STEPS: Final[Mapping[str, tuple[Callable[[SignTranslator, Batch], Tensor], bool]]] = {
    "pretrain": (_pretrain, True),
    "align": (_align, True),
    "salience": (_salience, False),
    "translate": (_translate, False),
}
