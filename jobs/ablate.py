"""What each piece of the method is worth, measured with the policies of a finished run.

python jobs/ablate.py salience --run-dir runs/default
python jobs/ablate.py guidance --run-dir runs/default --split test --json guidance.json --chart guidance.png
python jobs/ablate.py perturber --predictions ../shared/data/predictions --corpus openasl

`salience` asks, on the synthetic corpus, how many times better than chance salience finds the frames and the parts that
tell signs apart, under each rule of aggregation. `guidance` asks how much more log-probability negatives cost where
salience points than elsewhere, on an equal area. `perturber` compares the learned language perturber with random rules,
and both with the failures of a real policy.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

from ablate_perturber import add_perturber
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from signdpo.ablations.guidance import GUIDANCES, score_guidance
from signdpo.ablations.ratios import Ratio
from signdpo.ablations.salience import SalienceScores, contrasts, score_salience
from signdpo.config import Config, ConfigError, SalienceConfig, load_config
from signdpo.data.clips import read_clips
from signdpo.models.policy import Policy
from signdpo.monitoring.progress import StageProgress
from signdpo.pipeline.commands import open_console
from signdpo.storage.files import fetch_folder, join

# One thing changed at a time from what the run is configured to do.
CHANGES: Final[tuple[dict[str, str], ...]] = (
    {},
    {"layers": "all"},
    {"layers": "last"},
    {"heads": "mean"},
    {"heads": "max"},
    {"tokens": "mean"},
    {"tokens": "max"},
    {"weighting": "none"},
    {"weighting": "gradient"},
    {"parts": "freeze"},
    {"parts": "gradient"},
)
Scored = TypeVar("Scored")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    console = open_console()
    try:
        if options.name == "perturber":
            return int(options.run(options))
        config = load_config(join(options.run_dir, "config.yaml"), options.set)
        rows = read_clips(join(options.run_dir, "clips"), options.split).slice(0, options.clips).to_pylist()
        policy = Policy.load(fetch_folder(join(options.run_dir, "pretrain", "policy")))
        policy.model.requires_grad_(False)
        bars = options.run(policy, rows, config, options, console)
    except (ConfigError, FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.chart:
        draw(bars, options.chart)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ablations = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, run, description in (
        ("salience", salience, "how much better than chance salience finds what tells signs apart"),
        ("guidance", guidance, "how much more guided negatives cost the policy than random ones"),
    ):
        ablation = ablations.add_parser(name, help=description, description=description)
        ablation.add_argument("--run-dir", required=True, help="a run with clips and a baseline policy")
        ablation.add_argument("--split", choices=("dev", "test"), default="test", help="default: %(default)s")
        ablation.add_argument("--clips", type=int, default=None, help="only the first so many of the split")
        ablation.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="change the configuration"
        )
        ablation.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
        ablation.add_argument("--chart", type=Path, metavar="PNG", help="draw the ratios there")
        ablation.set_defaults(run=run)
        if name == "guidance":
            ablation.add_argument(
                "--draws", type=int, default=2, help="negatives a kind and clip (default %(default)s)"
            )
    add_perturber(ablations)
    return parser.parse_args(arguments)


def salience(
    policy: Policy, rows: list[dict[str, Any]], config: Config, options: argparse.Namespace, console: Console
) -> dict[str, Ratio]:
    found = contrasts(rows)
    configured = config.negatives.salience
    table = Table(title="times chance, 95 % interval over clips", title_justify="left")
    for title in ("rule", "frames", "parts", "parts over a constant answer"):
        table.add_column(title, justify="left" if title == "rule" else "right")
    scores: dict[str, SalienceScores] = {}
    for rule, settings in rules(configured).items():
        asked = score_salience(policy, rows, found, settings, max_tokens=config.policy.max_text_tokens)
        each = scores[rule] = watched(asked, console, rule, total=len(found) + len(rows), unit="questions")
        table.add_row(rule, *(str(ratio) for ratio in (each.frames, each.parts, each.parts_over_constant)))
    default = next(iter(scores.values()))
    console.print(table)
    console.print(
        f"{options.split}: {len(rows)} clips, {len(found)} contrasts with a minimal pair in {default.frames.clips} of "
        f"them. Frames: salience of a sign's words on the frames in which it differs from its partner. Parts: on the "
        f"parts in which it does. The whole sentence's salience on all signs, as configured: {default.sentence} times "
        f"chance, of {default.ceiling:.2f} that are possible.",
        highlight=False,
    )
    write_json(options, {"rules": {rule: asdict(each) for rule, each in scores.items()}, "contrasts": len(found)})
    return {f"{name}, {rule}": getattr(each, name) for name in ("frames", "parts") for rule, each in scores.items()}


def rules(configured: SalienceConfig) -> dict[str, SalienceConfig]:
    """The configured rule, and each that differs from it in one key."""
    found = {}
    for change in CHANGES:
        changed = configured.model_copy(update=change)
        if not change or changed != configured:
            found[", ".join(f"{key}={value}" for key, value in change.items()) or "as configured"] = changed
    return found


def guidance(
    policy: Policy, rows: list[dict[str, Any]], config: Config, options: argparse.Namespace, console: Console
) -> dict[str, Ratio]:
    scored = score_guidance(
        policy,
        rows,
        config.negatives,
        max_tokens=config.policy.max_text_tokens,
        seed=config.seed,
        draws=options.draws,
    )
    costs = watched(scored, console, "guidance", total=len(rows), unit="clips")
    table = Table(title="log-probability of the reference lost, 95 % interval over clips", title_justify="left")
    for title in ("operation", "nats", "nats a token", "attention / random"):
        table.add_column(title, justify="left" if title == "operation" else "right")
    for level, kinds in itertools.groupby(costs, key=lambda cost: cost.level):
        table.add_section()
        table.add_row(f"[bold]{level}")
        for cost in kinds:
            nats = " ".join(f"{cost.nats[name]:.2f}" for name in GUIDANCES)
            per_token = " ".join(f"{cost.per_token[name]:.3f}" for name in GUIDANCES)
            table.add_row(cost.operation, nats, per_token, str(cost.over_random))
        table.add_row("area", " ".join(f"{cost.area[name]:.0f}" for name in GUIDANCES))
    console.print(table)
    console.print(
        f"{options.split}: {len(rows)} clips, {options.draws} draws. In a cell: {', '.join(GUIDANCES)}. Area: joints "
        f"that may change, summed over frames. A clip counts where an operation changes it under all three.",
        highlight=False,
    )
    write_json(options, {"costs": [asdict(cost) for cost in costs]})
    return {f"{cost.level}: {cost.operation}": cost.over_random for cost in costs}


def watched(results: Iterator[int | Scored], console: Console, title: str, *, total: int, unit: str) -> Scored:
    """Show how far a measurement is, and return what it ends with."""
    with StageProgress(console, title, total=total, unit=unit) as meter:
        for result in results:
            if isinstance(result, int):
                meter.update(result)
            else:
                return result
    raise ValueError("there are no clips to measure")


def write_json(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    if options.json:
        shown = {"split": options.split, "run_dir": options.run_dir, **figures}
        options.json.write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")


def draw(ratios: dict[str, Ratio], path: Path) -> None:
    """Bars with their intervals, from 1 (no better) up."""
    figure = Figure(figsize=(7.5, 0.9 + 0.28 * len(ratios)), layout="constrained")
    axes = figure.subplots()
    values = list(ratios.values())
    whiskers = [[each.value - each.low for each in values], [each.high - each.value for each in values]]
    axes.barh(
        list(ratios), [each.value - 1 for each in values], left=1, xerr=whiskers, color="#7a68c8", ecolor="#444444"
    )
    axes.axvline(1, color="#444444", linewidth=1)
    axes.set_xlabel("ratio; 1 is no better")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
