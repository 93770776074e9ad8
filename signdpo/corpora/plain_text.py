"""Sentences without clips, which a language model learns its language from."""

from __future__ import annotations

from typing import Final

from signdpo.config import Config, ConfigError
from signdpo.config.policy import GRAMMAR
from signdpo.corpora.synthetic.grammar import sentences
from signdpo.foreign.files import read_text
from signdpo.skeleton.clip import BadClipError

KEY: Final = "policy.language_model.pretrain_text"
GRAMMAR_SENTENCES: Final = 20_000  # of the embedded language, all of its training split
MAX_TEXT_BYTES: Final = 1024**3
MAX_SENTENCES: Final = 10_000_000


def read_sentences(config: Config) -> list[str]:
    """The sentences of the text that the configuration names, each once, in their order; blank lines are left out.

    Raises:
        ConfigError: if there is no such file, it is no text, or it holds no sentence.
    """
    text = str(config.policy.language_model.pretrain_text)
    if text == GRAMMAR:
        return [sentence.text for sentence in sentences("train", GRAMMAR_SENTENCES, config.corpus.synthetic.seed)]
    try:
        lines = read_text(text, MAX_TEXT_BYTES, lines=MAX_SENTENCES).split("\n")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{KEY}={text}: there is no such file; name a text file, a sentence a line, or {GRAMMAR}"
        ) from error
    except BadClipError as error:
        raise ConfigError(f"{KEY}: {error}") from error
    found = list(dict.fromkeys(line for line in map(str.strip, lines) if line))
    if not found:
        raise ConfigError(f"{KEY}={text}: holds no sentence")
    return found
