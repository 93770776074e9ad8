"""Score translations as the field does, and say whether one system is really better than another.

    python jobs/evaluate.py --run-dir runs/default
    python jobs/evaluate.py --hypotheses aligned.txt --references dev.txt --language en
    python jobs/evaluate.py --hypotheses aligned.txt --baseline mle.txt --references dev.txt --language zh \
        --protocol csl_daily --json scores.json

A file has one sentence per line, or the lines of the Uni-Sign release ("sample: ID, prediction: TEXT" and
"sample: ID, ground-truth: TEXT"), which are matched by ID.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from signdpo.config import ConfigError
from signdpo.evaluation.metrics import DEFAULT_TOKENIZERS, PROTOCOLS, TOKENIZERS
from signdpo.evaluation.text_files import print_scores, score_files
from signdpo.pipeline.commands import add_options, new_parser, run_job
from signdpo.pipeline.driver import only_driver
from signdpo.storage.files import write_json

OF_A_RUN = ("run_dir", "take_over", "json")  # options that scoring files does not take


def main(arguments: Sequence[str] | None = None) -> int:
    parser = new_parser(__doc__)
    add_options(parser, "--run-dir", "--take-over", "--json")
    parser.add_argument("--hypotheses", metavar="FILE", help="translations of the system")
    parser.add_argument("--references", metavar="FILE", help="reference translations")
    parser.add_argument("--baseline", metavar="FILE", help="translations to compare with, by paired bootstrap")
    parser.add_argument("--language", choices=sorted(DEFAULT_TOKENIZERS))
    parser.add_argument("--tokenize", choices=TOKENIZERS, help="sacreBLEU tokenizer; default: char for zh, else 13a")
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), help="fold the text as a benchmark's papers do")
    parser.add_argument("--samples", type=int, default=1000, help="resampled corpora of the bootstrap")
    parser.add_argument("--seed", type=int, default=12345, help="of the bootstrap")
    parser.add_argument("--bleurt", metavar="DIR", dest="checkpoint", help="BLEURT too, with this checkpoint")
    return run_job(parser, evaluate, arguments)


def evaluate(options: argparse.Namespace, console: Console) -> None:
    if options.run_dir:
        from signdpo.pipeline.run import evaluate_run, open_run  # bring Ray, which scoring text does not need

        config = open_run(options.run_dir, console).config
        with only_driver(options.run_dir, config, console, take_over=options.take_over):
            evaluate_run(options.run_dir, console)
        return
    if not (options.hypotheses and options.references and options.language):
        raise ConfigError("give --run-dir, or --hypotheses, --references and --language")
    scores = score_files(**{name: value for name, value in vars(options).items() if name not in OF_A_RUN})
    print_scores(console, scores)
    if options.json:
        write_json(options.json, scores.to_dict())


if __name__ == "__main__":
    sys.exit(main())
