"""The synthetic corpus as a source of clips."""

from __future__ import annotations

import hashlib

from signdpo.config import SyntheticConfig
from signdpo.corpora.source import SPLITS, Entry
from signdpo.corpora.synthetic.grammar import sentences
from signdpo.corpora.synthetic.rendering import make_signer, render
from signdpo.skeleton.clip import BadClipError, Clip

VERSION = "synthetic/1"  # raise it whenever the same configuration gives other clips


class SyntheticSource:
    """A seeded corpus of an invented sign language, with English sentences.

    Training, development and test share the signers but no sentence. A split that grows keeps its first clips, and the
    size of one split changes nothing in another.

    Args:
        config: sizes, signers, noise and seed.
        language: of the sentences; only "en" exists.

    Raises:
        ValueError: for another language.
    """

    def __init__(self, config: SyntheticConfig, language: str = "en") -> None:
        if language != "en":
            raise ValueError(f"corpus.language is {language!r}, but the synthetic corpus is English: set it to en")
        self.config = config
        self.language = language

    def entries(self, split: str) -> list[Entry]:
        """List a split; the location of an entry, such as `train/12`, is the seed of its clip."""
        counts = dict(
            zip(SPLITS, (self.config.train_clips, self.config.dev_clips, self.config.test_clips), strict=True)
        )
        if split not in counts:
            raise ValueError(f"there is no split {split!r}; valid are {', '.join(SPLITS)}")
        return [
            Entry(
                id=f"{split}-{index:05d}",
                split=split,
                location=f"{split}/{index}",
                text=sentence.text,
                gloss=sentence.gloss,
                signer=f"signer_{index % self.config.signers}",
            )
            for index, sentence in enumerate(sentences(split, counts[split], self.config.seed))
        ]

    def read(self, entry: Entry) -> Clip:
        """Render a clip: keypoints `(frames, 69, 3)` float32 in image coordinates. See `rendering.render`."""
        try:
            split, index = entry.location.split("/")
            seed = [self.config.seed, 1 + SPLITS.index(split), int(index)]
            signer = make_signer(int(entry.signer.removeprefix("signer_")), self.config.seed)
            keypoints, spans = render(entry.gloss, signer, seed, self.config.noise)
        except ValueError as error:
            raise BadClipError(f"{entry.location} signed by {entry.signer!r}: {error}") from error
        return Clip(entry.id, entry.text, keypoints, entry.gloss, spans, entry.signer)

    def fingerprint(self) -> str:
        """A short hash of the configuration and the version of the synthetic language."""
        return hashlib.sha256(f"{VERSION} {self.config.model_dump_json()}".encode()).hexdigest()[:16]
