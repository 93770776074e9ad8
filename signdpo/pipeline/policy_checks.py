"""The policy a run starts from: whether it is there and fits, and which one it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from signdpo.config import Config, ConfigError
from signdpo.corpora.registry import open_source
from signdpo.models.encoders.base import encoder_settings
from signdpo.models.hub import load_pretrained
from signdpo.models.policy import UNI_SIGN, uni_sign_of
from signdpo.models.uni_sign_checkpoint import open_uni_sign
from signdpo.storage.files import exists, fetch_folder, join, read_json

MAX_UNKNOWN_SHARE = 0.05  # of the training text's tokens; more, and the tokenizer is of another language
CHECKED_SENTENCES = 2000


def check_policy(config: Config) -> None:
    """Raise `ConfigError` if the configuration names a policy that is not there or does not fit.

    A Uni-Sign checkpoint is checked whole, its weights unread: no corpus is prepared for one that cannot be used.
    """
    init = config.policy.init
    named = uni_sign_of(config)
    if named is not None:
        open_uni_sign(*named)
    elif init is None:
        encoder_settings(config.policy.encoder.model_dump(mode="json"))
    elif not exists(join(init, "config.json")):
        raise ConfigError(
            f"policy.init={init}: there is no policy here (no config.json); name a folder that Policy.save wrote, for "
            f"example another run's align/policy, or {UNI_SIGN}FILE for a checkpoint of the Uni-Sign release"
        )


def check_language(config: Config) -> None:
    """Raise `ConfigError` if a policy or tokenizer that the configuration names is not for the corpus' sentences.

    The labels alone are read, no clip. A tokenizer that is trained on the corpus always fits.
    """
    init = config.policy.init
    if init is not None and uni_sign_of(config) is None:
        trained = read_json(join(init, "config.json")).get("language", config.corpus.language)
        if trained != config.corpus.language:
            raise ConfigError(
                f"policy.init={init} translates into {trained}, and corpus.language={config.corpus.language}: name a "
                "policy of that language, or set corpus.language to that of the corpus' sentences"
            )
    tokenizers = list(_named_tokenizers(config))
    if not tokenizers:
        return
    entries = open_source(config.corpus).entries("train")[: config.corpus.limit]
    texts = [entry.text for entry in entries[:CHECKED_SENTENCES]]
    for key, path in tokenizers:
        check_tokenizer(load_pretrained(AutoTokenizer, path, key), texts, f"{key}={path}", config.corpus.language)


def _named_tokenizers(config: Config) -> Iterator[tuple[str, str]]:
    """Key and place of each tokenizer that the run takes from elsewhere."""
    init, language_model, perturber = config.policy.init, config.policy.language_model.path, config.negatives.perturber
    if init is not None and uni_sign_of(config) is None:
        yield "policy.init", fetch_folder(init)
    elif language_model is not None:
        yield "policy.language_model.path", language_model
    if perturber.path is not None and perturber.kind == "learned":
        yield "negatives.perturber.path", perturber.path


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], named: str, language: str) -> None:
    """Raise `ConfigError` if too much of the corpus' text is unknown to a tokenizer.

    Args:
        tokenizer: to be checked.
        texts: sentences of the corpus.
        named: the key that names the tokenizer and its value, for the message.
        language: the corpus is said to be in, for the message.
    """
    ids = [token for sentence in tokenizer(list(texts))["input_ids"] for token in sentence] if texts else []
    unknown = sum(token == tokenizer.unk_token_id for token in ids) / max(len(ids), 1)
    if unknown > MAX_UNKNOWN_SHARE:
        raise ConfigError(
            f"{named}: its tokenizer does not know {unknown:.0%} of the tokens of the training sentences, such as "
            f"{texts[0]!r} (corpus.language={language}): name a policy or a language model of that language"
        )


def initial_places(config: Config) -> list[str]:
    """Folders and files that the configuration makes the policy of; none for a fresh one."""
    named = uni_sign_of(config)
    places = [config.policy.init, config.policy.language_model.path] if named is None else [named[1], named[0]]
    return [place for place in places if place is not None]
