"""The kinds of corpora. A new reader is a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from signdpo.config import CorpusConfig
from signdpo.corpora.source import Source


def _synthetic(corpus: CorpusConfig) -> Source:
    from signdpo.corpora.synthetic.source import SyntheticSource

    return SyntheticSource(corpus.synthetic, corpus.language)


def _uni_sign(corpus: CorpusConfig) -> Source:
    from signdpo.corpora.uni_sign import UniSignSource

    return UniSignSource(str(corpus.root), corpus.language)


_KINDS: Final[dict[str, Callable[[CorpusConfig], Source]]] = {"synthetic": _synthetic, "uni_sign": _uni_sign}


def open_source(corpus: CorpusConfig) -> Source:
    """The reader that `corpus.kind` names. Nothing is read from the corpus yet."""
    return _KINDS[corpus.kind](corpus)
