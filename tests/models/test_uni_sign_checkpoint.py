"""Uni-Sign checkpoints in every form they come in, and an answer to every file that is not one."""

import argparse
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
from support.fake_uni_sign import TEXTS, make_state, save_language_model
from torch import Tensor
from transformers import BertConfig

from signdpo.config import ConfigError, load_config
from signdpo.models.batch import pad_clips
from signdpo.models.policy import Policy, build_policy
from signdpo.models.translator import SignTranslator


@pytest.fixture(scope="module")
def mt5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mt5")
    save_language_model(folder)
    return folder


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return make_state(save_language_model(tmp_path_factory.mktemp("mt5")))


@pytest.fixture(scope="module")
def checkpoint(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save({"model": state}, tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def policy(checkpoint: Path, mt5: Path) -> Policy:
    return Policy.from_uni_sign(checkpoint, str(mt5))


def save(content: object, folder: Path) -> Path:
    torch.save(content, folder / "best_checkpoint.pth")
    return folder / "best_checkpoint.pth"


def test_padding_changes_nothing(policy: Policy) -> None:
    rng = np.random.default_rng(1)
    clips = [rng.normal(size=(length, 69, 3)).astype(np.float32) for length in (37, 20, 1, 5)]
    keypoints, mask = pad_clips(clips)
    keypoints[~mask] = 1e3  # what lies in padding must not matter
    together = policy.model.encode(keypoints, mask)
    labels = torch.arange(3, 11).repeat(len(clips), 1)
    logps = policy.model.logps(together, labels)
    assert together.stride == 1
    assert together.hidden.shape[1] == together.prompt_length + 37
    for row, clip in enumerate(clips):
        alone = policy.model.encode(*pad_clips([clip]))
        positions = alone.hidden.shape[1]
        torch.testing.assert_close(alone.hidden[0], together.hidden[row, :positions], atol=1e-4, rtol=0)
        torch.testing.assert_close(policy.model.logps(alone, labels[:1])[0], logps[row], atol=1e-4, rtol=1e-5)


def test_an_output_projection_of_its_own_is_kept(policy: Policy, state: dict[str, Tensor], tmp_path: Path) -> None:
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path)
    keypoints, mask = pad_clips([np.ones((9, 69, 3), np.float32)])
    labels = torch.arange(3, 11)[None]
    for each in (policy, loaded):
        language_model = each.model.language_model
        assert torch.equal(language_model.lm_head.weight, state["mt5_model.lm_head.weight"].float())
        assert torch.equal(language_model.shared.weight, state["mt5_model.shared.weight"].float())
        language_model.tie_weights()  # transformers ties the head of an mT5, whatever was saved
        assert not torch.equal(language_model.lm_head.weight, language_model.shared.weight)
    assert loaded.hash() == policy.hash()
    encoded = policy.model.encode(keypoints, mask)
    assert torch.equal(loaded.model.logps(encoded, labels), policy.model.logps(encoded, labels))
    beams = {"num_beams": 4, "max_new_tokens": 12}
    assert torch.equal(
        loaded.model.translate(keypoints, mask, **beams), policy.model.translate(keypoints, mask, **beams)
    )
    decoding = loaded.model.language_model.generation_config
    assert (decoding.num_beams, decoding.max_new_tokens) == (4, 100)


def test_a_shared_output_projection_stays_shared(tmp_path: Path) -> None:
    checkpoint = save({"model": make_state(save_language_model(tmp_path), tied_head=True)}, tmp_path)
    model = Policy.from_uni_sign(checkpoint, str(tmp_path)).model
    model.save_pretrained(tmp_path / "saved")
    for each in (model, SignTranslator.from_pretrained(tmp_path / "saved")):
        assert each.language_model.lm_head.weight is each.language_model.shared.weight


def test_importing_draws_no_weights_and_needs_none_of_mt5(checkpoint: Path, mt5: Path) -> None:
    assert not list(mt5.glob("*.safetensors"))
    before = torch.random.get_rng_state()
    model = Policy.from_uni_sign(checkpoint, str(mt5)).model
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda state: state,
        lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {"model": {name: tensor for name, tensor in state.items() if "embed_tokens" not in name}},
        lambda state: {"model": {name: tensor for name, tensor in state.items() if ".right." not in name}},
        lambda state: {"model": {name: tensor.clone() for name, tensor in state.items()}, "epoch": 7},
    ],
    ids=["bare", "data-parallel", "embedding once", "one hand", "copies"],
)
def test_variants_of_the_format_are_the_same_policy(
    rewrite: Callable[[dict[str, Tensor]], object], state: dict[str, Tensor], policy: Policy, mt5: Path, tmp_path: Path
) -> None:
    assert Policy.from_uni_sign(save(rewrite(state), tmp_path), str(mt5)).hash() == policy.hash()


