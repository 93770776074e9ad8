"""Do negatives hurt more where salience points? The log-probability they cost, guided and elsewhere, on equal area."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import numpy as np
import torch
from torch import Tensor

from signdpo.ablations.ratios import Ratio, ratio_of_means
from signdpo.config import Guidance, NegativesConfig
from signdpo.data.clips import keypoints_of
from signdpo.levels import BY_NAME
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy
from signdpo.negatives.seeding import generator
from signdpo.negatives.skeleton.donors import DonorPool
from signdpo.negatives.skeleton.guidance import area, region_of
from signdpo.negatives.skeleton.negative import ClipToPerturb
from signdpo.negatives.skeleton.operations import perturb
from signdpo.negatives.skeleton.salience import measure_salience

GUIDANCES: Final[tuple[Guidance, ...]] = get_args(Guidance)
LOCAL_LEVELS: Final = tuple(name for name, level in BY_NAME.items() if level.scope == "local")
MIXTURE: Final = "mixture"  # the operations of a level together, by their weights
BATCH: Final = 16


@dataclass(frozen=True)
class Cost:
    """What negatives of one kind cost the policy, over the clips that they change whatever the guidance.

    Attributes:
        level, operation: the kind; `MIXTURE` for all operations of the level.
        nats, per_token: guidance -> mean log-probability of the reference that is lost.
        area, changed: guidance -> joints, summed over frames, that may change and that do; means over clips.
        over_random, over_uniform: nats guided by attention over nats without.
    """

    level: str
    operation: str
    nats: dict[str, float]
    per_token: dict[str, float]
    area: dict[str, float]
    changed: dict[str, float]
    over_random: Ratio
    over_uniform: Ratio


@dataclass
class Negative:
    """One perturbed clip `(frames, 69, 3)` of a kind, and what it costs once that is known."""

    clip: int
    level: str
    operation: str
    guidance: str
    keypoints: Tensor = field(repr=False)
    area: int
    changed: int
    nats: float = 0.0
    per_token: float = 0.0


def score_guidance(
    policy: Policy,
    rows: Sequence[Mapping[str, Any]],
    config: NegativesConfig,
    max_tokens: int,
    *,
    seed: int,
    draws: int,
) -> Iterator[int | list[Cost]]:
    """Compare guidances pair by pair: yields how many clips are done, and in the end a `Cost` for each kind.

    Args:
        policy: in evaluation mode; it gives the salience and is what the negatives should hurt.
        rows: clips of any corpus.
        config: operations, strength, and the rule of salience; its own guidance plays no part.
        max_tokens: `policy.max_text_tokens`.
        seed: of the negatives.
        draws: negatives of each kind and guidance a clip.
    """
    negatives: list[Negative] = []
    donors = _donors(rows[: config.donors])
    by_length = sorted(range(len(rows)), key=lambda clip: rows[clip]["num_frames"])
    for begin in range(0, len(by_length), BATCH):
        batch = by_length[begin : begin + BATCH]
        negatives += _batch_negatives(policy, rows, batch, config, donors, max_tokens, seed, draws)
        yield begin + len(batch)
    kinds = [(level, name) for level in LOCAL_LEVELS for name in (*_weights(config, level), MIXTURE)]
    yield [cost for kind in kinds if (cost := _cost(negatives, *kind, config)) is not None]


def _weights(config: NegativesConfig, level: str) -> dict[str, float]:
    return {name: weight for name, weight in sorted(config.operations[level].items()) if weight > 0}


def _batch_negatives(
    policy: Policy,
    rows: Sequence[Mapping[str, Any]],
    batch: Sequence[int],
    config: NegativesConfig,
    donors: DonorPool,
    max_tokens: int,
    seed: int,
    draws: int,
) -> list[Negative]:
    """Make and score the negatives of a few clips; their keypoints are dropped."""
    device = policy.model.device
    clips = [torch.from_numpy(keypoints_of(rows[clip]["keypoints"], rows[clip]["num_frames"])) for clip in batch]
    labels = tokenize(policy.tokenizer, [rows[clip]["text"] for clip in batch], max_tokens=max_tokens).to(device)
    keypoints, mask = (tensor.to(device) for tensor in pad_clips(clips))
    eos_id = policy.tokenizer.eos_token_id
    salience = measure_salience(policy.model, keypoints, mask, labels, config.salience, eos_id)
    clean = _logps(policy, clips, labels)
    result = []
    for place, (clip, index) in enumerate(zip(clips, batch, strict=True)):
        frames, parts = salience.frames[place, : len(clip)].cpu(), salience.parts[place].cpu()
        identity = (str(rows[index]["id"]), str(rows[index]["text"]))
        made = []
        for draw in range(draws):
            source = ClipToPerturb(*identity, clip, frames, parts, (seed, draw, identity[0]), donors)
            made += _negatives_of(index, source, config)
        scored = _logps(policy, [each.keypoints for each in made], labels[place : place + 1].expand(len(made), -1))
        tokens = int((labels[place] != IGNORED).sum())
        for negative, logp in zip(made, scored.tolist(), strict=True):
            negative.nats = float(clean[place]) - logp
            negative.per_token = negative.nats / tokens
            negative.keypoints = clip.new_empty(0)
        result += made
    return result


def _negatives_of(index: int, source: ClipToPerturb, config: NegativesConfig) -> list[Negative]:
    """One negative of each kind and guidance; guidances meet the same randomness of the operation."""
    clip, seed = source.keypoints, source.seed
    present = clip[..., 2] > 0
    donor = source.donors.draw(source.clip, source.text, generator(*seed, "donor"))
    made = []
    for level in LOCAL_LEVELS:
        strength = config.strength[level]
        for guidance in GUIDANCES:
            guided = config.model_copy(update={"guidance": guidance})
            where = generator(*seed, level, "region")
            region = region_of(level, source.frame_salience, source.part_salience, present, guided, where)
            for name in _weights(config, level):
                keypoints = perturb(clip, name, region, strength, generator(*seed, level, name), donor).half().float()
                changed = int((keypoints != clip).any(-1).sum())
                made.append(Negative(index, level, name, guidance, keypoints, area(region, present), changed))
    return made


def _donors(rows: Sequence[Mapping[str, Any]]) -> DonorPool:
    return DonorPool(
        ids=[str(row["id"]) for row in rows],
        texts=[str(row["text"]) for row in rows],
        clips=[torch.from_numpy(keypoints_of(row["keypoints"], row["num_frames"])) for row in rows],
    )


@torch.no_grad()
def _logps(policy: Policy, clips: Sequence[Tensor], labels: Tensor) -> Tensor:
    keypoints, mask = (tensor.to(policy.model.device) for tensor in pad_clips(clips))
    return policy.model.logps(policy.model.encode(keypoints, mask), labels).cpu()


def _cost(negatives: Sequence[Negative], level: str, operation: str, config: NegativesConfig) -> Cost | None:
    """Of one kind; none if no clip is changed by it under every guidance."""
    weights = _weights(config, level)
    chosen = weights if operation == MIXTURE else {operation: 1.0}
    # (clip, operation) -> guidance -> [nats, per token, area, changed] of each draw
    table: dict[tuple[int, str], dict[str, list[tuple[float, ...]]]] = {}
    for each in negatives:
        if each.level == level and each.operation in chosen:
            row = (each.nats, each.per_token, each.area, each.changed)
            table.setdefault((each.clip, each.operation), {}).setdefault(each.guidance, []).append(row)
    clips: dict[int, list[np.ndarray]] = {}
    for (clip, name), guided in table.items():
        draws = np.array([guided[guidance] for guidance in GUIDANCES])  # (guidances, draws, 4)
        paired = (draws[..., 3] > 0).all(axis=0)
        if paired.any():
            clips.setdefault(clip, []).append(np.r_[chosen[name], draws[:, paired].mean(axis=1).ravel()])
    if not clips:
        return None
    means = np.array([np.average(each, axis=0, weights=np.array(each)[:, 0])[1:] for each in clips.values()])
    means = means.reshape(len(means), len(GUIDANCES), 4)  # (clips, guidances, 4)
    nats, per_token, areas, changed = (
        dict(zip(GUIDANCES, column.tolist(), strict=True)) for column in means.mean(axis=0).T
    )
    attention, at_random, uniform = (means[:, GUIDANCES.index(name), 0] for name in ("attention", "random", "uniform"))
    return Cost(
        level=level,
        operation=operation,
        nats=nats,
        per_token=per_token,
        area=areas,
        changed=changed,
        over_random=ratio_of_means(attention, at_random),
        over_uniform=ratio_of_means(attention, uniform),
    )
