"""A policy as a folder: made from the configuration, saved, loaded, and identified by a hash of its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from signdpo.config import Config, ConfigError
from signdpo.models.encoders.base import encoder_settings
from signdpo.models.hub import load_pretrained
from signdpo.models.language_model import fresh_t5
from signdpo.models.tokenizer import train_tokenizer
from signdpo.models.translator import SignTranslator, SignTranslatorConfig
from signdpo.models.uni_sign_checkpoint import LANGUAGES, load_uni_sign
from signdpo.storage.files import fetch_folder

UNI_SIGN = "uni_sign:"  # in `policy.init`, before the path of a checkpoint
DESCRIPTIONS = ("config.json", "tokenizer_config.json", "generation_config.json")  # what a policy's folder says of it

transformers_logging.disable_progress_bar()  # a bar a saved shard floods a job's log


@dataclass(frozen=True)
class Policy:
    """A translator, its tokenizer, and what is needed to use both."""

    model: SignTranslator
    tokenizer: PreTrainedTokenizerBase

    def save(self, folder: str | Path) -> None:
        """Write a Hugging Face folder: config, safetensors, tokenizer, generation config."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.model.language_model.generation_config is not None:
            self.model.language_model.generation_config.save_pretrained(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Policy:
        """Load a Hugging Face folder in evaluation mode. Raises `ConfigError` where it is not a policy."""
        check_folder(folder)
        try:
            model = SignTranslator.from_pretrained(folder)
            model.language_model.generation_config = GenerationConfig.from_pretrained(folder)
            return cls(model.eval(), AutoTokenizer.from_pretrained(folder))
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"{folder} holds no whole policy: {error}") from error

    @classmethod
    def from_uni_sign(cls, checkpoint: str | Path, language_model: str, language: str = "Chinese") -> Policy:
        """A public Uni-Sign checkpoint, pose only, in evaluation mode; it decodes as Uni-Sign does, with 4 beams.

        Args:
            checkpoint: the `.pth` file.
            language_model: folder or hub name of the mT5 it was trained with, for its config and tokenizer alone.
            language: the word in Uni-Sign's prompt: `Chinese`, `English` or `German`.

        Raises:
            ConfigError: naming the file, what was found in it and the remedy.
        """
        return cls(*load_uni_sign(checkpoint, language_model, language))

    def decode(self, ids: Tensor) -> list[str]:
        """Token ids `(batch, tokens)` -> sentences, special tokens left out."""
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def hash(self) -> str:
        """A short hash of the weights: equal for equal weights, wherever and whenever they are loaded."""
        return hash_weights(self.model)


def check_folder(folder: str | Path) -> None:
    """Look at what a folder says it holds, before anything of it is loaded.

    Raises:
        ConfigError: if it is no policy, or one that brings code of its own, which would be run.
    """
    if not (Path(folder) / "config.json").is_file():
        raise ConfigError(f"{folder} holds no policy: there is no config.json in it")
    for file in (Path(folder) / name for name in DESCRIPTIONS):
        try:
            content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except ValueError as error:
            raise ConfigError(f"{file} is damaged: {error}") from error
        if "auto_map" in content:
            raise ConfigError(f"{file} names code of its own (auto_map), and no file may run code: take the key away")
        kind = content.get("model_type", SignTranslatorConfig.model_type)
        if file.name == "config.json" and kind != SignTranslatorConfig.model_type:
            raise ConfigError(f"{folder} holds no policy but a {kind}: name a folder such as runs/default/align/policy")


def hash_weights(model: torch.nn.Module) -> str:
    """SHA-256 over names and bytes of all parameters and persistent buffers, first 16 hex digits."""
    digest = hashlib.sha256()
    seen: set[int] = set()
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.data_ptr() in seen:  # tied weights count once, under their first name
            continue
        seen.add(tensor.data_ptr())
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def build_policy(config: Config, texts: Sequence[str], language_model: str | None = None) -> Policy:
    """A new policy: the one `policy.init` names, a folder or `uni_sign:` and a checkpoint, else with a fresh encoder.

    Args:
        config: the run's configuration.
        texts: the training sentences, for the offline tokenizer.
        language_model: folder of one and its tokenizer, in place of `policy.language_model.path`.

    Raises:
        ConfigError: if what the configuration names is not there or does not fit.
    """
    if config.policy.init is not None:
        named = uni_sign_of(config)
        return Policy.load(fetch_folder(config.policy.init)) if named is None else Policy.from_uni_sign(*named)
    torch.manual_seed(config.seed)
    path, pretrained = language_model or config.policy.language_model.path, None
    if path is not None:
        tokenizer = load_pretrained(AutoTokenizer, path)
        pretrained = load_pretrained(AutoModelForSeq2SeqLM, path)
        text_config = pretrained.config
    else:
        tokenizer = train_tokenizer(texts, vocab_size=config.policy.vocab_size)
        text_config = fresh_t5(config.policy.language_model, vocab_size=len(tokenizer), dropout=config.pretrain.dropout)
    prompt_ids = tokenizer(config.policy.prompt, add_special_tokens=False)["input_ids"] if config.policy.prompt else []
    model = SignTranslator(
        SignTranslatorConfig(
            encoder=encoder_settings(config.policy.encoder.model_dump(mode="json")).model_dump(mode="json"),
            language_model=text_config.to_dict(),
            prompt_ids=prompt_ids,
            language=config.corpus.language,
        ),
        pretrained,
    )
    model.language_model.generation_config = GenerationConfig(
        num_beams=config.evaluation.num_beams,
        max_new_tokens=config.evaluation.max_new_tokens,
        decoder_start_token_id=model.decoder_start,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Policy(model, tokenizer)


def uni_sign_of(config: Config) -> tuple[str, str, str] | None:
    """Checkpoint, mT5 and prompt language, where `policy.init` is `uni_sign:<checkpoint>`; else None.

    Raises:
        ConfigError: if the configuration does not say what goes with the checkpoint.
    """
    init, language_model = config.policy.init, config.policy.language_model.path
    if init is None or not init.startswith(UNI_SIGN):
        return None
    if language_model is None:
        raise ConfigError(
            f"policy.language_model.path is missing: policy.init={init} needs the config and the tokenizer of its mT5 "
            "(google/mt5-base for the public checkpoints, or a folder with a copy)"
        )
    language = LANGUAGES.get(config.corpus.language)
    if language is None:
        raise ConfigError(
            f"corpus.language={config.corpus.language}: Uni-Sign's prompt is known for {', '.join(LANGUAGES)}"
        )
    return init.removeprefix(UNI_SIGN), language_model, language
