"""Policies that translate clips, and tell right from wrong, as Ray Data actors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch

from signdpo.config import Config
from signdpo.data.rows import Columns, clips_of
from signdpo.evaluation.discrimination import Pair, distortion, margins
from signdpo.evaluation.foils import Foils
from signdpo.evaluation.systems import column_of, margins_of
from signdpo.models.batch import pad_clips
from signdpo.models.policy import Policy
from signdpo.negatives.skeleton.donors import NO_DONORS, DonorPool
from signdpo.storage.files import fetch_folder

DONORS: Final = 64
DONOR_SEED: Final = 0  # the same donors in every run on the same clips


class Translator:
    """Beam-search translation and minimal pairs of clip rows for several policies, each loaded once an actor.

    Args:
        config: decoding settings.
        policies: system -> folder.
        penalties: system -> length penalties to translate with.
        foils: wrong sentences; clips that are not in it have no minimal pairs.
        clips: folder of the ingested clips, where donors come from.
    """

    def __init__(
        self,
        config: Config,
        policies: Mapping[str, str],
        penalties: Mapping[str, Sequence[float]],
        foils: Foils,
        clips: str,
    ) -> None:
        torch.set_num_threads(1)
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() and config.resources.use_gpu else "cpu")
        self.penalties, self.foils = penalties, foils
        self.policies = {name: Policy.load(fetch_folder(folder)) for name, folder in policies.items()}
        said_by: dict[tuple[str, tuple[float, ...]], str] = {}
        self.speakers: dict[str, str] = {}  # system -> the first of its weights: a control may be the baseline
        for name, policy in self.policies.items():
            policy.model.to(self.device)
            self.speakers[name] = said_by.setdefault((policy.hash(), tuple(penalties[name])), name)
        self.donors = NO_DONORS
        if foils:
            self.donors = DonorPool.load(clips, count=DONORS, seed=DONOR_SEED, max_frames=config.corpus.max_frames)

    @torch.no_grad()
    def __call__(self, batch: Columns) -> Columns:
        """Clip rows -> `id`, `text` and, for each system, a column of translations for each length penalty.

        Of minimal pairs there are `kinds` and `foils`, lists of strings, and a column of margins for each system.
        """
        clips = clips_of(batch)
        texts = [str(text) for text in batch["text"]]
        pairs = [self._pairs(*row) for row in zip(map(str, batch["id"]), texts, clips, strict=True)]
        columns = {
            "id": batch["id"],
            "text": batch["text"],
            "kinds": [[pair.kind for pair in of_clip] for of_clip in pairs],
            "foils": [[pair.foil for pair in of_clip] for of_clip in pairs],
        }
        keypoints, mask = pad_clips(clips, self.device)
        limit, size = self.config.policy.max_text_tokens, self.config.evaluation.batch_size
        for name, policy in self.policies.items():
            if (speaker := self.speakers[name]) != name:
                columns |= {column_of(name, each): columns[column_of(speaker, each)] for each in self.penalties[name]}
                columns[margins_of(name)] = columns[margins_of(speaker)]
                continue
            encoded = policy.model.encode(keypoints, mask)
            for penalty in self.penalties[name]:
                ids = policy.model.generate(encoded, **self.config.evaluation.generation(penalty))
                columns[column_of(name, penalty)] = np.array(policy.decode(ids))
            columns[margins_of(name)] = margins(policy, encoded, texts, pairs, max_tokens=limit, batch_size=size)
        return columns

    def _pairs(self, clip: str, text: str, keypoints: np.ndarray) -> list[Pair]:
        if clip not in self.foils:
            return []
        sentences = [Pair(kind, sentence) for kind, of_kind in self.foils[clip].items() for sentence in of_kind]
        return [*sentences, *distortion(clip, text, torch.from_numpy(keypoints), self.donors)]
