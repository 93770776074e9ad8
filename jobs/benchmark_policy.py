"""The part of `jobs/benchmark.py` that measures a policy: clips a second and memory, by stage, format and batch size.

The policy has the shape that a configuration asks for and random weights; clips and sentences are random and all as
long as the configuration allows, so that a batch size that fits here fits every batch of a run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import torch
from rich.console import Console
from torch import Tensor, nn
from transformers import GenerationConfig, MT5Config, T5Config

from signdpo.config import Config, ConfigError, load_config
from signdpo.levels import SKELETON_LEVELS
from signdpo.models.policy import fresh_t5
from signdpo.models.precision import autocast, set_up_precision
from signdpo.models.translator import HEAD_IS_TIED, SignTranslator, SignTranslatorConfig
from signdpo.negatives.skeleton.salience import measure_salience
from signdpo.skeleton.layout import NUM_JOINTS
from signdpo.training.dpo import PreferenceStep
from signdpo.training.mle import LikelihoodStep

WARM_UP: Final = 2  # batches that are not counted: allocation, autotuning
GIB: Final = 2**30
# What the published configurations say: no weights are needed to know how fast they are.
MT5: Final[Mapping[str, Mapping[str, int]]] = {
    "mt5-small": {"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6},
    "mt5-base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_decoder_layers": 12, "num_heads": 12},
    "mt5-large": {"d_model": 1024, "d_ff": 2816, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 16},
}
MT5_VOCABULARY: Final = 250112


@dataclass(frozen=True)
class Batch:
    """What a stage works on.

    Args:
        config: the run's configuration.
        clips: `(5, batch, frames, 69, 3)`: clean clips, then four others of the same length.
        mask: `(batch, frames)` bool.
        labels: `(2, batch, tokens)`: a sentence, then another.
        autocast: makes the context that forward passes run in.
    """

    config: Config
    clips: Tensor
    mask: Tensor
    labels: Tensor
    autocast: Callable[[], AbstractContextManager[None]]


def add_policy(benchmarks: Any) -> None:
    """Add the subcommand `policy`."""
    description = "steps of a policy of the configured shape: clips a second and memory, by stage and batch size"
    parser = benchmarks.add_parser("policy", help=description, description=description)
    parser.add_argument("--config", default=None, metavar="FILE", help="whose policy (default: the embedded one)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for jobs/align.py")
    parser.add_argument("--stages", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--batches", type=int, default=10, help="to time, after two to warm up (default 10)")
    parser.add_argument("--json", default=None, metavar="FILE", help="write the figures there, too")
    parser.set_defaults(run=run_policy)


def run_policy(arguments: argparse.Namespace) -> dict[str, Any]:
    """Clips a second and, on a GPU, peak GiB, keyed `<stage>, <precision>, <batch size>, <unit>`."""
    config = load_config(arguments.config, ["corpus.root=.", *arguments.set])  # no clip is read
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = random_policy(config).to(device)
    figures: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "frames": config.corpus.max_frames,
        "tokens": config.policy.max_text_tokens,
    }
    console = Console(stderr=True)
    for stage in arguments.stages:
        for precision in arguments.precisions:
            for size in arguments.batch_sizes:
                name = f"{stage}, {precision}, {size}"
                console.print(name)
                try:
                    rate, peak = measure(stage, model, config, device, precision, size, arguments.batches)
                except torch.cuda.OutOfMemoryError:
                    figures[f"{name}, clips/s"] = "out of memory"
                    continue
                figures[f"{name}, clips/s"] = rate
                if device.type == "cuda":
                    figures[f"{name}, peak GiB"] = peak
    return figures


def random_policy(config: Config) -> SignTranslator:
    """A policy of the configured shape with random weights; nothing is downloaded.

    Raises:
        ConfigError: if `policy.language_model.path` is not an mT5 whose shape is known.
    """
    path = config.policy.language_model.path
    if path is None:
        dropout = config.pretrain.dropout
        text: T5Config | MT5Config = fresh_t5(
            config.policy.language_model, vocab_size=config.policy.vocab_size, dropout=dropout
        )
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
        eos_token_id=1,
    )
    return model


def measure(
    stage: str, model: SignTranslator, config: Config, device: torch.device, precision: str, size: int, batches: int
) -> tuple[float, float]:
    """Clips a second and peak GiB of a stage's batches, the optimiser's state included where the stage has one."""
    generator = torch.Generator().manual_seed(config.seed)
    frames, tokens = config.corpus.max_frames, config.policy.max_text_tokens
    clips = torch.rand(len(SKELETON_LEVELS) + 1, size, frames, NUM_JOINTS, 3, generator=generator).to(device)
    mask = torch.ones(size, frames, dtype=torch.bool, device=device)
    labels = torch.randint(2, model.language_model.config.vocab_size, (2, size, tokens), generator=generator).to(device)
    batch = Batch(config, clips, mask, labels, lambda: autocast(device, precision))
    step = STEPS[stage](model, batch)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.set_float32_matmul_precision("highest")
    set_up_precision(device, precision, key="--precisions")
    for _ in range(WARM_UP):
        step()
    began = _now(device)
    for _ in range(batches):
        step()
    seconds = _now(device) - began
    peak = torch.cuda.max_memory_allocated() / GIB if device.type == "cuda" else 0.0
    return batches * size / seconds, peak


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _pretrain(model: SignTranslator, batch: Batch) -> Callable[[], None]:
    step = LikelihoodStep(model.train(), label_smoothing=batch.config.pretrain.label_smoothing)
    return _optimised(model, batch, lambda: step(batch.clips[0], batch.mask, batch.labels[0]))


def _align(model: SignTranslator, batch: Batch) -> Callable[[], None]:
    step = PreferenceStep(model.eval())  # without dropout, as alignment runs

    def loss() -> Tensor:
        scores = step(batch.clips, batch.mask, batch.labels)
        return scores[1:].mean() - scores[0].mean()

    return _optimised(model, batch, loss)


def _optimised(model: nn.Module, batch: Batch, loss: Callable[[], Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.requires_grad_(True).parameters(), lr=1e-6)

    def step() -> None:
        with batch.autocast():
            value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def _salience(model: SignTranslator, batch: Batch) -> Callable[[], None]:
    model.eval().requires_grad_(False)  # as generators hold it

    def step() -> None:
        with batch.autocast():
            measure_salience(model, batch.clips[0], batch.mask, batch.labels[0], batch.config.negatives.salience, 1)

    return step


def _translate(model: SignTranslator, batch: Batch) -> Callable[[], None]:
    model.eval().requires_grad_(False)

    def step() -> None:
        with batch.autocast():
            model.translate(batch.clips[0], batch.mask)

    return step


STEPS: Final[Mapping[str, Callable[[SignTranslator, Batch], Callable[[], None]]]] = {
    "pretrain": _pretrain,
    "align": _align,
    "salience": _salience,
    "translate": _translate,
}
