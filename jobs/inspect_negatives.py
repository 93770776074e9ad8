"""Look at the negatives of a run: a gallery in HTML, a PNG per clip and, if asked for, a GIF.

python jobs/inspect_negatives.py --run-dir runs/default
python jobs/inspect_negatives.py --run-dir runs/default --split dev --clips dev-00003 dev-00017 --gif --out gallery
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from signdpo.pipeline.commands import add_options, new_parser, run_job


def main(arguments: Sequence[str] | None = None) -> int:
    parser = new_parser(__doc__)
    add_options(parser, "--run-dir", "--set", run_dir="runs/default")
    parser.add_argument("--split", default="train", choices=("train", "dev", "test"))
    parser.add_argument("--clips", nargs="*", default=[], metavar="ID", help="which; default: short to long")
    parser.add_argument("--count", type=int, default=8, help="how many, where no clips are named (8)")
    parser.add_argument("--epoch", type=int, default=0, help="whose negatives (0)")
    parser.add_argument("--out", default="gallery", metavar="DIR", help="local folder for the gallery (gallery)")
    parser.add_argument("--gif", action="store_true", help="an animation of each clip, too")
    return run_job(parser, inspect, arguments)


def inspect(options: argparse.Namespace, console: Console) -> None:
    from signdpo.pipeline.run import open_run, picture_run  # brings torch and Ray, which --help does not need
    from signdpo.report.gallery import write_gallery

    context = open_run(options.run_dir, console, options.set)
    examples = picture_run(context, split=options.split, ids=options.clips, count=options.count, epoch=options.epoch)
    for example in examples:
        console.print(f"  {example.id}  {example.text}  ->  {example.rejected_text}", markup=False, highlight=False)
    facts = {"run": context.directory, "split": options.split, "epoch": str(options.epoch)}
    page = write_gallery(Path(options.out), examples, facts, animated=options.gif)
    console.print(f"gallery  {page}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
