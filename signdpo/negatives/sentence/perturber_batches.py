"""What the language perturber learns from, batch by batch: first to copy, then to fail as the policy fails."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from signdpo.config import PerturberConfig
from signdpo.negatives.sentence.continuations import ContinuationPerturber
from signdpo.negatives.sentence.edits import EditPerturber
from signdpo.negatives.sentence.perturber import LanguagePerturber, pretrained_perturber
from signdpo.negatives.sentence.rules import RulePerturber
from signdpo.seeding import derive_seed

PerturberBatch = tuple[list[str], list[str]]  # sources and targets of a step


def new_perturber(
    config: PerturberConfig, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_tokens: int, seed: int
) -> LanguagePerturber | ContinuationPerturber | EditPerturber:
    """The perturber the configuration names, not yet trained.

    Args:
        config: its settings.
        tokenizer: the policy's, for a text-to-text model from scratch.
        texts: the training sentences, whose words an edit model can write.
        max_tokens: longer sentences are cut.
        seed: of random weights.
    """
    if config.path is not None:
        return pretrained_perturber(config.path, max_tokens=max_tokens)
    if config.architecture == "edits":
        return EditPerturber.fresh(texts, d_model=config.d_model, seed=seed)
    torch.manual_seed(seed)
    return LanguagePerturber.fresh(tokenizer, config, max_tokens=max_tokens)


def epochs_of(config: PerturberConfig) -> int:
    """With the warm-up, which a pretrained model has had."""
    return config.epochs if config.path is not None else config.copy_epochs + config.epochs


def count_steps(config: PerturberConfig, *, failures: int, texts: int) -> int:
    """Of all epochs, over all workers."""
    warm_up = texts if config.architecture == "edits" else failures
    steps = [max(1, pairs // config.batch_size) for pairs in (warm_up, failures)]
    return (epochs_of(config) - config.epochs) * steps[0] + config.epochs * steps[1]


def perturber_batches(
    epoch: int, failures: Sequence[tuple[str, str]], texts: Sequence[str], config: PerturberConfig, *, seed: int
) -> list[PerturberBatch]:
    """The steps of an epoch, over all workers.

    A model from random weights first learns what a plausible wrong sentence mostly is, for `copy_epochs`: a
    text-to-text model reproduces the references of the failures, an edit model mends `texts` that rules have damaged,
    as BART (Lewis et al. 2020) was pretrained, and so learns which words go together. Then come the failures.

    Args:
        epoch: from 0.
        failures: pairs of a reference and the policy's wrong sentence.
        texts: sentences of the same kind.
        config: batch size and epochs.
        seed: of order and damage.
    """
    pairs = list(failures)
    if epoch < epochs_of(config) - config.epochs:
        if config.architecture == "edits":
            rules = RulePerturber.of(texts, edit_share=config.edit_share)
            seeds = [derive_seed(seed, epoch, "damage", row) for row in range(len(texts))]
            damaged = rules.propose(texts, seeds, candidates=1)
            pairs = [(options[0], text) for options, text in zip(damaged, texts, strict=True)]
        else:
            pairs = [(reference, reference) for reference, _ in pairs]
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    size = min(config.batch_size, len(pairs))
    batches = [[pairs[row] for row in order[at : at + size]] for at in range(0, len(pairs) - size + 1, size)]
    return [([source for source, _ in batch], [target for _, target in batch]) for batch in batches]
