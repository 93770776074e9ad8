"""All jobs take their arguments and end in one way."""

from __future__ import annotations

import pytest
from support.jobs import JOBS, load_job

from signdpo.config import Config
from signdpo.pipeline.commands import open_console
from signdpo.pipeline.run import show_plan
from signdpo.pipeline.stage import Planned
from signdpo.pipeline.stages.clips import Clips
from signdpo.run_context import RunContext

MISTYPED = {
    "align": ["--set", "dpo.bta=1"],
    "tune": ["--set", "dpo.bta=1"],
    "generate": ["--set", "dpo.bta=1"],
    "prepare": ["--check", "--set", "dpo.bta=1"],
    "check_cluster": ["cluster.yaml", "--set", "dpo.bta=1"],
    "inspect_negatives": ["--run-dir", "nowhere"],
    "evaluate": [],
    "translate": ["clip.pose", "--policy", "nowhere"],
    "ablate": ["perturber", "--predictions", ".", "--corpus", "none", "--set", "dpo.bta=1"],
    "benchmark": ["policy", "--set", "dpo.bta=1"],
}


@pytest.mark.parametrize("name", MISTYPED)
def test_what_a_person_must_change_is_one_message_and_code_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_job(name).main(MISTYPED[name]) == 2
    printed = "".join(capsys.readouterr())
    assert printed.count("error: ") == 1
    assert "did you mean dpo.beta?" in printed or "--run-dir" in printed or "--policy nowhere" in printed


def test_a_negative_seed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert load_job("align").main(["--set", "seed=-1"]) == 2
    assert capsys.readouterr().out.startswith("error: seed: ")


def test_every_job_has_its_documentation_as_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert MISTYPED.keys() == {path.stem for path in JOBS.glob("*.py")}
    for name in MISTYPED:
        job = load_job(name)
        with pytest.raises(SystemExit):
            job.main(["--help"])
        assert job.__doc__ is not None
        assert job.__doc__.splitlines()[0] in capsys.readouterr().out


def test_brackets_are_data_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    context = RunContext(Config(), "/runs/[/nosuch]", open_console())
    show_plan(context, [Planned(Clips(), "corpus.root changed: /a[/b] -> [red]", None)], [])
    context.console.print("[/nosuch]")
    printed = capsys.readouterr().out
    assert "/runs/[/nosuch]" in printed
    assert "/a[/b] -> [red]" in printed
    assert printed.endswith("[/nosuch]\n")
