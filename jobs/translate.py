"""Translate clips that have no labels: files, or folders of them, in any format that a corpus may have.

python jobs/translate.py --policy runs/default/align/policy clip.pose
python jobs/translate.py --policy runs/default/align/policy clips/ --out translations.tsv --n-best 3
python jobs/translate.py --policy runs/default/align/policy clips/ --out best.jsonl --mbr samples --attention looks/

Sentences go to stdout, or with --out to a table or JSON lines with the log-probability per token; the same command goes
on where it was cut off. Clips are decoded as the run of the policy decodes them. A clip that makes no sense is reported
and left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from signdpo.config import ConfigError
from signdpo.pipeline.commands import add_options, new_parser, run_job

SAMPLES = 32  # of which --mbr samples chooses, unless told otherwise


def main(arguments: Sequence[str] | None = None) -> int:
    parser = new_parser(__doc__)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="clip, or folder of clips: local paths or URIs")
    parser.add_argument("--policy", required=True, metavar="DIR", help="folder of a policy, a local path or URI")
    parser.add_argument("--kind", help="of the clips, as corpus.kind; default: as their files tell")
    parser.add_argument("--out", metavar="FILE", help="where to write them: FILE.tsv or FILE.jsonl")
    parser.add_argument("--n-best", type=int, default=1, metavar="N", help="translations per clip (1)")
    parser.add_argument("--num-beams", type=int, metavar="N", help="instead of evaluation.num_beams")
    parser.add_argument("--length-penalty", type=float, metavar="X", help="instead of evaluation.length_penalty")
    parser.add_argument("--mbr", choices=("beams", "samples"), help="take the translation with the best expected chrF")
    parser.add_argument("--samples", type=int, metavar="N", help=f"with --mbr samples: draws per clip ({SAMPLES})")
    parser.add_argument("--attention", metavar="DIR", help="a PNG per clip: where the policy looks for each word")
    add_options(parser, "--config", "--set")
    return run_job(parser, translate, arguments, stderr=True)


def translate(options: argparse.Namespace, console: Console) -> None:
    if options.samples is not None and options.mbr != "samples":
        raise ConfigError("--samples counts the draws of --mbr samples: give both or neither")
    beams = {"num_beams": options.num_beams, "length_penalty": options.length_penalty}
    overrides = [f"evaluation.{name}={value}" for name, value in beams.items() if value is not None]
    if overrides and options.mbr == "samples":
        raise ConfigError("--mbr samples draws sentences without beams: leave out --num-beams and --length-penalty")
    from signdpo.inference import run, settings  # these and the next import for seconds

    config = settings.config_of(options.policy, options.config, [*options.set, *overrides])
    from signdpo.inference.decoding import Decoding

    length_penalty = settings.length_penalty_of(options.policy, config, console)
    decoding = Decoding(
        generation=config.evaluation.generation(length_penalty),
        n_best=options.n_best,
        mbr=options.mbr,
        samples=SAMPLES if options.samples is None else options.samples,
        seed=config.seed,
    )
    asked = {name: getattr(options, name) for name in ("policy", "inputs", "kind", "out", "attention")}
    run.translate_files(run.Request(config=config, decoding=decoding, **asked), console)


if __name__ == "__main__":
    sys.exit(main())
