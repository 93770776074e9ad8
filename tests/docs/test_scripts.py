"""The scripts in docs/ run as their pages say, without Ray."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = """
import runpy, sys
sys.argv[0] = {script!r}
runpy.run_path({script!r}, run_name="__main__")
assert "ray" not in sys.modules
"""


def test_a_clip_is_perturbed_drawn_and_scored_without_ray(tmp_path: Path) -> None:
    code = RUN.format(script=str(ROOT / "docs" / "perturb_a_clip.py"))
    command = [sys.executable, "-c", code, "--operation", "splice", "--picture", "spliced.png"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert list(printed) == ["clip", "region", "operation", "log", "drawn"]
    assert (tmp_path / "spliced.png").read_bytes().startswith(b"\x89PNG")
