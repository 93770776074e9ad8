"""Invariant 6: the maths can be used in a notebook without Ray."""

import subprocess
import sys

import pytest

MATHS = [
    "signdpo.skeleton.layout",
    "signdpo.skeleton.clip",
    "signdpo.skeleton.formats",
    "signdpo.skeleton.normalisation",
    "signdpo.skeleton.drawing",
    "signdpo.models.policy",
    "signdpo.models.translator",
    "signdpo.negatives.operations",
    "signdpo.negatives.hardness",
    "signdpo.negatives.skeletons",
    "signdpo.negatives.salience",
    "signdpo.wording",
    "signdpo.negatives.perturber",
    "signdpo.negatives.lessons",
    "signdpo.negatives.selection",
    "signdpo.negatives.generator",
    "signdpo.dpo.objective",
    "signdpo.evaluation.failures",
    "signdpo.evaluation.metrics",
    "signdpo.evaluation.significance",
]


@pytest.mark.parametrize("module", MATHS)
def test_maths_never_imports_ray(module: str) -> None:
    check = f"import sys, {module}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
