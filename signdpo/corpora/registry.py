"""The kinds of corpora. A new reader is a file of its own and a line here."""

from __future__ import annotations

from typing import Final

from signdpo.config import CorpusConfig, look_up
from signdpo.corpora.source import Source

# kind -> "module:class"; the class is made from a `CorpusConfig`. Modules are imported when they are asked for.
KINDS: Final[dict[str, str]] = {
    "synthetic": "signdpo.corpora.synthetic.source:SyntheticSource",
    "uni_sign": "signdpo.corpora.uni_sign:UniSignSource",
    "csl_news": "signdpo.corpora.csl_news:CslNewsSource",
    "pose": "signdpo.corpora.pose_file:PoseFileSource",
    "openpose": "signdpo.corpora.openpose:OpenPoseSource",
    "npz": "signdpo.corpora.npz:NpzSource",
    "json": "signdpo.corpora.json_landmarks:JsonSource",
}


def open_source(corpus: CorpusConfig) -> Source:
    """The reader that `corpus.kind` names. Nothing is read from the corpus yet.

    Raises:
        ConfigError: if there is no such kind, or the reader cannot do what the section asks for.
    """
    source: Source = look_up(corpus.kind, KINDS, "corpus.kind", type)(corpus)
    return source
