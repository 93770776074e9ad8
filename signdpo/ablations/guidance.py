"""Do negatives hurt more where salience points? The log-probability they cost, guided and elsewhere, on equal area."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, get_args

import numpy as np
import torch
from rich.text import Text
from torch import Tensor

from signdpo.ablations.measured_run import Findings, MeasuredRun, new_table
from signdpo.ablations.ratios import Ratio, ratio_of_means
from signdpo.config import Guidance, NegativesConfig
from signdpo.data.rows import clips_of
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


def ablate_guidance(run: MeasuredRun, draws: int, progress: Callable[[int, int], None]) -> Findings:
    """What guided negatives cost the policy of a run beside those of equal area elsewhere.

    Args:
        run: of any corpus.
        draws: negatives of each kind and guidance per clip.
        progress: called with the number of clips done, and of all clips.
    """
    costs = score_guidance(run, draws, lambda done: progress(done, len(run.rows)))
    columns = ("operation", "nats", "nats a token", "attention / random")
    table = new_table("log-probability of the reference lost, 95 % interval over clips", *columns)
    for level, kinds in itertools.groupby(costs, key=lambda cost: cost.level):
        table.add_section()
        table.add_row(Text(level, style="bold"))
        for cost in kinds:
            nats = " ".join(f"{cost.nats[name]:.2f}" for name in GUIDANCES)
            per_token = " ".join(f"{cost.per_token[name]:.3f}" for name in GUIDANCES)
            table.add_row(cost.operation, nats, per_token, str(cost.over_random))
        table.add_row("area", " ".join(f"{cost.area[name]:.0f}" for name in GUIDANCES))
    return Findings(
        table=table,
        note=f"{run.split}: {len(run.rows)} clips, {draws} draws. In a cell: {', '.join(GUIDANCES)}. Area: joints that "
        f"may change, summed over frames. A clip counts where an operation changes it under all three.",
        figures={"costs": [asdict(cost) for cost in costs]},
        ratios={f"{cost.level}: {cost.operation}": cost.over_random for cost in costs},
    )


def score_guidance(run: MeasuredRun, draws: int, progress: Callable[[int], None]) -> list[Cost]:
    """Compare guidances pair by pair: a `Cost` for each kind of negative that changes any clip.

    The configured guidance plays no part.

    Args:
        run: its policy gives the salience and is what the negatives should hurt.
        draws: negatives of each kind and guidance per clip.
        progress: called with the number of clips done.
    """
    rows, config = run.rows, run.config.negatives
    kinds = [(level, operation) for level in LOCAL_LEVELS for operation in _weights(config, level)]
    donors = DonorPool(
        ids=[str(row["id"]) for row in rows[: config.donors]],
        texts=[str(row["text"]) for row in rows[: config.donors]],
        clips=[torch.from_numpy(clip) for clip in clips_of(rows[: config.donors])],
    )
    measured: list[np.ndarray] = []
    by_length = sorted(rows, key=lambda row: row["num_frames"])
    for begin in range(0, len(by_length), BATCH):
        batch = by_length[begin : begin + BATCH]
        measured += _measure(run, batch, kinds, donors, draws)
        progress(begin + len(batch))
    table = np.array(measured)  # (clips, kinds, guidances, draws, 4)
    costs = []
    for level in LOCAL_LEVELS:
        weights = _weights(config, level)
        for operation in (*weights, MIXTURE):
            chosen = weights if operation == MIXTURE else {operation: 1.0}
            columns = [kinds.index((level, name)) for name in chosen]
            costs.append(_cost(level, operation, table[:, columns], np.array(list(chosen.values()))))
    return [cost for cost in costs if cost is not None]


def _weights(config: NegativesConfig, level: str) -> dict[str, float]:
    return {name: weight for name, weight in sorted(config.operations[level].items()) if weight > 0}


def _measure(
    run: MeasuredRun, rows: Sequence[Mapping[str, Any]], kinds: Sequence[tuple[str, str]], donors: DonorPool, draws: int
) -> list[np.ndarray]:
    """Make and score the negatives of a few clips: of each clip `(kinds, guidances, draws, 4)`.

    The last axis holds nats lost, nats lost per token, area, and joints changed.
    """
    policy, config = run.policy, run.config
    device = policy.model.device
    clips = [torch.from_numpy(clip) for clip in clips_of(rows)]
    texts = [str(row["text"]) for row in rows]
    labels = tokenize(policy.tokenizer, texts, max_tokens=config.policy.max_text_tokens).to(device)
    keypoints, mask = pad_clips(clips, device)
    eos_id = policy.tokenizer.eos_token_id
    salience = measure_salience(policy.model, keypoints, mask, labels, config.negatives.salience, eos_id)
    clean = _logps(policy, clips, labels)
    result = []
    for place, (clip, row) in enumerate(zip(clips, rows, strict=True)):
        frames, parts = salience.frames[place, : len(clip)].cpu(), salience.parts[place].cpu()
        made = []
        for draw in range(draws):
            seed = (config.seed, draw, str(row["id"]))
            source = ClipToPerturb(str(row["id"]), texts[place], clip, frames, parts, seed, donors)
            made += [(draw, *negative) for negative in _negatives(source, config.negatives)]
        perturbed = [negative[-1] for negative in made]
        scored = _logps(policy, perturbed, labels[place : place + 1].expand(len(made), -1))
        tokens = int((labels[place] != IGNORED).sum())
        measured = np.zeros((len(kinds), len(GUIDANCES), draws, 4))
        for (draw, level, operation, guidance, size, wrong), logp in zip(made, scored.tolist(), strict=True):
            nats = float(clean[place]) - logp
            changed = int((wrong != clip).any(-1).sum())
            kind = kinds.index((level, operation))
            measured[kind, GUIDANCES.index(guidance), draw] = nats, nats / tokens, size, changed
        result.append(measured)
    return result


def _negatives(source: ClipToPerturb, config: NegativesConfig) -> Iterator[tuple[str, str, Guidance, int, Tensor]]:
    """One negative of each kind and guidance; guidances meet the same randomness of the operation.

    Yields:
        Level, operation, guidance, area of the region, and keypoints `(frames, 69, 3)`.
    """
    clip, seed = source.keypoints, source.seed
    present = clip[..., 2] > 0
    donor = source.donors.draw(source.clip, source.text, generator(*seed, "donor"))
    for level in LOCAL_LEVELS:
        strength = config.strength[level]
        for guidance in GUIDANCES:
            guided = config.model_copy(update={"guidance": guidance})
            where = generator(*seed, level, "region")
            region = region_of(level, source.frame_salience, source.part_salience, present, guided, where)
            for name in _weights(config, level):
                keypoints = perturb(clip, name, region, strength, generator(*seed, level, name), donor).half().float()
                yield level, name, guidance, area(region, present), keypoints


@torch.no_grad()
def _logps(policy: Policy, clips: Sequence[Tensor], labels: Tensor) -> Tensor:
    keypoints, mask = pad_clips(clips, policy.model.device)
    return policy.model.logps(policy.model.encode(keypoints, mask), labels).cpu()


def _cost(level: str, operation: str, measured: np.ndarray, weights: np.ndarray) -> Cost | None:
    """The cost of one kind, or of several by their weights; none if no clip is changed under every guidance.

    Args:
        level, operation: names of the kind.
        measured: `(clips, kinds, guidances, draws, 4)`, see `_measure`.
        weights: `(kinds,)`.
    """
    paired = (measured[..., 3] > 0).all(axis=2)  # (clips, kinds, draws)
    used = weights * paired.any(axis=-1)  # (clips, kinds)
    clips = used.any(axis=1)
    if not clips.any():
        return None
    share = used[..., None] * paired / np.maximum(paired.sum(axis=-1, keepdims=True), 1)  # of each draw in its clip
    share, measured = share[clips] / used[clips].sum(axis=1)[:, None, None], measured[clips]
    means = np.einsum("ckd,ckgdx->cgx", share, measured)  # (clips, guidances, 4)
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
