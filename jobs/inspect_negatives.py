"""Look at the negatives of a run: a gallery in HTML, a PNG a clip and, if asked for, a GIF.

python jobs/inspect_negatives.py --run-dir runs/default
python jobs/inspect_negatives.py --run-dir runs/default --split dev --clips dev-00003 dev-00017 --gif --out gallery
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from rich.console import Console

from signdpo.console import open_console
from signdpo.pipeline.exit_codes import exit_code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-dir", default="runs/default", metavar="DIR", help="of a run with a perturber")
    parser.add_argument("--split", default="train", choices=("train", "dev", "test"))
    parser.add_argument("--clips", nargs="*", default=[], metavar="ID", help="which; default: short to long")
    parser.add_argument("--count", type=int, default=8, help="how many, where no clips are named (8)")
    parser.add_argument("--epoch", type=int, default=0, help="whose negatives (0)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="try another setting")
    parser.add_argument("--out", default="gallery", metavar="DIR", help="local folder for the gallery (gallery)")
    parser.add_argument("--gif", action="store_true", help="an animation of each clip, too")
    arguments = parser.parse_args()
    console = open_console()
    return exit_code(lambda: inspect(arguments, console), console)


def inspect(arguments: argparse.Namespace, console: Console) -> None:
    from signdpo.pipeline.run import open_run, picture_run  # brings torch and Ray, which --help does not need
    from signdpo.report.animation import save_animation
    from signdpo.report.examples import gallery
    from signdpo.report.negatives import negative_figure

    context = open_run(arguments.run_dir, console, arguments.set)
    chosen = {"split": arguments.split, "ids": arguments.clips, "count": arguments.count, "epoch": arguments.epoch}
    examples = picture_run(context, **chosen)
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    animations = {}
    for example in examples:
        name = re.sub(r"[^\w.-]", "_", example.id)
        drawn = negative_figure(example, sentences=True)
        drawn.savefig(folder / f"{name}.png", dpi=150, facecolor="white", bbox_inches="tight", pad_inches=0.15)
        if arguments.gif:
            animations[example.id] = f"{name}.gif"
            save_animation(example, folder / animations[example.id])
        console.print(f"  {example.id}  {example.text}  [dim]->[/]  {example.rejected_text}")
    facts = {"run": context.directory, "split": arguments.split, "epoch": str(arguments.epoch)}
    page = folder / "index.html"
    page.write_text(gallery("Negatives", examples, facts, animations), encoding="utf-8")
    console.print(f"gallery  {page}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