class Hostile:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_a_file_that_holds_code_is_refused_and_not_run(mt5: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    checkpoint = save({"model": {"part_para": Hostile(trace)}}, tmp_path)
    with pytest.raises(ConfigError, match=r"best_checkpoint\.pth was refused and nothing in it was run.*posix\.mkdir"):
        Policy.from_uni_sign(checkpoint, str(mt5))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}}, "holds a dict of model: expected"),
        ({"epoch": 3, "optimizer": {}}, "holds a dict of epoch, optimizer: expected"),
        ([torch.zeros(2)], "holds list: expected"),
        ({"model": {"a": torch.zeros(1)}, "args": argparse.Namespace()}, r"holds argparse\.Namespace.*save \{'model'"),
        ({"model": {"a": torch.zeros(1), "rgb_proj.weight": torch.zeros(1)}}, "for video and poses together"),
    ],
)
def test_a_file_of_another_kind_is_named(content: object, message: str, mt5: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        Policy.from_uni_sign(save(content, tmp_path), str(mt5))


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.999])
def test_a_download_that_was_cut_off_is_named(keep: float, checkpoint: Path, mt5: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    cut = tmp_path / "cut.pth"
    cut.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(ConfigError, match=r"cut\.pth is damaged, cut off, or no PyTorch checkpoint: download it again"):
        Policy.from_uni_sign(cut, str(mt5))
    with pytest.raises(ConfigError, match="nowhere: there is no such file"):
        Policy.from_uni_sign(tmp_path / "nowhere", str(mt5))


def test_missing_and_unexpected_weights_are_listed_and_counted(
    state: dict[str, Tensor], mt5: Path, tmp_path: Path
) -> None:
    kept = {name: tensor for name, tensor in state.items() if "running_mean" not in name}
    checkpoint = save({"model": kept | {"extra": torch.zeros(1)}}, tmp_path)
    with pytest.raises(ConfigError) as caught:
        Policy.from_uni_sign(checkpoint, str(mt5))
    message = str(caught.value)
    norms = 3 * (3 + 2 + 3 + 3)  # three parts; a graph's in each of six blocks, two shortcuts', three convolutions'
    assert f"{norms} missing: " in message
    assert f" and {norms - 8} more; 1 unexpected: extra." in message
    assert message.count("running_mean") == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 500}, r"shape: mt5_model\.shared\.weight \(\d+, 32\) \(expected \(500, 32\)\)"),
        ({"d_model": 64}, r"shape: mt5_model\.shared\.weight \((\d+), 32\) \(expected \(\1, 64\)\)"),
        ({"num_layers": 3}, r"\d+ missing: mt5_model\.encoder\.block\.2.* must be the mT5 that .*google/mt5-base"),
        ({"vocab_size": 9}, r"its tokenizer has \d+ ids, its model only 9"),
    ],
)
def test_another_mt5_than_the_checkpoints_is_named(
    settings: dict[str, int], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    save_language_model(tmp_path, **settings)
    with pytest.raises(ConfigError, match=message) as caught:
        Policy.from_uni_sign(checkpoint, str(tmp_path))
    assert f"policy.language_model.path={tmp_path}" in str(caught.value)


def test_a_language_model_that_is_no_mt5_is_named(checkpoint: Path, tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"is a model of type bert; .* \(google/mt5-base"):
        Policy.from_uni_sign(checkpoint, str(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["gcn_modules.left.layer0_0.gcn.A", "mt5_model.encoder.embed_tokens.weight", "proj_linear.left.bias"],
)
def test_shared_weights_that_differ_are_refused(name: str, state: dict[str, Tensor], mt5: Path, tmp_path: Path) -> None:
    checkpoint = save({"model": state | {name: state[name] + 1}}, tmp_path)
    with pytest.raises(ConfigError, match=f"{re.escape(name)} differ from what Uni-Sign shares them with"):
        Policy.from_uni_sign(checkpoint, str(mt5))


@pytest.mark.parametrize(("code", "word"), [("zh", "Chinese"), ("en", "English"), ("de", "German")])
def test_configuration_names_checkpoint_mt5_and_language(code: str, word: str, checkpoint: Path, mt5: Path) -> None:
    named = [f"policy.init=uni_sign:{checkpoint}", f"corpus.language={code}"]
    policy = build_policy(load_config(None, [*named, f"policy.language_model.path={mt5}"]), [])
    assert policy.tokenizer.decode(policy.model.config.prompt_ids) == f"Translate sign language video to {word}: </s>"
    assert policy.model.config.language == code
    with pytest.raises(ConfigError, match=r"policy\.language_model\.path is missing"):
        build_policy(load_config(None, named), [])


def test_prompt_of_a_sentencepiece_file_is_sentencepieces_own(tmp_path: Path) -> None:
    """mT5 is published with a sentencepiece file alone, and Uni-Sign's prompt ends in a space."""
    config = save_language_model(tmp_path, vocab_size=60)
    (tmp_path / "tokenizer.json").unlink()
    settings = {"extra_ids": 0, "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "T5Tokenizer"}))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    model = Policy.from_uni_sign(save({"model": make_state(config)}, tmp_path), str(tmp_path)).model
    assert model.config.prompt_ids == [*pieces.encode("Translate sign language video to Chinese: "), pieces.eos_id()]


def test_a_language_without_a_prompt_is_named(checkpoint: Path, mt5: Path) -> None:
    with pytest.raises(ConfigError, match=r"language=Klingon: .* Chinese, English, German"):
        Policy.from_uni_sign(checkpoint, str(mt5), "Klingon")
