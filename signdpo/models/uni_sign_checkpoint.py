"""Public Uni-Sign checkpoints (Li et al., ICLR 2025), those for poses alone, as policies of this project.

A checkpoint is `{"model": state dict}` of the skeleton encoder and an mT5, here under other names. What the release
stores more than once, since both hands and both ends of mT5 share a module, must agree and is read once.

Weights, prompt and decoding are Uni-Sign's, and so is the encoding of a clip alone. In a batch, Uni-Sign pads a clip
with copies of its last frame, and its three convolutions over five frames carry those copies into the last six frames
of the clip; here padding changes nothing.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from signdpo.config import ConfigError, StGcnConfig
from signdpo.models.hub import load_pretrained
from signdpo.models.language_model import HEAD_IS_TIED
from signdpo.models.translator import SignTranslator, SignTranslatorConfig

LANGUAGES: Final = {"zh": "Chinese", "en": "English", "de": "German"}  # code -> the word in Uni-Sign's prompt
PROMPT: Final = "Translate sign language video to {language}: "  # followed by the tokenizer's end token
DECODING: Final = {"num_beams": 4, "max_new_tokens": 100}

ENCODER: Final = StGcnConfig(
    standardize=False,
    joint_dim=64,
    spatial_channels=(64, 128, 256),
    joint_pooling="late",
    temporal_channels=256,
    temporal_strides=(1, 1, 1),
    temporal_kernel=5,
)

# Names here -> names there, one substitution after the other.
RENAMED: Final = (
    (r"^encoder\.part_embedding$", "part_para"),
    (r"^encoder\.project\.", "pose_proj."),
    (r"^encoder\.(\w+)\.lift\.", r"proj_linear.\1."),
    (r"^encoder\.(\w+)\.spatial\.(\d)\.", r"gcn_modules.\1.layer\2_0."),
    (r"^encoder\.(\w+)\.temporal\.(\d)\.", r"fusion_gcn_modules.\1.layer0_\2."),
    (r"\.graph\.adjacency$", ".gcn.A"),
    (r"\.graph\.norm\.", ".gcn.bn."),
    (r"\.graph\.", ".gcn.conv."),
    (r"\.shortcut\.", ".residual.0."),
    (r"\.shortcut_norm\.", ".residual.1."),
    (r"\.time\.", ".tcn.0."),
    (r"\.norm\.", ".tcn.1."),
    (r"^(\w+)\.hand\.", r"\1.right."),
    (r"^(\w+)\.face\.", r"\1.face_all."),
    (r"^language_model\.", "mt5_model."),
)

EMBEDDING: Final = "mt5_model.shared.weight"
HEAD: Final = "mt5_model.lm_head.weight"
EMBEDDING_COPIES: Final = ("mt5_model.encoder.embed_tokens.weight", "mt5_model.decoder.embed_tokens.weight")
LEFT_HAND: Final = re.compile(r"^(proj_linear|gcn_modules|fusion_gcn_modules)\.left\.")
RGB_PREFIXES: Final = ("rgb_support_backbone.", "rgb_proj.", "fusion_pose_rgb_", "fusion_gate.")
LANGUAGE_MODEL_PREFIXES: Final = ("mt5_model.", "pose_proj.")
LISTED: Final = 8  # names an error message lists before it counts


@dataclass(frozen=True)
class UniSignCheckpoint:
    """A checkpoint that fits: everything but the copying of its weights is done.

    Args:
        model: without memory for its weights.
        tokenizer: of the mT5.
        weights: by the model's names and in its shapes, as stored, still in the file where it can be mapped.
    """

    model: SignTranslator
    tokenizer: PreTrainedTokenizerBase
    weights: Mapping[str, Tensor]


def load_uni_sign(
    checkpoint: str | Path, language_model: str, language: str = "Chinese"
) -> tuple[SignTranslator, PreTrainedTokenizerBase]:
    """A pose-only Uni-Sign checkpoint as a float32 translator in evaluation mode, and its tokenizer.

    Args:
        checkpoint: a local `.pth` file. It is read as tensors only: a file that holds code is refused, never run.
        language_model: folder or hub name of the mT5 the checkpoint was trained with. Its config and tokenizer are
            used; its weights are in the checkpoint.
        language: the word in Uni-Sign's prompt, one of `LANGUAGES`' values.

    Raises:
        ConfigError: naming the file, what was found in it and the remedy.
    """
    opened = open_uni_sign(checkpoint, language_model, language)
    weights = {
        name: tensor.to(
            torch.float32 if tensor.is_floating_point() else tensor.dtype,
            copy=True,
            memory_format=torch.contiguous_format,
        )
        for name, tensor in opened.weights.items()
    }
    model = opened.model
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    model.language_model.generation_config = GenerationConfig(
        decoder_start_token_id=model.decoder_start,
        pad_token_id=model.language_model.config.pad_token_id,
        eos_token_id=model.language_model.config.eos_token_id,
        **DECODING,
    )
    return model.eval(), opened.tokenizer


def open_uni_sign(checkpoint: str | Path, language_model: str, language: str = "Chinese") -> UniSignCheckpoint:
    """Check everything about a checkpoint without copying its weights: a second or two where mT5 is mt5-base.

    Args and errors are those of `load_uni_sign`.
    """
    codes = {word: code for code, word in LANGUAGES.items()}
    if language not in codes:
        raise ConfigError(f"language={language}: Uni-Sign's prompt is known for {', '.join(codes)}")
    state = _read_state(checkpoint)
    _drop_copies(state, checkpoint)
    text_config = load_pretrained(AutoConfig, language_model)
    if text_config.model_type != "mt5":
        raise ConfigError(
            f"policy.language_model.path={language_model} is a model of type {text_config.model_type}; Uni-Sign "
            "checkpoints go with an mT5 (google/mt5-base for the public ones)"
        )
    tokenizer = load_pretrained(AutoTokenizer, language_model)
    if len(tokenizer) > text_config.vocab_size:
        raise ConfigError(
            f"policy.language_model.path={language_model}: its tokenizer has {len(tokenizer)} ids, its model only "
            f"{text_config.vocab_size}; the folder mixes files of two models, download it again"
        )
    text_config.dtype = torch.float32
    with torch.device("meta"):
        model = SignTranslator(
            SignTranslatorConfig(
                encoder=ENCODER.model_dump(mode="json"),
                language_model={**text_config.to_dict(), HEAD_IS_TIED: HEAD not in state},
                prompt_ids=tokenizer(PROMPT.format(language=language))["input_ids"],
                language=codes[language],
            )
        )
    return UniSignCheckpoint(model, tokenizer, _fit(state, model, checkpoint, language_model))


def _read_state(checkpoint: str | Path) -> dict[str, Tensor]:
    """The state dict of a file, without the prefix of data-parallel training."""
    if not Path(checkpoint).is_file():
        raise ConfigError(f"Uni-Sign checkpoint {checkpoint}: there is no such file; name a local .pth file")
    try:
        mappable = zipfile.is_zipfile(checkpoint)  # then names and shapes are seen without reading the weights
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=mappable)
    except Exception as error:  # a damaged file fails in ways that no list of exceptions covers
        raise ConfigError(f"Uni-Sign checkpoint {checkpoint} {_explain(error)}") from error
    state = content.get("model", content) if isinstance(content, dict) else content
    if not _is_state_dict(state):
        found = f"a dict of {_listed([*map(str, content)])}" if isinstance(content, dict) else type(content).__name__
        raise ConfigError(
            f"Uni-Sign checkpoint {checkpoint} holds {found}: expected {{'model': state dict}} or a state dict, as "
            "best_checkpoint.pth of the release has it"
        )
    prefix = "module."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _is_state_dict(state: object) -> bool:
    return (
        isinstance(state, dict)
        and len(state) > 0
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items())
    )


def _explain(error: Exception) -> str:
    """What is wrong with a file that torch cannot read, and what to do about it."""
    forbidden = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and forbidden:
        return (
            f"was refused and nothing in it was run: it holds {forbidden[1]}, and only tensors are read from a file of "
            "this kind, which could otherwise run any program. If you trust where it comes from, load it with torch "
            "yourself and save {'model': its state dict} alone"
        )
    detail = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"is damaged, cut off, or no PyTorch checkpoint: download it again ({detail[:120]})"


def _drop_copies(state: dict[str, Tensor], checkpoint: str | Path) -> None:
    """Leave one of what Uni-Sign shares, in place: the right hand, mT5's embedding, its head where that is its own."""
    different = []
    for name in list(state):
        original = EMBEDDING if name in EMBEDDING_COPIES else LEFT_HAND.sub(r"\1.right.", name)
        if original == name:
            continue
        copy = state.pop(name)
        if not _equal(copy, state.setdefault(original, copy)):
            different.append(name)
    if different:
        raise ConfigError(
            f"Uni-Sign checkpoint {checkpoint}: {_listed(different)} differ from what Uni-Sign shares them with (the "
            "right hand, mT5's embedding); no Uni-Sign model has such weights"
        )
    if HEAD in state and EMBEDDING in state and _equal(state[HEAD], state[EMBEDDING]):
        del state[HEAD]


