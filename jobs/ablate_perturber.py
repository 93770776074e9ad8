"""The part of `jobs/ablate.py` that compares the learned language perturber with random rules.

Both see one half of a real policy's failures (files CORPUS.dev.refs.txt and CORPUS.dev.pres.txt in the format of the
Uni-Sign release), and their wrong sentences for the references of the other half are compared with the policy's own.
Half of the references, not of the clips: no sentence is in both.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from signdpo.ablations.failures import STATISTICS, distances, failure_statistics
from signdpo.config import PerturberConfig
from signdpo.corpora.unpickling import load_pickle
from signdpo.evaluation.text_files import read_sentences
from signdpo.models.tokenizer import train_tokenizer
from signdpo.negatives.sentence.perturber import Perturber
from signdpo.negatives.sentence.perturber_batches import epochs_of, new_perturber, perturber_batches
from signdpo.negatives.sentence.rules import RulePerturber
from signdpo.negatives.sentence.selection import TrainingText
from signdpo.seeding import derive_seed
from signdpo.text.units import folded, join_ideographs

Pair = tuple[str, str]  # a reference and a wrong sentence for it
EDITS = ("substituted", "omitted", "inserted")


def add_perturber(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("perturber", help="learned wrong sentences beside random edits and real failures")
    command.add_argument("--predictions", type=Path, required=True, help="folder of references and predictions")
    command.add_argument("--corpus", required=True, help="the files' name before .dev.refs.txt")
    command.add_argument("--texts", type=Path, help="a label file of the Uni-Sign release: more text to warm up on")
    command.add_argument("--limit", type=int, default=4000, help="of those, at most")
    command.add_argument("--architecture", choices=("edits", "seq2seq"), default="edits")
    command.add_argument("--copy-epochs", type=int, default=2)
    command.add_argument("--epochs", type=int, default=10)
    command.add_argument("--batch-size", type=int, default=32)
    command.add_argument("--d-model", type=int, default=128)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--examples", type=int, default=5)
    command.set_defaults(run=ablate_perturber)


def ablate_perturber(options: argparse.Namespace) -> int:
    """Train on one half of the failures, print how the wrong sentences for the other half compare."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    torch.set_num_threads(1)
    pairs = read_failures(options.predictions, options.corpus)
    seen, unseen = halves(pairs, options.seed)
    texts = sorted({sentence for pair in seen for sentence in pair})
    if options.texts is not None:
        texts += warm_up_texts(options.texts, {folded(reference) for reference, _ in unseen}, options)
    console.print(f"{len(seen)} failures to learn from, {len(unseen)} to compare with, {len(texts)} sentences of text")
    config = PerturberConfig(
        architecture=options.architecture,
        copy_epochs=options.copy_epochs,
        epochs=options.epochs,
        batch_size=options.batch_size,
        d_model=options.d_model,
    )
    measured = failure_statistics(*zip(*seen, strict=True))
    rate = min(1.0, sum(float(measured[name].mean()) for name in EDITS))
    references = [reference for reference, _ in unseen]
    learned = learn(config, seen, texts, options.seed, console)
    rows = {
        "real, first half": seen,
        "rules": wrong_sentences(RulePerturber.of(texts, edit_share=config.edit_share), references),
        f"rules at {rate:.2f}": wrong_sentences(RulePerturber.of(texts, edit_share=rate), references),
        f"learned, {options.architecture}": wrong_sentences(learned, references),
    }
    print_comparison(console, unseen, rows, texts)
    for reference, sentence in list(rows.popitem()[1])[: options.examples]:
        console.print(f"  reference  {reference}\n  learned    {sentence}", markup=False, highlight=False)
    return 0


