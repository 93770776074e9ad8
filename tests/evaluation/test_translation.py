"""Systems of the same weights are asked once, and each gets its columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_start import SmallStart

from signdpo.data.clips import read_clips
from signdpo.evaluation.systems import column_of, margins_of
from signdpo.evaluation.translation import Translator
from signdpo.models.policy import Policy
from signdpo.models.translator import SignTranslator


def test_a_control_that_is_the_baseline_is_not_asked_again(
    small_start: SmallStart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline = str(small_start.directory / "pretrain" / "policy")
    other = Policy.load(baseline)
    with torch.no_grad():
        other.model.language_model.get_output_embeddings().weight.mul_(-1)
    other.save(tmp_path)
    clips = str(small_start.directory / "clips")
    rows = read_clips(clips, "dev").slice(0, 2)
    batch = {name: np.array(rows[name].to_pylist(), dtype=object) for name in ("id", "text", "keypoints", "num_frames")}
    foils = {str(batch["id"][0]): {"words": ["my mother works."]}}

    asked: list[int] = []
    generate = SignTranslator.generate
    monkeypatch.setattr(SignTranslator, "generate", lambda *given, **how: asked.append(1) or generate(*given, **how))
    policies = {"baseline": baseline, "control": baseline, "aligned": str(tmp_path)}
    penalties = {"baseline": [1.0], "control": [1.0], "aligned": [1.0]}
    said = Translator(small_start.config, policies, penalties, foils, clips)(dict(batch))
    assert len(asked) == 2
    for column in (lambda name: column_of(name, 1.0), margins_of):
        assert list(map(str, said[column("control")])) == list(map(str, said[column("baseline")]))
    assert list(map(str, said[margins_of("aligned")])) != list(map(str, said[margins_of("baseline")]))

    asked.clear()
    Translator(small_start.config, policies, {**penalties, "control": [1.0, 2.0]}, foils, clips)(dict(batch))
    assert len(asked) == 4  # with other length penalties it has more to say
