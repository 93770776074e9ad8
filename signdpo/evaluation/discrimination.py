"""Minimal pairs: does a policy find the right one likelier than one that differs in a single place?

The sentence against foils (`signdpo.evaluation.foils`), given the clip; and the clip against itself with a local
distortion, given the sentence. Distortions are drawn at random, in places of their own and not where any policy looks,
and with operations that leave hands and movements such as people make: one that leaves traces would be told by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import Policy
from signdpo.models.translator import Encoded
from signdpo.negatives.seeding import generator, integer
from signdpo.negatives.skeleton.donors import DonorPool
from signdpo.negatives.skeleton.operations import perturb
from signdpo.negatives.skeleton.region import Region
from signdpo.skeleton.layout import PARTS

CLIPS: Final = "pairs_clips"
HANDS: Final = ("left_hand", "right_hand")
# A row is drawn for each clip, and one of its operations: another handshape or orientation; another movement or sign.
DISTORTIONS: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    (HANDS, ("transfer_handshape", "turn_hands")),
    (tuple(PARTS), ("splice", "swap_windows", "reverse")),
)
WINDOWS: Final = 2  # a distortion of a clip, one in each half of it
WINDOW_SHARE: Final = 6  # windows in a clip: about one sign each


@dataclass(frozen=True)
class Pair:
    """A wrong sentence or a distorted clip to be told from the right one.

    Args:
        kind: what differs; names the score.
        foil: wrong sentence, or operation that distorted the clip.
        keypoints: distorted clip `(frames, 69, 3)` float32; None for a sentence.
    """

    kind: str
    foil: str
    keypoints: Tensor | None = None


def distortion(clip: str, text: str, keypoints: Tensor, donors: DonorPool) -> list[Pair]:
    """A clip distorted in two places, the same for all systems and in every run; nothing where that changes nothing.

    Args:
        clip: its id.
        text: its sentence; a donor has another.
        keypoints: `(frames, 69, 3)` float32, normalised.
        donors: where foreign handshapes and signs come from.
    """
    rng = generator("minimal pairs", clip)
    parts, operations = DISTORTIONS[integer(rng, len(DISTORTIONS))]
    donor = donors.draw(clip, text, rng)
    half = len(keypoints) // WINDOWS
    length = min(half, max(3, len(keypoints) // WINDOW_SHARE))
    begins = [place * half + integer(rng, half - length + 1) for place in range(WINDOWS)]
    region = Region(tuple((begin, begin + length) for begin in begins), parts)
    for place in torch.randperm(len(operations), generator=rng).tolist():
        changed = perturb(keypoints, operations[place], region, 1.0, rng, donor).half().float()
        if not torch.equal(changed, keypoints):
            return [Pair(CLIPS, operations[place], changed)]
    return []


@torch.no_grad()
def margins(
    policy: Policy,
    encoded: Encoded,
    texts: Sequence[str],
    pairs: Sequence[Sequence[Pair]],
    *,
    max_tokens: int,
    batch_size: int,
) -> list[list[float]]:
    """log p of the right one less log p of the wrong one, in nats, of each pair of each clip.

    Args:
        policy: system, in evaluation mode.
        encoded: clips as it sees them.
        texts: their sentences.
        pairs: of each clip.
        max_tokens: of a sentence.
        batch_size: pairs that are scored at a time.
    """
    device = encoded.hidden.device

    def labels_of(sentences: Sequence[str]) -> Tensor:
        return tokenize(policy.tokenizer, sentences, max_tokens=max_tokens).to(device)

    right = policy.model.logps(encoded, labels_of(texts)).tolist()
    places = [(row, place) for row, of_clip in enumerate(pairs) for place in range(len(of_clip))]
    found = [[0.0] * len(of_clip) for of_clip in pairs]
    for are_clips in (False, True):
        chosen = [(row, place) for row, place in places if (pairs[row][place].keypoints is not None) == are_clips]
        for begin in range(0, len(chosen), batch_size):
            some = chosen[begin : begin + batch_size]
            rows = [row for row, _ in some]
            wrong = [pairs[row][place] for row, place in some]
            if are_clips:
                distorted = [pair.keypoints for pair in wrong if pair.keypoints is not None]
                seen, sentences = policy.model.encode(*pad_clips(distorted, device)), [texts[row] for row in rows]
            else:
                seen, sentences = encoded.select(torch.tensor(rows, device=device)), [pair.foil for pair in wrong]
            logps = policy.model.logps(seen, labels_of(sentences)).tolist()
            for (row, place), logp in zip(some, logps, strict=True):
                found[row][place] = right[row] - logp
    return found
