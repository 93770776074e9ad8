"""Invariant 6: the maths can be used in a notebook without Ray."""

import os
import subprocess
import sys
from pathlib import Path

MATHS = [
    "signdpo.skeleton",
    "signdpo.models",
    "signdpo.negatives",
    "signdpo.text",
    "signdpo.levels",
    "signdpo.data.rows",
    "signdpo.data.batches",
    "signdpo.dpo.objective",
    "signdpo.ablations.failures",
    "signdpo.evaluation.metrics",
    "signdpo.evaluation.significance",
]
WITHOUT_TORCH = ["signdpo.data.rows", "signdpo.data.batches", "signdpo.pipeline.actors", "signdpo.inference.actors"]

IMPORTED = """
import importlib, pkgutil, sys
for name in {modules!r}:
    module = importlib.import_module(name)
    for inner in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        importlib.import_module(inner.name)
    unwanted = {unwanted!r} & set(sys.modules)
    assert not unwanted, (name, unwanted)
"""


def run_alone(program: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_maths_never_imports_ray() -> None:
    run_alone(IMPORTED.format(modules=MATHS, unwanted={"ray"}))


def test_what_rays_own_processes_unpickle_imports_no_torch() -> None:
    run_alone(IMPORTED.format(modules=WITHOUT_TORCH, unwanted={"torch", "transformers"}))


REFUSED = """
import runpy, sys
sys.argv = ["align.py", "--set", "resources.num_cpus=1"]
try:
    runpy.run_path({job!r}, run_name="__main__")
except SystemExit as ended:
    assert ended.code == 2
assert not {{"torch", "transformers"}} & set(sys.modules)
"""


def test_a_job_is_refused_before_it_imports_for_seconds() -> None:
    job = str(Path(__file__).parents[1] / "jobs" / "align.py")
    printed = run_alone(REFUSED.format(job=job))
    assert "raise resources.num_cpus=1" in " ".join(printed.split())
