"""A policy that translates clips in a few lines of Python, without Ray."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console

from signdpo.inference import settings
from signdpo.inference.clip_files import find_clips, with_ids
from signdpo.inference.decoding import Decoding
from signdpo.inference.reading import read_rows
from signdpo.inference.translator import ClipTranslator, TranslatorArguments
from signdpo.skeleton.clip import BadClipError


@dataclass(frozen=True)
class Translation:
    """A clip's sentence.

    Args:
        clip: its name, which tells it from the others of a call.
        sentence: the most likely translation.
        logp: log-probability a token, in nats.
    """

    clip: str
    sentence: str
    logp: float


class TranslationPipeline:
    """Translates clip files as `jobs/translate.py` does, and as the evaluation of the policy's run did.

    Args:
        policy: its folder, a local path or URI.
        overrides: `key=value` over the settings of its run, such as `evaluation.num_beams=1`.

    Raises:
        ConfigError: if there is no policy, or a setting is not valid.
    """

    def __init__(self, policy: str, overrides: Iterable[str] = ()) -> None:
        self.config = settings.config_of(policy, None, overrides)
        penalty = settings.length_penalty_of(policy, self.config, Console(stderr=True))
        decoding = Decoding(generation=self.config.evaluation.generation(penalty))
        self.translator = ClipTranslator(TranslatorArguments.of(self.config, policy, decoding))

    def __call__(self, *inputs: str, kind: str | None = None) -> list[Translation]:
        """The translation of every clip that these files and folders hold, in their order.

        Args:
            inputs: clips, or folders of clips, of any format that the readers know: local paths or URIs.
            kind: of all of them, as `corpus.kind`; None: as their files tell.

        Raises:
            ConfigError: if there is no clip.
            BadClipError: naming the file, if one makes no sense.
        """
        clips = with_ids(find_clips(inputs, kind)[0], {})
        rows = read_rows(clips, self.config.corpus)
        for clip, row in zip(clips, rows, strict=True):
            if row["reason"]:
                raise BadClipError(f"{clip.place}: {row['reason']}")
        best = [hypotheses[0] for hypotheses in self.translator(rows)]
        return [
            Translation(clip.id, each.sentence, each.logp_per_token) for clip, each in zip(clips, best, strict=True)
        ]
