"""Policies that translate clips as Ray Data actors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from signdpo.config import Config
from signdpo.data.rows import Columns, clips_of
from signdpo.evaluation.systems import column_of
from signdpo.models.batch import pad_clips
from signdpo.models.policy import Policy
from signdpo.storage.files import fetch_folder


class Translator:
    """Beam-search translation of clip rows by several policies at once, each loaded once an actor.

    Args:
        config: decoding settings.
        policies: system -> folder.
        penalties: system -> length penalties to translate with.
    """

    def __init__(self, config: Config, policies: Mapping[str, str], penalties: Mapping[str, Sequence[float]]) -> None:
        torch.set_num_threads(1)
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() and config.resources.use_gpu else "cpu")
        self.penalties = penalties
        self.policies = {name: Policy.load(fetch_folder(folder)) for name, folder in policies.items()}
        for policy in self.policies.values():
            policy.model.to(self.device)

    @torch.no_grad()
    def __call__(self, batch: Columns) -> Columns:
        """Clip rows -> `id`, `text` and a column of hypotheses for each system and length penalty."""
        keypoints, mask = pad_clips(clips_of(batch), self.device)
        columns = {"id": batch["id"], "text": batch["text"]}
        for name, policy in self.policies.items():
            encoded = policy.model.encode(keypoints, mask)
            for penalty in self.penalties[name]:
                ids = policy.model.generate(encoded, **self.config.evaluation.generation(penalty))
                columns[column_of(name, penalty)] = np.array(policy.decode(ids))
        return columns
