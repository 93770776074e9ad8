"""What a worker does together with the other workers of its group."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import torch
import torch.distributed
from torch import nn

from signdpo.config import Config
from signdpo.data.rows import clips_of, rows_of
from signdpo.evaluation.metrics import score
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy
from signdpo.totals import Total, Totals


def rank_and_world() -> tuple[int, int]:
    """This worker's number and how many there are; outside a group, a group of its own."""
    if not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def gather(value: Any) -> list[Any]:
    """The value of every worker, in the order of their ranks."""
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def set_mode(model: nn.Module, *, dropout: bool, own_norm: bool) -> None:
    """Train with or without dropout; with `own_norm` batch normalisation stays as it is, whatever the batch."""
    model.train(dropout)
    for module in model.modules():
        if own_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def add_up(*groups: Totals) -> list[dict[str, Total]]:
    """The totals of all workers together, group by group; of what a worker lacks it has nothing."""
    added: list[dict[str, Total]] = [{} for _ in groups]
    for worker in gather([{name: total.numbers for name, total in totals.items()} for totals in groups]):
        for totals, own in zip(added, worker, strict=True):
            for name, total in own.items():
                before = totals.get(name, Total(0.0, 0))
                totals[name] = Total(before.sum + total.sum, before.count + total.count)
    return added


@torch.no_grad()
def score_dev(policy: Policy, dev: pa.Table, config: Config) -> dict[str, float]:
    """Greedy BLEU-4 and negative log-likelihood a token on the dev split, each worker taking its share of the clips.

    Args:
        policy: in any mode; left in the mode it was in.
        dev: clip rows.
        config: evaluation settings.
    """
    modes = {module: module.training for module in policy.model.modules()}
    policy.model.eval()
    rank, world = rank_and_world()
    mine = rows_of(dev)[rank::world]
    mine.sort(key=lambda row: row["num_frames"])
    size = config.evaluation.batch_size * config.evaluation.num_beams  # greedy: as many sequences as beams would be
    parts = [_score_batch(policy, mine[i : i + size], config) for i in range(0, len(mine), size)]
    for module, training in modes.items():
        module.training = training
    gathered = [part for worker in gather(parts) for part in worker]
    hypotheses = [text for part in gathered for text in part[0]]
    references = [text for part in gathered for text in part[1]]
    if len(hypotheses) != dev.num_rows:
        raise RuntimeError(f"{len(hypotheses)} dev clips were translated, there are {dev.num_rows}")
    scores = score(hypotheses, references, language=config.corpus.language, tokenize=config.evaluation.tokenize)
    nll = sum(part[2] for part in gathered) / max(sum(part[3] for part in gathered), 1)
    return {"eval_bleu4": scores.bleu4, "eval_nll": nll}


def _score_batch(policy: Policy, rows: list[dict[str, Any]], config: Config) -> tuple[list[str], list[str], float, int]:
    device = policy.model.device
    keypoints, mask = pad_clips(clips_of(rows), device)
    references = [row["text"] for row in rows]
    labels = tokenize(policy.tokenizer, references, max_tokens=config.policy.max_text_tokens).to(device)
    encoded = policy.model.encode(keypoints, mask)
    nll = -float(policy.model.logps(encoded, labels).sum())
    ids = policy.model.generate(encoded, num_beams=1, do_sample=False, max_new_tokens=config.evaluation.max_new_tokens)
    return policy.decode(ids), references, nll, int((labels != IGNORED).sum())
