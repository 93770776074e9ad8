"""Score translations as the field does, and say whether one system is really better than another.

    python jobs/evaluate.py --run-dir runs/default
    python jobs/evaluate.py --hypotheses aligned.txt --references dev.txt --language en
    python jobs/evaluate.py --hypotheses aligned.txt --baseline mle.txt --references dev.txt --language zh \
        --protocol csl_daily --json scores.json

A file has one sentence a line, or the lines of the Uni-Sign release ("sample: ID, prediction: TEXT" and
"sample: ID, ground-truth: TEXT"), which are matched by ID.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from signdpo.console import open_console
from signdpo.evaluation.bleurt import bleurt
from signdpo.evaluation.metrics import DEFAULT_TOKENIZERS, PROTOCOLS, TOKENIZERS, score
from signdpo.evaluation.significance import PairedBootstrap, paired_bootstrap

RELEASE_LINE = re.compile(r"sample: (?P<id>.+?), (?:prediction|ground-truth): ?(?P<text>.*)")

ROWS = (
    ("BLEU-1", "bleu1", "{:.2f}"),
    ("BLEU-2", "bleu2", "{:.2f}"),
    ("BLEU-3", "bleu3", "{:.2f}"),
    ("BLEU-4", "bleu4", "{:.2f}"),
    ("chrF", "chrf", "{:.2f}"),
    ("ROUGE-L", "rouge_l", "{:.2f}"),
    ("WER", "wer", "{:.2f}"),
    ("BLEURT", "bleurt", "{:.2f}"),
    ("length ratio", "length_ratio", "{:.3f}"),
    ("loops", "loop_rate", "{:.1%}"),
    ("exact matches", "exact", "{:.1%}"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.run_dir:
        from signdpo.pipeline.exit_codes import exit_code
        from signdpo.pipeline.run import evaluate_run  # brings torch and Ray, which scoring text does not need

        console = open_console()
        return exit_code(lambda: evaluate_run(options.run_dir, console), console)
    try:
        results = evaluate_text(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(results, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-dir", help="translate and score dev and test again with the policies of this run")
    parser.add_argument("--hypotheses", type=Path, help="translations of the system")
    parser.add_argument("--references", type=Path, help="reference translations")
    parser.add_argument("--language", choices=sorted(DEFAULT_TOKENIZERS))
    parser.add_argument("--tokenize", choices=TOKENIZERS, help="sacreBLEU tokenizer; default: char for zh, else 13a")
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), help="fold the text as a benchmark's papers do")
    parser.add_argument("--baseline", type=Path, help="translations to compare with, by paired bootstrap of BLEU-4")
    parser.add_argument("--samples", type=int, default=1000, help="resampled corpora of the bootstrap")
    parser.add_argument("--seed", type=int, default=12345, help="of the bootstrap")
    parser.add_argument("--bleurt", metavar="DIR", help="BLEURT too, with this checkpoint")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores here too")
    options = parser.parse_args(arguments)
    if not options.run_dir and not (options.hypotheses and options.references and options.language):
        parser.error("give --run-dir, or --hypotheses, --references and --language")
    return options


def evaluate_text(options: argparse.Namespace) -> dict[str, Any]:
    """Score the files and print the table; results by name as plain JSON: `system` and, with a baseline, two more."""
    references = read_sentences(options.references)
    protocol = {"language": options.language, "tokenize": options.tokenize, "protocol": options.protocol}
    files = {"baseline": options.baseline, "system": options.hypotheses}
    sentences = {
        name: in_order_of(references, read_sentences(path), path) for name, path in files.items() if path is not None
    }
    targets = list(references.values())
    scores = {name: score(translations, targets, **protocol) for name, translations in sentences.items()}
    results: dict[str, Any] = {name: result.to_dict() for name, result in scores.items()}
    if options.bleurt:
        for name, translations in sentences.items():
            results[name]["bleurt"] = bleurt(translations, targets, options.bleurt)
    comparison = None
    if options.baseline is not None:
        comparison = paired_bootstrap(
            sentences["baseline"],
            sentences["system"],
            targets,
            **protocol,
            samples=options.samples,
            seed=options.seed,
        )
        results["comparison"] = comparison.to_dict()
    print_table({name: results[name] for name in sentences}, scores["system"].signature, comparison)
    return results


def read_sentences(path: Path) -> dict[str, str]:
    """Sentences of a file by ID, or by line number where the lines carry no ID.

    Raises:
        ValueError: no such file, lines of both kinds, or an ID that comes twice.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    # Not `splitlines`, which would also break at the rarer separators that a sentence may hold.
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    release = bool(RELEASE_LINE.fullmatch(lines[0].rstrip("\r")))
    sentences: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = RELEASE_LINE.fullmatch(line.rstrip("\r"))
        if bool(match) != release:
            raise ValueError(f"{path}:{number}: expected {'a' if release else 'no'} sample ID, as in line 1")
        name, text = (match["id"], match["text"]) if match else (str(number), line)
        if name in sentences:
            raise ValueError(f"{path}:{number}: sample {name} comes twice")
        sentences[name] = text.strip()
    return sentences


def in_order_of(references: dict[str, str], sentences: dict[str, str], path: Path) -> list[str]:
    """The sentences in the order of the references. Raises `ValueError` if any is missing or has no reference."""
    missing, surplus = references.keys() - sentences.keys(), sentences.keys() - references.keys()
    if missing or surplus:
        example = min(missing or surplus)
        problem = "has no translation for" if missing else "translates, without a reference,"
        raise ValueError(
            f"{path} {problem} sample {example} ({len(sentences)} sentences against {len(references)} references)"
        )
    return [sentences[name] for name in references]


def print_table(systems: dict[str, dict[str, Any]], signature: str, comparison: PairedBootstrap | None) -> None:
    # One row a metric: nine columns would not fit a terminal of 80 characters.
    table = Table()
    table.add_column("")
    for name in systems:
        table.add_column(name, justify="right")
    for title, key, form in ROWS:
        if all(key in scores for scores in systems.values()):
            table.add_row(title, *(form.format(scores[key]) for scores in systems.values()))
    console = open_console()
    console.print(table)
    if comparison:
        console.print(
            f"BLEU-4 {comparison.delta:+.2f} (95 % interval {comparison.confidence_low:+.2f} to "
            f"{comparison.confidence_high:+.2f}), p = {comparison.p_value:.4f}, paired bootstrap with "
            f"{comparison.samples} samples, seed {comparison.seed}",
            highlight=False,
        )
    console.print(signature, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
