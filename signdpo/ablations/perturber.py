"""The learned language perturber beside random rules, and both beside the failures of a real policy.

Both see one half of the failures, and their wrong sentences for the references of the other half are compared with the
policy's own. Half of the references, not of the clips: no sentence is in both.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.table import Table

from signdpo.ablations.failures import STATISTICS, distances, failure_statistics
from signdpo.ablations.measured_run import new_table
from signdpo.config import ConfigError, PerturberConfig
from signdpo.evaluation.text_files import read_sentences
from signdpo.foreign.restricted_pickle import load_pickle
from signdpo.models.tokenizer import train_tokenizer
from signdpo.negatives.sentence.perturber import Perturber
from signdpo.negatives.sentence.perturber_batches import epochs_of, new_perturber, perturber_batches
from signdpo.negatives.sentence.rules import RulePerturber
from signdpo.negatives.sentence.selection import TrainingText
from signdpo.seeding import derive_seed
from signdpo.text.units import folded, join_ideographs

Pair = tuple[str, str]  # a reference and a wrong sentence for it
EDITS: Final = ("substituted", "omitted", "inserted")
EXAMPLES: Final = 5  # shown below the table
MORE_TEXTS: Final = 4000  # to warm up on beside the failures', at most
# What the comparison is made with unless other keys are set; a run learns from more failures.
DEFAULTS: Final = tuple(
    f"negatives.perturber.{setting}"
    for setting in ("architecture=edits", "copy_epochs=2", "epochs=10", "batch_size=32")
)


def ablate_perturber(
    failures: Sequence[Pair], more_texts: Sequence[str], config: PerturberConfig, seed: int, console: Console
) -> None:
    """Train on one half of the failures and print how the wrong sentences for the other half compare.

    Args:
        failures: see `read_failures`.
        more_texts: sentences to warm up on beside the failures', of which those of the other half are left out.
        config: of the learned perturber, and `edit_share` of the rules.
        seed: of the halves and of the training.
        console: where to print.
    """
    torch.set_num_threads(1)
    seen, unseen = halves(failures, seed)
    references = [reference for reference, _ in unseen]
    compared = set(map(folded, references))
    texts = sorted({sentence for pair in seen for sentence in pair})
    texts += [text for text in more_texts if folded(text) not in compared][:MORE_TEXTS]
    console.print(f"{len(seen)} failures to learn from, {len(unseen)} to compare with, {len(texts)} sentences of text")
    measured = failure_statistics(*zip(*seen, strict=True))
    rate = min(1.0, sum(float(measured[name].mean()) for name in EDITS))
    learned = wrong_sentences(_learn(config, seen, texts, seed, console), references)
    compared_with = {
        "real": unseen,
        "real, first half": seen,
        "rules": wrong_sentences(RulePerturber.of(texts, edit_share=config.edit_share), references),
        f"rules at {rate:.2f}": wrong_sentences(RulePerturber.of(texts, edit_share=rate), references),
        f"learned, {config.architecture}": learned,
    }
    console.print(_comparison(compared_with, texts))
    for reference, sentence in learned[:EXAMPLES]:
        console.print(f"  reference  {reference}\n  learned    {sentence}", markup=False, highlight=False)


def read_failures(folder: str, corpus: str) -> list[Pair]:
    """References of a corpus, and predictions for them that read otherwise.

    Args:
        folder: of `<corpus>.dev.refs.txt` and `<corpus>.dev.pres.txt`, as the Uni-Sign release has them.
        corpus: the beginning of the files' names.

    Raises:
        ConfigError: if the files are not there, or do not fit together.
    """
    references, predictions = (read_sentences(Path(folder) / f"{corpus}.dev.{kind}.txt") for kind in ("refs", "pres"))
    if references.keys() != predictions.keys():
        raise ConfigError(f"{folder}: the references and the predictions of {corpus} are not of the same clips")
    pairs = [(join_ideographs(references[name]), join_ideographs(predictions[name])) for name in references]
    return [(right, wrong) for right, wrong in pairs if folded(right) and folded(wrong) not in ("", folded(right))]


def read_texts(path: str, seed: int) -> list[str]:
    """The sentences of a label file of the Uni-Sign release, in an order drawn from the seed."""
    texts = sorted({str(entry["text"]) for entry in load_pickle(path).values()})
    random.Random(seed).shuffle(texts)
    return texts


def halves(pairs: Sequence[Pair], seed: int) -> tuple[list[Pair], list[Pair]]:
    references = sorted({reference for reference, _ in pairs})
    random.Random(seed).shuffle(references)
    first = set(references[: len(references) // 2])
    return [pair for pair in pairs if pair[0] in first], [pair for pair in pairs if pair[0] not in first]


def _learn(
    config: PerturberConfig, failures: Sequence[Pair], texts: Sequence[str], seed: int, console: Console
) -> Perturber:
    """What the pipeline's training does, on one process: the same model, batches and optimiser."""
    tokenizer = train_tokenizer(texts, vocab_size=2000)
    perturber = new_perturber(config, tokenizer, texts, max_tokens=64, seed=seed)
    epochs = [perturber_batches(epoch, failures, texts, config, seed=seed) for epoch in range(epochs_of(config))]
    optimizer = torch.optim.AdamW(perturber.model.parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sum(map(len, epochs)))
    perturber.model.train()
    for epoch, batches in enumerate(epochs, start=1):
        for sources, targets in batches:
            loss = perturber.loss(sources, targets).mean
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(perturber.model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        console.print(f"  epoch {epoch} of {len(epochs)}: loss {float(loss.detach()):.3f}", highlight=False)
    perturber.model.eval()
    return perturber


def wrong_sentences(perturber: Perturber, references: Sequence[str]) -> list[Pair]:
    """For each reference the first of eight candidates that reads otherwise; the generators' selection is left out."""
    written: list[Pair] = []
    for begin in range(0, len(references), 64):
        batch = references[begin : begin + 64]
        seeds = [derive_seed("ablate", begin + row) for row in range(len(batch))]
        for reference, options in zip(batch, perturber.propose(batch, seeds, candidates=8), strict=True):
            wrong = (option for option in options if folded(option) not in ("", folded(reference)))
            written.append((reference, next(wrong, "")))
    return written


def _comparison(compared: Mapping[str, Sequence[Pair]], texts: Sequence[str]) -> Table:
    """Means and standard deviations, and Wasserstein-1 distances to the real failures in their standard deviations."""
    text = TrainingText.of(texts, function_share=1.0)
    table = new_table("mean ± standard deviation (distance to the real failures)", "", *compared)
    statistics = {title: failure_statistics(*zip(*pairs, strict=True)) for title, pairs in compared.items()}
    columns = []
    for title, pairs in compared.items():
        values, away = statistics[title], distances(statistics["real"], statistics[title])
        copies = sum(folded(reference) == folded(sentence) for reference, sentence in pairs)
        strange = sum(bool(text.unknown(sentence) - text.unknown(reference)) for reference, sentence in pairs)
        of_statistics = (
            f"{values[name].mean():.2f} ± {values[name].std():.2f} ({away[name]:.2f})" for name in STATISTICS
        )
        columns.append([*of_statistics, f"{away['mean']:.3f}", str(copies), f"{strange / len(pairs):.1%}"])
    titles = (*(name.replace("_", " ") for name in STATISTICS), "mean distance", "copies", "with unknown words")
    for row in zip(titles, *columns, strict=True):
        table.add_row(*row)
    return table
