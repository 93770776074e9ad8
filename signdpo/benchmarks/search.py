"""Settings tried by one search, against as many runs one after the other."""

from __future__ import annotations

import tempfile
import time
from typing import Final

from rich.console import Console

from signdpo.benchmarks.measurement import Figures
from signdpo.cluster.plan import start_ray
from signdpo.config import Config, lay_over, load_config
from signdpo.pipeline.commands import open_console
from signdpo.pipeline.stage import read_manifest, run_stages
from signdpo.pipeline.stages import stages_of
from signdpo.pipeline.stages.align import Align
from signdpo.run_context import RunContext
from signdpo.tuning.search import run_search
from signdpo.tuning.settings import Range, SearchConfig

TRIALS: Final = 8
# A corpus and models so small that a stage takes seconds; wrong sentences by rules, which no stage has to learn.
SMALL_RUN: Final = (
    "corpus.synthetic.dev_clips=20",
    "corpus.synthetic.test_clips=1",
    "policy.encoder.temporal_channels=32",
    "policy.language_model.d_model=64",
    "pretrain.epochs=2",
    "negatives.perturber.kind=rules",
    "negatives.perturber.min_chrf=0",
    "negatives.perturber.min_fluency=-100",
    "negatives.hardness.skeleton.min_margin=-1",
)


def search(clips: int, frames: int) -> Figures:
    """A search without early stopping against separate runs of its trials' settings, from the corpus to the policy."""
    config = load_config(None, [*SMALL_RUN, f"corpus.synthetic.train_clips={clips}", f"corpus.max_frames={frames}"])
    space = {"dpo.beta": Range(loguniform=(0.1, 3)), "dpo.weights.language": Range(uniform=(0, 1))}
    settings = SearchConfig(trials=TRIALS, scheduler="none", space=space)
    console = open_console(stderr=True)
    start_ray(config)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        results = run_search(config, settings, f"{folder}/search", console)
        searching = time.perf_counter() - began
        console.print(f"the search took {searching:.0f} s")
        assert all(result.state == "finished" for result in results), "a trial has failed: there is nothing to compare"
        runs = [_run_alone(lay_over(config, result.settings), f"{folder}/{result.id}", console) for result in results]
    separate, alignments = (sum(seconds) for seconds in zip(*runs, strict=True))
    return {
        "trials": len(results),
        "clips": clips,
        "search, s": searching,
        "separate runs, s": separate,
        "ratio": separate / searching,
        "their alignments alone, s": alignments,
        "ratio to alignments alone": alignments / searching,
    }


def _run_alone(config: Config, directory: str, console: Console) -> tuple[float, float]:
    """Seconds of a run up to its aligned policy, and those of its alignment."""
    stages = stages_of(config)
    last = next(place for place, stage in enumerate(stages) if stage.name == "align")
    context = RunContext(config, directory, console)
    began = time.perf_counter()
    run_stages(context, stages[: last + 1])
    seconds = time.perf_counter() - began
    console.print(f"a separate run took {seconds:.0f} s")
    manifest = read_manifest(context, Align)
    assert manifest is not None
    return seconds, manifest.seconds
