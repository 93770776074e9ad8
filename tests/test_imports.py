"""Invariant 6: the maths can be used in a notebook without Ray."""

import os
import subprocess
import sys
from pathlib import Path

MATHS = [
    "signdpo.skeleton.layout",
    "signdpo.skeleton.clip",
    "signdpo.skeleton.formats",
    "signdpo.skeleton.normalisation",
    "signdpo.skeleton.drawing",
    "signdpo.models.policy",
    "signdpo.models.translator",
    "signdpo.negatives.skeleton.operations",
    "signdpo.negatives.skeleton.hardness",
    "signdpo.negatives.skeleton.negative",
    "signdpo.negatives.skeleton.salience",
    "signdpo.text.units",
    "signdpo.negatives.sentence.perturber",
    "signdpo.negatives.sentence.perturber_batches",
    "signdpo.negatives.sentence.selection",
    "signdpo.negatives.generator",
    "signdpo.dpo.objective",
    "signdpo.ablations.failures",
    "signdpo.evaluation.metrics",
    "signdpo.evaluation.significance",
]


def test_maths_never_imports_ray() -> None:
    lines = ["import sys", *(f"import {module}\nassert 'ray' not in sys.modules, '{module}'" for module in MATHS)]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    check = [sys.executable, "-c", REFUSED.format(job=job)]
    done = subprocess.run(check, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "raise resources.num_cpus=1" in " ".join(done.stdout.split())
