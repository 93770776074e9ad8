"""A language model that reads text before there are clips, and the policy that is made of it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from support.small_runs import SMALL, SmallRun

from signdpo.config import load_config
from signdpo.corpora.synthetic.grammar import sentences
from signdpo.data.clips import read_clips
from signdpo.models.policy import build_policy
from signdpo.models.text_to_text import TextToText
from signdpo.pipeline.stage import run_stage
from signdpo.pipeline.stages import stages_of
from signdpo.pipeline.stages.language import Language
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.run_context import RunContext, Upstream


@pytest.mark.long
def test_the_policy_is_made_of_a_language_model_that_has_read_the_text(small_run: SmallRun, tmp_path: Path) -> None:
    asked = read_clips(small_run.directory / "clips", "test", columns=["text"])["text"].to_pylist()[0]
    text = tmp_path / "text.txt"
    text.write_text("\n".join([asked.upper(), *(sentence.text for sentence in sentences("train", 300, 5))]))
    given = [f"policy.language_model.pretrain_text={text}", "policy.language_model.pretrain.epochs=2"]
    config = load_config(None, [*SMALL, *given])
    console = Console(file=StringIO(), width=200)
    context = RunContext(
        config, str(tmp_path / "run"), console, Upstream(str(small_run.directory), frozenset({"clips"}))
    )
    outputs = run_stage(context, Language(), small_run.outputs)
    assert "300 sentences, 1 of dev and test left out, and those of 72 training clips" in console.file.getvalue()
    assert 300 <= outputs.sentences <= 372
    rows = [json.loads(line) for line in (tmp_path / "run/language/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 2 * -(-outputs.sentences // 64)
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.2

    read = TextToText.load(context.language_model, max_tokens=64)
    policy = build_policy(config, [], context.language_model)
    for name, weights in read.model.state_dict().items():
        assert torch.equal(weights, policy.model.language_model.state_dict()[name]), name
    assert policy.tokenizer.get_vocab() == read.tokenizer.get_vocab()


def test_it_is_a_stage_where_there_is_text_to_read_and_decides_the_baseline() -> None:
    config = load_config(None, ["policy.language_model.pretrain_text=grammar"])
    assert [stage.name for stage in stages_of(config)][:3] == ["clips", "language", "pretrain"]
    assert "language" not in [stage.name for stage in stages_of(load_config())]
    assert Language in Pretrain.builds_on
