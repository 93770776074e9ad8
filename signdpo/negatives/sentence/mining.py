"""Making the policy say wrong things: its failures are what the perturber learns from."""

from __future__ import annotations

import numpy as np
import torch

from signdpo.config import Config
from signdpo.config.negatives import MINING
from signdpo.data.rows import Columns, clips_of
from signdpo.levels import BY_NAME
from signdpo.models.batch import pad_clips, token_ids
from signdpo.models.policy import Policy
from signdpo.negatives.seeding import generator
from signdpo.negatives.sentence.sampling import sampled
from signdpo.negatives.skeleton.operations import Region, perturb, takes_donor
from signdpo.seeding import derive_seed
from signdpo.storage.files import fetch_folder


class HypothesisMiner:
    """Makes the policy say wrong things to clips it was trained on: its failures are the perturber's lessons.

    Each sentence is sampled, or taken from a random place of the beam, or sampled from a distorted clip: one operation
    of a global level on the whole clip, since a policy that has memorised its clips fails on nothing less. Which of the
    three derives from the run's seed, the clip's id and the number of the sentence.
    """

    def __init__(self, config: Config, policy: str) -> None:
        torch.set_num_threads(1)
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() and config.resources.use_gpu else "cpu")
        self.policy = Policy.load(fetch_folder(policy))
        self.policy.model.to(self.device)

    def __call__(self, batch: Columns) -> Columns:
        """Clip rows -> rows of `id`, `reference`, `hypothesis`, `source` and `right`, several a clip.

        A hypothesis is right if its token ids are the reference's: that is all that the policy can say of it.
        """
        clips = [torch.from_numpy(clip) for clip in clips_of(batch)]
        samples = self.config.negatives.perturber.samples_per_clip
        rows = np.repeat(np.arange(len(clips)), samples)
        ids = [str(batch["id"][row]) for row in rows]
        seeds = [derive_seed(self.config.seed, "mine", i, k % samples) for k, i in enumerate(ids)]
        sources = [self._draw_source(seed) for seed in seeds]
        hypotheses = [""] * len(rows)
        for source in set(sources):
            places = [place for place, drawn in enumerate(sources) if drawn == source]
            chosen = [clips[rows[place]] for place in places]
            spoken = self._speak(source, chosen, [seeds[place] for place in places])
            for place, sentence in zip(places, spoken, strict=True):
                hypotheses[place] = sentence
        references, limit = [str(batch["text"][row]) for row in rows], self.config.policy.max_text_tokens
        said, meant = (token_ids(self.policy.tokenizer, texts, max_tokens=limit) for texts in (hypotheses, references))
        return {
            "id": np.array(ids),
            "reference": np.array(references),
            "hypothesis": np.array(hypotheses),
            "source": np.array(sources),
            "right": np.array([one == other for one, other in zip(said, meant, strict=True)]),
        }

    def _draw_source(self, seed: int) -> str:
        shares = self.config.negatives.perturber.mining
        weights = torch.tensor([shares[source] for source in MINING], dtype=torch.float64)
        return MINING[int(torch.multinomial(weights, 1, generator=generator(seed, "source")))]

    def _speak(self, source: str, clips: list[torch.Tensor], seeds: list[int]) -> list[str]:
        """One sentence a clip."""
        decoding = self.config.evaluation
        if source == "perturbed":
            clips = [self._distort(clip, seed) for clip, seed in zip(clips, seeds, strict=True)]
        keypoints, mask = pad_clips(clips, self.device)
        if source == "beam":
            beams = decoding.num_beams
            ids = self.policy.model.translate(
                keypoints, mask, num_beams=beams, num_return_sequences=beams, max_new_tokens=decoding.max_new_tokens
            )
            ranks = torch.tensor([derive_seed(seed, "rank") % beams for seed in seeds], device=self.device)
            return self.policy.decode(ids[torch.arange(len(clips), device=self.device) * beams + ranks])
        return self.policy.decode(self.policy.model.translate(keypoints, mask, **sampled(seeds, self.config)))

    def _distort(self, clip: torch.Tensor, seed: int) -> torch.Tensor:
        negatives, rng = self.config.negatives, generator(seed, "distort")
        choices = [
            (weight, name, negatives.strength[level.name])
            for level in BY_NAME.values()
            if level.scope == "global"
            for name, weight in negatives.operations[level.name].items()
            if not takes_donor(name)  # a miner holds no other clips
        ]
        weights = torch.tensor([weight for weight, _, _ in choices], dtype=torch.float64)
        _, name, strength = choices[int(torch.multinomial(weights, 1, generator=rng))]
        return perturb(clip, name, Region.whole(len(clip)), strength, rng).half().float()
