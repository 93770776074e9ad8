"""What each piece of the method is worth.

python jobs/ablate.py salience --run-dir runs/default
python jobs/ablate.py guidance --run-dir runs/default --split test --json guidance.json --chart guidance.png
python jobs/ablate.py levels --config jobs/configs/all_levels.yaml --run-dir runs/default --seeds 1 2 3
python jobs/ablate.py perturber --predictions /data/predictions --corpus openasl

`levels` trains every level alone, all of them, and a control of equal steps and one of equal time, from the baseline of
a run that is finished or new, with each seed, and writes one table into `ablation/` of the run directory. The same
command goes on after a kill.

`salience` asks, on the synthetic corpus, how many times better than chance salience finds the frames and the parts that
tell signs apart, under each rule of aggregation. `guidance` asks how much more log-probability negatives cost where
salience points than elsewhere, on an equal area. `perturber` compares the learned language perturber with random rules,
and both with the failures of a real policy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from signdpo.config import load_config
from signdpo.pipeline.commands import add_options, new_parser, run_job
from signdpo.pipeline.driver import only_driver
from signdpo.storage.files import exists, join, write_json


def main(arguments: Sequence[str] | None = None) -> int:
    parser = new_parser(__doc__)
    ablations = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    salience = ablations.add_parser(
        "salience", help="how much better than chance salience finds what tells signs apart"
    )
    guidance = ablations.add_parser("guidance", help="how much more guided negatives cost the policy than random ones")
    for ablation in (salience, guidance):
        add_options(ablation, "--run-dir", "--set", "--json", run_dir="runs/default")
        ablation.add_argument("--split", choices=("dev", "test"), default="test", help="default: %(default)s")
        ablation.add_argument("--clips", type=int, default=None, help="only the first so many of the split")
        ablation.add_argument("--chart", metavar="PNG", help="draw the ratios there")
    guidance.add_argument("--draws", type=int, default=2, help="negatives per kind and clip (default %(default)s)")
    perturber = ablations.add_parser("perturber", help="learned wrong sentences beside random edits and real failures")
    add_options(perturber, "--set")
    perturber.add_argument("--predictions", required=True, metavar="DIR", help="of references and predictions")
    perturber.add_argument("--corpus", required=True, help="the files' name before .dev.refs.txt")
    perturber.add_argument("--texts", metavar="FILE", help="labels of the Uni-Sign release: more text to warm up on")
    levels = ablations.add_parser("levels", help="each level alone and all of them beside a control, over seeds")
    add_options(levels, "--config", "--set", "--run-dir", "--take-over", run_dir="runs/default")
    levels.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="SEED", help="default: 1 2 3")
    levels.add_argument(
        "--arms", nargs="+", default=[], metavar="ARM", help="beside baseline and control; default: all"
    )
    return run_job(parser, ablate, arguments)


def ablate_levels(options: argparse.Namespace, console: Console) -> None:
    there = join(options.run_dir, "config.yaml")
    config = load_config(options.config or (there if exists(there) else None), options.set)
    from signdpo.pipeline.preflight import refuse_early

    refuse_early(config)
    with only_driver(options.run_dir, config, console, take_over=options.take_over):
        from signdpo.ablations.levels import LevelsAblation  # imports for seconds

        LevelsAblation(config, options.run_dir, options.seeds, console, options.arms).run()


def ablate(options: argparse.Namespace, console: Console) -> None:
    if options.name == "levels":
        return ablate_levels(options, console)
    from signdpo.ablations import guidance, measured_run, perturber, salience  # bring torch, which --help does not need
    from signdpo.monitoring.progress import StageProgress

    if options.name == "perturber":
        config = load_config(None, [*perturber.DEFAULTS, *options.set])
        failures = perturber.read_failures(options.predictions, options.corpus)
        texts = perturber.read_texts(options.texts, config.seed) if options.texts else []
        return perturber.ablate_perturber(failures, texts, config.negatives.perturber, config.seed, console)
    run = measured_run.open_measured_run(options.run_dir, options.set, options.split, options.clips)
    with StageProgress(console, options.name, total=None, unit="questions") as meter:

        def show(done: int, total: int) -> None:
            meter.update(done, total=total)

        if options.name == "salience":
            found = salience.ablate_salience(run, show)
        else:
            found = guidance.ablate_guidance(run, options.draws, show)
    console.print(found.table)
    console.print(found.note, highlight=False)
    if options.json:
        write_json(options.json, {"split": run.split, "run_dir": run.directory, **found.figures})
    if options.chart:
        found.draw(options.chart)


if __name__ == "__main__":
    sys.exit(main())
