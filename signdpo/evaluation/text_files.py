"""Translations in text files, scored as the field does.

A file has one sentence per line, or the lines of the Uni-Sign release ("sample: ID, prediction: TEXT" and
"sample: ID, ground-truth: TEXT"), which are matched by ID.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from signdpo.config import ConfigError
from signdpo.evaluation.bleurt import bleurt
from signdpo.evaluation.metrics import Scores, score
from signdpo.evaluation.significance import PairedBootstrap, paired_bootstrap

RELEASE_LINE: Final = re.compile(r"sample: (?P<id>.+?), (?:prediction|ground-truth): ?(?P<text>.*)")
ROWS: Final = (
    ("BLEU-1", "bleu1", "{:.2f}"),
    ("BLEU-2", "bleu2", "{:.2f}"),
    ("BLEU-3", "bleu3", "{:.2f}"),
    ("BLEU-4", "bleu4", "{:.2f}"),
    ("chrF", "chrf", "{:.2f}"),
    ("ROUGE-L", "rouge_l", "{:.2f}"),
    ("WER", "wer", "{:.2f}"),
    ("BLEURT", "bleurt", "{:.2f}"),
    ("brevity penalty", "brevity_penalty", "{:.3f}"),
    ("length ratio", "length_ratio", "{:.3f}"),
    ("loops", "loop_rate", "{:.1%}"),
    ("exact matches", "exact", "{:.1%}"),
)


@dataclass(frozen=True)
class FileScores:
    """What the files of one or two systems score.

    Args:
        systems: `system`, and `baseline` where one was given.
        bleurt: BLEURT of each, where it was asked for.
        comparison: of the system with the baseline, by score.
    """

    systems: Mapping[str, Scores]
    bleurt: Mapping[str, float]
    comparison: Mapping[str, PairedBootstrap]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Scores by system, and the `comparison`, ready for JSON."""
        each: dict[str, dict[str, Any]] = {name: scores.to_dict() for name, scores in self.systems.items()}
        for name, value in self.bleurt.items():
            each[name]["bleurt"] = value
        compared = {name: test.to_dict() for name, test in self.comparison.items()}
        return each | ({"comparison": compared} if compared else {})


def score_files(
    hypotheses: str,
    references: str,
    *,
    language: str,
    tokenize: str | None = None,
    protocol: str | None = None,
    baseline: str | None = None,
    samples: int = 1000,
    seed: int = 12345,
    checkpoint: str | None = None,
) -> FileScores:
    """Score the translations of a system and, where one is given, of a baseline, and compare the two.

    Args:
        hypotheses, references, baseline: paths of text files.
        language, tokenize, protocol: as in `signdpo.evaluation.metrics.score`.
        samples, seed: as in `signdpo.evaluation.significance.paired_bootstrap`.
        checkpoint: folder of BLEURT's, which is left out without one.

    Raises:
        ConfigError: a file is not there, files do not fit together, or their text cannot be scored so.
    """
    wanted = read_sentences(references)
    targets = list(wanted.values())
    paths = {"baseline": baseline, "system": hypotheses}
    sentences = {
        name: _in_order_of(wanted, read_sentences(path), path) for name, path in paths.items() if path is not None
    }
    how: dict[str, Any] = {"language": language, "tokenize": tokenize, "protocol": protocol}
    try:
        systems = {name: score(texts, targets, **how) for name, texts in sentences.items()}
        comparison: dict[str, PairedBootstrap] = {}
        if baseline is not None:
            both = sentences["baseline"], sentences["system"]
            comparison = paired_bootstrap(*both, targets, **how, samples=samples, seed=seed)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    measured = {name: bleurt(texts, targets, checkpoint) for name, texts in sentences.items()} if checkpoint else {}
    return FileScores(systems, measured, comparison)


def read_sentences(path: str | Path) -> dict[str, str]:
    """Sentences of a file by ID, or by line number where the lines carry no ID.

    Raises:
        ConfigError: no such file, none of UTF-8 or of sentences, lines of both kinds, or an ID that comes twice.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{path}: there is no such file")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # Windows' editors begin a file with a mark of the encoding
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    if not text.strip():
        raise ConfigError(f"{path}: holds no sentence")
    # Not `splitlines`, which would also break at the rarer separators that a sentence may hold.
    lines = text.removesuffix("\n").split("\n")
    release = bool(RELEASE_LINE.fullmatch(lines[0].rstrip("\r")))
    sentences: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = RELEASE_LINE.fullmatch(line.rstrip("\r"))
        if bool(match) != release:
            raise ConfigError(f"{path}:{number}: expected {'a' if release else 'no'} sample ID, as in line 1")
        name, text = (match["id"], match["text"]) if match else (str(number), line)
        if name in sentences:
            raise ConfigError(f"{path}:{number}: sample {name} comes twice")
        sentences[name] = text.strip()
    return sentences


def _in_order_of(references: dict[str, str], sentences: dict[str, str], path: str) -> list[str]:
    """The sentences in the order of the references. Raises `ConfigError` if any is missing or has no reference."""
    missing, surplus = references.keys() - sentences.keys(), sentences.keys() - references.keys()
    if missing or surplus:
        example = min(missing or surplus)
        problem = "has no translation for" if missing else "translates, without a reference,"
        raise ConfigError(
            f"{path} {problem} sample {example} ({len(sentences)} sentences against {len(references)} references)"
        )
    return [sentences[name] for name in references]


def print_scores(console: Console, found: FileScores) -> None:
    """A row per metric, a column per system: nine columns would not fit a terminal of 80 characters."""
    results = found.to_dict()
    table = Table("")
    for name in found.systems:
        table.add_column(name, justify="right")
    for title, key, form in ROWS:
        if key in results["system"]:
            table.add_row(title, *(form.format(results[name][key]) for name in found.systems))
    console.print(table)
    for title, key, _ in ROWS:
        if key in found.comparison:
            console.print(f"{title} {found.comparison[key]}", highlight=False)
    console.print(found.systems["system"].signature, highlight=False)
