"""The synthetic corpus as a source of clips."""

from __future__ import annotations

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.source import SPLITS, Entry
from signdpo.corpora.synthetic.grammar import sentences
from signdpo.corpora.synthetic.rendering import make_signer, render
from signdpo.skeleton.clip import BadClipError, Clip

VERSION = "synthetic/1"  # raise it whenever the same configuration gives other clips


class SyntheticSource:
    """A seeded corpus of an invented sign language, with English sentences.

    Training, development and test share no sentence, and the signers unless `signers_held_out` are kept out of
    training. A split that grows keeps its first clips, and the
    size of one split changes nothing in another.

    Args:
        corpus: its section `synthetic` counts: sizes, signers, noise and seed.

    Raises:
        ConfigError: for a language other than English.
    """

    def __init__(self, corpus: CorpusConfig) -> None:
        if corpus.language != "en":
            raise ConfigError(f"corpus.language={corpus.language}: the synthetic corpus is English, set it to en")
        self.config = corpus.synthetic
        self.language = corpus.language
        self.reading = f"{VERSION} {self.config.model_dump_json()}"

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
                signer=f"signer_{self._signer(split, index)}",
            )
            for index, sentence in enumerate(sentences(split, counts[split], self.config.seed))
        ]

    def _signer(self, split: str, index: int) -> int:
        """Training's are numbered from 0, those that it has not seen follow."""
        if split == "train" or not self.config.signers_held_out:
            return index % self.config.signers
        return self.config.signers + index % self.config.signers_held_out

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
