"""How clips are decoded: the beam search of the evaluation, the best few of it, or the candidate of least risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from signdpo.config import ConfigError
from signdpo.inference.minimum_risk import expected_chrf
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy
from signdpo.models.translator import Encoded
from signdpo.negatives.sentence.sampling import SeededSampling
from signdpo.seeding import derive_seed

Mbr = Literal["beams", "samples"]


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """What a clip is decoded with.

    Args:
        generation: keywords of transformers' `generate`, as the evaluation has them.
        n_best: translations a clip.
        mbr: whether they are chosen by expected chrF, and among what: all beams, each as probable as the policy has it,
            or draws from the policy.
        samples: draws a clip, with `mbr="samples"`.
        seed: of the draws.

    Raises:
        ConfigError: if fewer candidates are made than translations are asked for, or there is nothing to choose from.
    """

    generation: dict[str, Any]
    n_best: int = 1
    mbr: Mbr | None = None
    samples: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        made, option = (self.samples, "--samples") if self.mbr == "samples" else (self.num_beams, "--num-beams")
        if self.n_best < 1:
            raise ConfigError(f"--n-best {self.n_best} is no number of translations: expected 1 or more")
        if self.n_best > made:
            raise ConfigError(f"--n-best {self.n_best} is more than {option} {made} makes: raise {option}")
        if self.mbr and made < 2:
            raise ConfigError(f"--mbr {self.mbr} chooses among candidates, and {option} is {made}: raise it")

    @property
    def num_beams(self) -> int:
        return int(self.generation["num_beams"])

    def description(self) -> dict[str, Any]:
        """All that decides the sentences, as plain values."""
        if self.mbr != "samples":
            return {**self.generation, "n_best": self.n_best, "mbr": self.mbr}
        drawn = {"mbr": self.mbr, "samples": self.samples, "seed": self.seed}
        return {"max_new_tokens": self.generation["max_new_tokens"], "n_best": self.n_best, **drawn}


@dataclass(frozen=True)
class Hypothesis:
    """A translation, and its log-probability in nats per token, the end token among them."""

    sentence: str
    logp_per_token: float


@torch.no_grad()
def decode_clips(policy: Policy, encoded: Encoded, ids: Sequence[str], decoding: Decoding) -> list[list[Hypothesis]]:
    """The translations of each clip, the best first; fewer than `n_best` where draws are alike.

    Args:
        policy: the translator.
        encoded: the clips.
        ids: of the clips, which seed their draws: what is drawn depends on no other clip.
        decoding: how.
    """
    if decoding.mbr == "samples":
        draws = decoding.samples
        seeds = [derive_seed(decoding.seed, clip, draw) for clip in ids for draw in range(draws)]
        repeated = encoded.select(torch.arange(len(ids), device=encoded.hidden.device).repeat_interleave(draws))
        how = {"num_beams": 1, "do_sample": False, "max_new_tokens": decoding.generation["max_new_tokens"]}
        tokens = policy.model.generate(repeated, **how, logits_processor=[SeededSampling(seeds)])
    else:
        draws = decoding.num_beams if decoding.mbr else decoding.n_best
        tokens = policy.model.generate(encoded, **decoding.generation, num_return_sequences=draws)
    sentences, logps, lengths = policy.decode(tokens), *_logps(policy, encoded, tokens)
    found = []
    for begin in range(0, len(sentences), draws):
        span = slice(begin, begin + draws)
        of_clip = [Hypothesis(*pair) for pair in zip(sentences[span], logps[span] / lengths[span], strict=True)]
        if decoding.mbr:
            weights = np.ones(draws) if decoding.mbr == "samples" else np.exp(logps[span] - logps[span].max())
            of_clip = _least_risk(of_clip, weights)
        found.append(of_clip[: decoding.n_best])
    return found


def _least_risk(hypotheses: list[Hypothesis], weights: np.ndarray) -> list[Hypothesis]:
    """The distinct ones, the most like the others first."""
    gains = expected_chrf([each.sentence for each in hypotheses], weights.tolist())
    best: dict[str, Hypothesis] = {}
    for place in np.argsort(-gains, kind="stable"):
        best.setdefault(hypotheses[place].sentence, hypotheses[place])
    return list(best.values())


def _logps(policy: Policy, encoded: Encoded, tokens: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of each decoded row in nats, and its number of tokens, `(rows,)` both.

    Args:
        policy: the translator.
        encoded: the clips, of which each has the same number of rows.
        tokens: `(rows, tokens)` behind the decoder's start token, padded behind the end token.
    """
    labels = tokens[:, 1:].clone()
    ended = (labels == policy.tokenizer.eos_token_id).cumsum(-1) - (labels == policy.tokenizer.eos_token_id).long()
    labels[ended > 0] = IGNORED
    clips = torch.arange(len(encoded.hidden), device=labels.device).repeat_interleave(
        len(labels) // len(encoded.hidden)
    )
    logps = policy.model.logps(encoded.select(clips), labels)
    return logps.cpu().double().numpy(), (labels != IGNORED).sum(-1).clamp_min(1).cpu().numpy()