def read_failures(folder: Path, corpus: str) -> list[Pair]:
    """References and predictions that read otherwise. Raises `ValueError` where the files do not fit together."""
    references = read_sentences(folder / f"{corpus}.dev.refs.txt")
    predictions = read_sentences(folder / f"{corpus}.dev.pres.txt")
    if references.keys() != predictions.keys():
        raise ValueError(f"{folder}: the references and the predictions of {corpus} are not of the same clips")
    pairs = [(join_ideographs(references[name]), join_ideographs(predictions[name])) for name in references]
    return [(right, wrong) for right, wrong in pairs if folded(right) and folded(wrong) not in ("", folded(right))]


def halves(pairs: list[Pair], seed: int) -> tuple[list[Pair], list[Pair]]:
    references = sorted({reference for reference, _ in pairs})
    random.Random(seed).shuffle(references)
    first = set(references[: len(references) // 2])
    return [pair for pair in pairs if pair[0] in first], [pair for pair in pairs if pair[0] not in first]


def warm_up_texts(path: Path, compared: set[str], options: argparse.Namespace) -> list[str]:
    texts = sorted({str(entry["text"]) for entry in load_pickle(path).values()})
    random.Random(options.seed).shuffle(texts)
    return [text for text in texts if folded(text) not in compared][: options.limit]


def learn(config: PerturberConfig, failures: list[Pair], texts: list[str], seed: int, console: Console) -> Perturber:
    """What the pipeline's training does, on one process: the same model, lessons and optimiser."""
    tokenizer = train_tokenizer(texts, vocab_size=2000)
    perturber = new_perturber(config, tokenizer, texts, max_tokens=64, seed=seed)
    epochs = [perturber_batches(epoch, failures, texts, config, seed=seed) for epoch in range(epochs_of(config))]
    optimizer = torch.optim.AdamW(perturber.model.parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sum(map(len, epochs)))
    perturber.model.train()
    for epoch, lessons in enumerate(epochs):
        losses = []
        for sources, targets in lessons:
            loss = perturber.loss(sources, targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(perturber.model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            losses.append(float(loss.detach()))
        console.print(f"  epoch {epoch + 1} of {len(epochs)}: loss {np.mean(losses):.3f}", highlight=False)
    perturber.model.eval()
    return perturber


def wrong_sentences(perturber: Perturber, references: list[str]) -> list[Pair]:
    """For each reference the first of eight candidates that reads otherwise; the generators' selection is left out."""
    written: list[Pair] = []
    for begin in range(0, len(references), 64):
        batch = references[begin : begin + 64]
        seeds = [derive_seed("ablate", begin + row) for row in range(len(batch))]
        for reference, options in zip(batch, perturber.propose(batch, seeds, candidates=8), strict=True):
            wrong = (option for option in options if folded(option) not in ("", folded(reference)))
            written.append((reference, next(wrong, "")))
    return written


def print_comparison(console: Console, real: list[Pair], rows: dict[str, list[Pair]], texts: list[str]) -> None:
    """Means and standard deviations, and Wasserstein-1 distances to the real failures in their standard deviations."""
    text = TrainingText.of(texts, [None] * len(texts), function_share=1.0)
    table = Table(title="mean ± standard deviation (distance to the real failures)", title_justify="left")
    table.add_column("")
    columns = []
    target = failure_statistics(*zip(*real, strict=True))
    for title, pairs in {"real": real, **rows}.items():
        table.add_column(title, justify="right")
        values = failure_statistics(*zip(*pairs, strict=True))
        away = distances(target, values)
        copies = sum(folded(reference) == folded(sentence) for reference, sentence in pairs)
        strange = sum(bool(text.unknown(sentence) - text.unknown(reference)) for reference, sentence in pairs)
        columns.append(
            [
                *(f"{values[name].mean():.2f} ± {values[name].std():.2f} ({away[name]:.2f})" for name in STATISTICS),
                f"{away['mean']:.3f}",
                str(copies),
                f"{strange / len(pairs):.1%}",
            ]
        )
    titles = (*(name.replace("_", " ") for name in STATISTICS), "mean distance", "copies", "with unknown words")
    for title, *cells in zip(titles, *columns, strict=True):
        table.add_row(title, *cells)
    console.print(table)
