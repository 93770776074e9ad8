"""The presets run as they are, on a small corpus and a small mT5 in the places of the real ones."""

from __future__ import annotations

import gzip
import pickle
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from transformers import MT5Config, MT5ForConditionalGeneration

from signdpo.config import CorpusConfig, SyntheticConfig, load_config
from signdpo.corpora.registry import open_source
from signdpo.models.policy import Policy, build_policy
from signdpo.models.tokenizer import train_tokenizer
from signdpo.pipeline.run import run
from signdpo.skeleton.layout import COCO_WHOLEBODY_133
from signdpo.storage.files import read_json

PRESETS = Path(__file__).parents[2] / "jobs" / "configs"
SIGNED = CorpusConfig(synthetic=SyntheticConfig(train_clips=16, dev_clips=4, test_clips=4))
FEW_STEPS = [
    "corpus.max_frames=24",
    "pretrain.epochs=1",
    "pretrain.batch_size=8",
    "negatives.perturber.mine_clips=8",
    "negatives.perturber.epochs=1",
    "negatives.perturber.copy_epochs=1",
    "negatives.perturber.min_chrf=0",
    "negatives.perturber.min_fluency=-100",
    "negatives.hardness.skeleton.min_margin=-1000",
    "dpo.batch_size=8",
    "evaluation.max_new_tokens=12",
    "evaluation.bootstrap_samples=20",
    "resources.use_gpu=false",
    "resources.gpus_per_generator=0",
    "resources.cpus_per_worker=1",
    "resources.cpus_per_pretrain_worker=2",
    "resources.cpus_per_generator=0.5",
    "resources.generators=[1, 1]",
]


def write_release(root: Path, splits: tuple[str, ...]) -> None:
    """A corpus in the layout of the Uni-Sign release, signed by the synthetic signers."""
    source = open_source(SIGNED)
    (root / "pose_format").mkdir(parents=True)
    for split in splits:
        labels = {}
        for entry in source.entries(split):
            clip = source.read(entry).keypoints
            whole = np.zeros((len(clip), 1, 133, 3), np.float32)
            whole[:, 0, COCO_WHOLEBODY_133] = clip
            pose = {"keypoints": list(whole[..., :2]), "scores": list(whole[..., 2])}
            (root / "pose_format" / f"{entry.id}.pkl").write_bytes(pickle.dumps(pose))
            labels[entry.id] = {"name": entry.id, "text": entry.text, "gloss": "", "video_path": f"{entry.id}.mp4"}
        (root / f"labels.{split}").write_bytes(gzip.compress(pickle.dumps(labels)))


def write_small_mt5(folder: Path) -> None:
    """What `google/mt5-base` is, only small: gated GELU, an output layer of its own, a tokenizer beside it."""
    source = open_source(SIGNED)
    texts = [entry.text for entry in source.entries("train")] + ["Translate sign language video to Chinese: English: "]
    tokenizer = train_tokenizer(texts, vocab_size=200)
    config = MT5Config(
        vocab_size=len(tokenizer) + 7,  # mT5's embedding has more rows than its tokenizer has tokens
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        initializer_factor=0.1,  # else an untrained model says one token only
    )
    model = MT5ForConditionalGeneration(config)
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")  # transformers ties what it makes, the real mT5 is not tied
    weights["lm_head.weight"] = 0.1 * torch.randn_like(model.lm_head.weight)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("presets")
    write_small_mt5(root / "mt5")
    write_release(root / "csl_daily", ("train", "dev", "test"))
    return {path.name: path for path in root.iterdir()}


@pytest.mark.parametrize("preset", ["csl_daily", "how2sign", "openasl"])
def test_a_preset_builds_the_peers_encoder_around_any_mt5(places: dict[str, Path], preset: str) -> None:
    overrides = ["corpus.root=/data", f"policy.language_model.path={places['mt5']}"]
    config = load_config(PRESETS / f"{preset}.yaml", overrides)
    policy = build_policy(config, [])
    assert policy.model.encoder.stride == 1
    assert policy.model.encoder.project.weight.shape == (32, 4 * 256)
    generation = policy.model.language_model.generation_config
    assert (generation.num_beams, generation.max_new_tokens) == (4, 100)
    assert (config.corpus.max_frames, config.pretrain.precision, config.dpo.precision) == (256, "bfloat16", "bfloat16")


@pytest.mark.long
@pytest.mark.usefixtures("ray_cluster")
def test_a_preset_runs_on_a_small_corpus_with_a_small_mt5(places: dict[str, Path], tmp_path: Path) -> None:
    own = [f"corpus.root={places['csl_daily']}", f"policy.language_model.path={places['mt5']}"]
    config = load_config(PRESETS / "csl_daily.yaml", [*FEW_STEPS, *own])
    run(config, str(tmp_path), Console(file=StringIO(), width=200))
    scores: dict[str, Any] = read_json(str(tmp_path / "evaluation" / "aligned.json"))
    assert "protocol:csl_daily" in scores["dev"]["signature"]
    aligned = Policy.load(tmp_path / "align" / "policy")
    language_model = aligned.model.language_model
    assert language_model.config.model_type == "mt5"
    assert language_model.lm_head.weight.data_ptr() != language_model.shared.weight.data_ptr()
    assert aligned.decode(torch.tensor([aligned.model.config.prompt_ids])) == [config.policy.prompt.strip()]
