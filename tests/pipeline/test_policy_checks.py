"""The policy a run starts from is checked before any work, and a replaced one is another."""

import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from support.fake_uni_sign import make_state, save_language_model

from signdpo.config import Config, ConfigError, load_config
from signdpo.pipeline.policy_checks import check_policy
from signdpo.pipeline.run import run
from signdpo.pipeline.stages.pretrain import Pretrain


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    config = save_language_model(tmp_path / "mt5")
    torch.save({"model": make_state(config)}, tmp_path / "best_checkpoint.pth")
    return tmp_path / "best_checkpoint.pth"


def starting_from(checkpoint: Path) -> Config:
    named = [f"policy.init=uni_sign:{checkpoint}", f"policy.language_model.path={checkpoint.parent / 'mt5'}"]
    return load_config(None, named)


def policy_files(config: Config) -> dict[str, Any]:
    return Pretrain().files(config)


def test_a_checkpoint_that_fits_passes(checkpoint: Path) -> None:
    check_policy(starting_from(checkpoint))


@pytest.mark.parametrize("broken", ["gone", "cut off", "without its mT5"])
def test_a_checkpoint_that_cannot_be_used_is_refused_before_any_work(
    broken: str, checkpoint: Path, tmp_path: Path
) -> None:
    config = starting_from(checkpoint)
    if broken == "gone":
        checkpoint.unlink()
    elif broken == "cut off":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    else:
        config = load_config(None, [f"policy.init=uni_sign:{checkpoint}"])
    messages = {"gone": "no such file", "cut off": "download it again", "without its mT5": r"language_model\.path is"}
    with pytest.raises(ConfigError, match=messages[broken]):
        run(config, str(tmp_path / "run"), Console(file=StringIO()))
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_named_like_a_folder_is_told_how_to_name_it(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no policy here.*uni_sign:FILE"):
        check_policy(load_config(None, [f"policy.init={checkpoint}"]))


@pytest.mark.parametrize("replaced", ["best_checkpoint.pth", "mt5/tokenizer.json"])
def test_a_file_replaced_under_its_name_makes_another_policy(replaced: str, checkpoint: Path) -> None:
    config = starting_from(checkpoint)
    before = policy_files(config)
    assert policy_files(config) == before
    file = checkpoint.parent / replaced
    os.utime(file, (1, 1))
    assert policy_files(config) != before


def test_a_replaced_policy_folder_makes_another_policy(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    config = load_config(None, [f"policy.init={tmp_path}"])
    before = policy_files(config)
    (tmp_path / "model.safetensors").write_text("{...}")
    assert policy_files(config) != before


def test_a_fresh_policy_depends_on_no_files() -> None:
    assert policy_files(load_config(None, [])) == {}