def _equal(first: Tensor, second: Tensor) -> bool:
    if first.is_set_to(second):  # the same memory: a vocabulary's worth need not be compared
        return True
    return first.dtype == second.dtype and torch.equal(first, second)


def _fit(
    state: dict[str, Tensor], model: SignTranslator, checkpoint: str | Path, language_model: str
) -> dict[str, Tensor]:
    """The state dict under the model's names and in its shapes. Raises `ConfigError` unless it fits exactly."""
    rgb = [name for name in state if name.startswith(RGB_PREFIXES)]
    if rgb:
        raise ConfigError(
            f"Uni-Sign checkpoint {checkpoint} is for video and poses together (it has {_listed(rgb)}): only "
            "checkpoints for poses alone are supported; the release has one for each corpus"
        )
    wanted = {
        _released_name(name): (name, tensor.shape)
        for name, tensor in model.state_dict().items()
        if name not in model.all_tied_weights_keys
    }
    problems: dict[str, list[str]] = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted],
        "of another shape": [],
    }
    for name, target in wanted.items():
        expected = _released_shape(*target)
        if name in state and state[name].shape != expected:
            problems["of another shape"].append(f"{name} {tuple(state[name].shape)} (expected {expected})")
    if any(problems.values()):
        raise ConfigError(_misfit(problems, checkpoint, language_model))
    return {ours: state[name].reshape(shape) for name, (ours, shape) in wanted.items()}


