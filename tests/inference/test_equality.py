"""A clip that is translated alone gets the sentence, and the decoding, that an evaluation gives it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from support.trained import Trained
from transformers.modeling_outputs import BaseModelOutput

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.ingest import make_shard
from signdpo.corpora.planning import Shard
from signdpo.corpora.registry import open_source
from signdpo.data.clips import read_parquet, shard_uri
from signdpo.evaluation.systems import column_of
from signdpo.evaluation.translation import Translator
from signdpo.inference.pipeline import TranslationPipeline
from signdpo.inference.settings import config_of, length_penalty_of
from signdpo.models.batch import pad_clips
from signdpo.models.policy import Policy
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.normalisation import normalise

Job = Callable[..., tuple[int, str, str]]


def evaluated(trained: Trained, folder: Path) -> dict[str, str]:
    """What the evaluation's translator says to clips that the ingest has stored, by id."""
    table = ["id\ttext\tsplit", *(f"{name}\ta word\ttrain" for name in trained.clips)]
    (folder / "labels.tsv").write_text("\n".join([*table, ""]))
    source = open_source(CorpusConfig(kind="npz", root=str(folder)))
    shard = Shard("train", "all", tuple(source.entries("train")), trained.config.corpus.max_frames)
    outcome = make_shard(shard, source, str(folder / "stored"))
    assert not outcome.quarantined
    rows = read_parquet(shard_uri(str(folder / "stored"), "train", "all"))
    batch = {name: rows[name].to_pylist() for name in rows.column_names}
    said = Translator(trained.config, {"aligned": trained.policy}, {"aligned": [1.0]}, {}, "")(batch)
    return dict(zip(batch["id"], map(str, said[column_of("aligned", 1.0)]), strict=True))


def test_sentences_are_the_evaluations(trained: Trained, translate: Job, tmp_path: Path) -> None:
    assert max(map(len, trained.clips.values())) > trained.config.corpus.max_frames
    expected = evaluated(trained, trained.write(tmp_path / "clips"))
    assert len(set(expected.values())) > len(expected) / 2
    for n_best in (1, 3):
        code, printed, _ = translate(tmp_path / "clips", "--out", tmp_path / f"{n_best}.jsonl", "--n-best", n_best)
        assert (code, printed) == (0, "")
        lines = [json.loads(line) for line in (tmp_path / f"{n_best}.jsonl").read_text().splitlines()]
        assert {line["id"]: line["sentence"] for line in lines} == expected
    alone = {name: translate(tmp_path / "clips" / f"{name}.npz")[1].strip() for name in list(expected)[:3]}
    assert alone == {name: expected[name] for name in alone}


def test_a_pipeline_of_a_few_lines_says_the_same(trained: Trained, tmp_path: Path) -> None:
    clips = trained.write(tmp_path / "clips")
    expected, translate = evaluated(trained, clips), TranslationPipeline(trained.policy)
    shutil.rmtree(clips / "stored")
    found = translate(str(clips), kind="npz")
    assert {each.clip: each.sentence for each in found} == expected
    assert all(each.logp < 0 for each in found)
    (alone,) = translate(str(clips / f"{found[0].clip}.npz"))
    assert alone.sentence == found[0].sentence
    (tmp_path / "me.npz").write_bytes(b"")
    with pytest.raises(BadClipError, match=r"me\.npz: .*an empty file"):
        translate(str(clips), str(tmp_path / "me.npz"))
    with pytest.raises(ConfigError, match="there is no policy here"):
        TranslationPipeline(str(tmp_path))


def test_log_probabilities_are_the_policys(trained: Trained, translate: Job, tmp_path: Path) -> None:
    """Token by token from the logits of the language model, without the chunked loss and its masks."""
    name = next(iter(trained.clips))
    out = tmp_path / "one.jsonl"
    assert translate(trained.write(tmp_path / "clips", name), "--out", out, "--set", "corpus.max_frames=1000")[0] == 0
    line = json.loads(out.read_text())
    stored = normalise(trained.clips[name]).astype(np.float16).astype(np.float32)
    policy = Policy.load(trained.policy)
    encoded = policy.model.encode(*pad_clips([stored]))
    generation = trained.config.evaluation.generation(1.0)
    with torch.no_grad():
        tokens = policy.model.generate(encoded, **generation)
        logits = policy.model.language_model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded.hidden),
            attention_mask=encoded.mask.long(),
            decoder_input_ids=tokens[:, :-1],
        ).logits[0]
    said = logits.log_softmax(-1).gather(-1, tokens[0, 1:, None])
    assert line["logp_per_token"] == pytest.approx(said.mean().item(), abs=1e-4)


def test_nothing_needs_ray(trained: Trained, tmp_path: Path) -> None:
    clip = trained.write(tmp_path, next(iter(trained.clips))) / f"{next(iter(trained.clips))}.npz"
    job = Path(__file__).parents[2] / "jobs" / "translate.py"
    program = (
        f"import runpy, sys\nsys.argv = ['translate', '--policy', {trained.policy!r}, {str(clip)!r}]\n"
        f"try:\n    runpy.run_path({str(job)!r}, run_name='__main__')\n"
        "except SystemExit as ended:\n    assert ended.code == 0\n"
        "assert 'ray' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_policy_decodes_as_its_run_did_or_as_its_own_folder_says(
    trained: Trained, translate: Job, tmp_path: Path
) -> None:
    assert config_of(trained.policy, None, []).evaluation == trained.config.evaluation
    assert config_of(trained.policy, None, []).corpus.max_frames == 32
    assert config_of(trained.policy, None, ["evaluation.num_beams=2"]).evaluation.num_beams == 2
    moved = shutil.copytree(trained.policy, tmp_path / "moved")
    own = json.loads((moved / "generation_config.json").read_text()) | {"num_beams": 3, "length_penalty": 0.5}
    (moved / "generation_config.json").write_text(json.dumps(own))
    config = config_of(str(moved), None, [])
    assert (config.evaluation.num_beams, config.evaluation.max_new_tokens) == (3, 12)
    assert length_penalty_of(str(moved), config, Console()) == 0.5
    tuned = ["--set", "evaluation.length_penalty=tune", trained.write(tmp_path / "clips")]
    code, _, said = translate(*tuned)
    assert code == 2
    assert "the stage translation is not done" in said
