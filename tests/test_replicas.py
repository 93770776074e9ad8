"""A run with several seeds: what they share, what each has of its own, one table."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.small_runs import SmallRun

from signdpo.config import Config, ConfigError, lay_over
from signdpo.pipeline.stages.align import Align
from signdpo.replicas import BASELINES, SEEDS, replica_of, run_replicas
from signdpo.run_context import RunContext
from signdpo.storage.files import read_json


def test_seeds_share_the_baseline_and_baselines_the_clips() -> None:
    main = RunContext(Config(), "/run", Console())
    seed = replica_of(main, 2, SEEDS)
    assert (seed.config.seed, seed.config.alignment_seed) == (1, 2)
    assert (seed.clips, seed.baseline, seed.perturber) == ("/run/clips", "/run/pretrain/policy", "/run/perturber/model")
    assert (seed.control, seed.aligned) == ("/run/seeds/2/control/policy", "/run/seeds/2/align/policy")
    assert seed.path("negatives") == "/run/seeds/2/negatives"
    baseline = replica_of(main, 2, BASELINES)
    assert (baseline.config.seed, baseline.config.alignment_seed) == (2, 2)
    assert (baseline.clips, baseline.baseline) == ("/run/clips", "/run/baselines/2/pretrain/policy")


def test_the_seed_of_the_run_is_the_run_itself() -> None:
    main = RunContext(Config(), "/run", Console())
    assert replica_of(main, 1, SEEDS) is replica_of(main, 1, BASELINES) is main
    other = RunContext(lay_over(Config(), {"dpo.seed": 7}), "/run", Console())
    assert replica_of(other, 7, SEEDS) is other
    assert replica_of(other, 1, SEEDS).directory == "/run/seeds/1"


def test_a_seed_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="the seeds 1 1 must all differ"):
        run_replicas(Config(), "/nowhere", [1, 1], Console())


@pytest.mark.long
def test_a_finished_run_gets_another_seed_once(small_run: SmallRun, tmp_path: Path) -> None:
    directory = shutil.copytree(small_run.directory, tmp_path / "run")

    def start() -> tuple[dict[Path, float], str]:
        console = Console(file=StringIO(), width=200)
        run_replicas(small_run.config, str(directory), [1, 2], console)
        manifests = {path: path.stat().st_mtime for path in directory.rglob("stage.json")}
        return manifests, console.file.getvalue()  # type: ignore[attr-defined]

    before = {path: path.stat().st_mtime for path in directory.rglob("stage.json")}
    manifests, printed = start()
    assert {path: manifests[path] for path in before} == before
    own = {path.parent.name for path in manifests if path not in before}
    assert own == {"control", "align", "translation", "evaluation"}
    assert "seed 2 (2 of 2)" in printed
    other = read_json(str(directory / "seeds" / "2" / "align" / "stage.json"))["outputs"]["policy_hash"]
    assert other != small_run.outputs[Align].policy_hash
    found = json.loads((directory / "seeds.json").read_text())
    assert list(found["systems"]) == ["baseline", "control", "aligned"]
    assert all(list(system["seeds"]) == ["1", "2"] for system in found["systems"].values())
    assert list(found["comparison"]) == ["aligned - control", "aligned - baseline", "control - baseline"]
    assert len(found["comparison"]["aligned - control"]["bleu4"]["by_seed"]) == 2
    assert "| aligned | mean ± sd |" in (directory / "seeds.md").read_text()
    assert start()[0] == manifests
