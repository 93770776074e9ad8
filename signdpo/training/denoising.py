"""Sentences to be mended: what a language model learns its language from, where there are no clips.

Units are left out and put in another order, as BART (Lewis et al. 2020) was pretrained. A translator needs both: its
encoder finds some of the signs, in the order in which they were signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from signdpo.seeding import derive_seed
from signdpo.text.units import join_units, split_units

KEPT_SHARES: Final = (0.7, 0.4, 0.0)  # of the units, each as often: a third of the sentences is written from nothing
SHUFFLED: Final = 0.5  # share of the sentences whose units come in any order


def damaged(sentence: str, rng: np.random.Generator) -> str:
    """The sentence without some of its units, or their order; empty where none is left."""
    units = split_units(sentence)
    kept = np.flatnonzero(rng.random(len(units)) < rng.choice(KEPT_SHARES))
    if rng.random() < SHUFFLED:
        kept = rng.permutation(kept)
    return join_units([units[at] for at in kept])


def batch_bounds(sentences: int, *, batch_size: int) -> list[slice]:
    """The steps of an epoch, for any number of workers; less than half a batch at the end joins the one before."""
    begins = list(range(0, sentences, batch_size))
    if len(begins) > 1 and 2 * (sentences - begins[-1]) < batch_size:
        begins.pop()
    return [slice(begin, end) for begin, end in pairwise([*begins, sentences])]


def denoising_batches(
    epoch: int, sentences: Sequence[str], *, batch_size: int, seed: int
) -> list[tuple[list[str], list[str]]]:
    """The steps of an epoch, over all workers: damaged sentences, and the sentences. Each comes once.

    What becomes of a sentence depends on the seed, the epoch and its place alone.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(sentences)).tolist()
    batches = []
    for bounds in batch_bounds(len(order), batch_size=batch_size):
        rngs = [np.random.default_rng(derive_seed(seed, epoch, "denoising", row)) for row in order[bounds]]
        targets = [sentences[row] for row in order[bounds]]
        batches.append(([damaged(*pair) for pair in zip(targets, rngs, strict=True)], targets))
    return batches
