"""Policies that translate clips as Ray Data actors."""

from __future__ import annotations

import numpy as np
import torch

from signdpo.config import Config
from signdpo.data.rows import Columns, clips_of
from signdpo.models.batch import pad_clips
from signdpo.models.policy import Policy
from signdpo.storage.files import fetch_folder


class Translator:
    """Beam-search translation of clip rows by several policies at once, each loaded once an actor.

    Args:
        config: decoding settings.
        policies: column name -> folder.
    """

    def __init__(self, config: Config, policies: dict[str, str]) -> None:
        torch.set_num_threads(1)
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() and config.resources.use_gpu else "cpu")
        self.policies = {name: Policy.load(fetch_folder(folder)) for name, folder in policies.items()}
        for policy in self.policies.values():
            policy.model.to(self.device)

    def __call__(self, batch: Columns) -> Columns:
        """Clip rows -> `id`, `text` and one column of hypotheses a policy."""
        keypoints, mask = pad_clips(clips_of(batch), self.device)
        settings = self.config.evaluation
        columns = {
            name: np.array(
                policy.decode(
                    policy.model.translate(
                        keypoints, mask, num_beams=settings.num_beams, max_new_tokens=settings.max_new_tokens
                    )
                )
            )
            for name, policy in self.policies.items()
        }
        return {"id": batch["id"], "text": batch["text"], **columns}