def _released_name(name: str) -> str:
    """What Uni-Sign calls a weight of a `SignTranslator`."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _released_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape Uni-Sign stores it in: its maps of the channels are 1 x 1 convolutions, all partitions in one."""
    if ".graph.weight" in name:
        return (shape[0] * shape[1], shape[2], 1, 1)
    if ".graph.bias" in name:
        return (shape[0] * shape[1],)
    return (*shape, 1, 1) if ".shortcut.weight" in name else tuple(shape)


def _misfit(problems: dict[str, list[str]], checkpoint: str | Path, language_model: str) -> str:
    found = "; ".join(f"{len(names)} {problem}: {_listed(names)}" for problem, names in problems.items() if names)
    if any(name.startswith(LANGUAGE_MODEL_PREFIXES) for names in problems.values() for name in names):
        remedy = (
            f"policy.language_model.path={language_model} must be the mT5 that the checkpoint was trained with "
            "(google/mt5-base for the public ones)"
        )
    else:
        remedy = "name a pose-only checkpoint of the Uni-Sign release"
    return f"Uni-Sign checkpoint {checkpoint} does not fit: {found}. Remedy: {remedy}"


def _listed(names: Collection[str]) -> str:
    first = ", ".join(list(names)[:LISTED])
    return first if len(names) <= LISTED else f"{first} and {len(names) - LISTED} more"
