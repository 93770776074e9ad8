"""Fine-tuning of the language perturber on the policy's own failures: the loop of one worker."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import ray.train.torch
import torch

from signdpo.config import Config
from signdpo.models.policy import Policy
from signdpo.negatives.perturber import LanguagePerturber
from signdpo.storage import fetch_folder
from signdpo.training.state import new_state
from signdpo.training.workers import rank_and_world


def train_perturber(settings: dict[str, Any]) -> None:
    """Learn to write the policy's hypotheses from the references.

    The first `copy_epochs` reproduce the reference: copying is what a model from random weights lacks, and what a
    plausible wrong sentence mostly is.

    Args:
        settings: `config` (`Config`), `policy` (folder, for its tokenizer), `pairs` (Parquet file of `reference` and
            `hypothesis`), `policy_hash`.
    """
    config: Config = settings["config"]
    choices = config.negatives.perturber
    device = ray.train.torch.get_device()
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(config.seed)
    tokenizer = Policy.load(fetch_folder(settings["policy"])).tokenizer
    perturber = LanguagePerturber.fresh(tokenizer, choices, max_tokens=config.policy.max_text_tokens)
    perturber.model.to(device)
    pairs = pq.read_table(f"{fetch_folder(settings['pairs'])}/pairs.parquet").to_pydict()
    references, hypotheses = pairs["reference"], pairs["hypothesis"]
    rank, world = rank_and_world()
    steps_an_epoch = max(1, len(references) // (choices.batch_size * world))
    epochs = choices.copy_epochs + choices.epochs
    state = new_state(perturber, choices, total_steps=epochs * steps_an_epoch, policy=settings["policy_hash"])
    parallel = ray.train.torch.prepare_model(perturber.model)
    wrapped = LanguagePerturber(parallel, tokenizer, perturber.max_tokens)
    perturber.model.train()
    for epoch in range(state.step // steps_an_epoch, epochs):
        order = torch.randperm(len(references), generator=torch.Generator().manual_seed(config.seed + epoch)).tolist()
        copying = epoch < choices.copy_epochs
        for index in range(steps_an_epoch):
            begin = (index * world + rank) * choices.batch_size
            rows = order[begin : begin + choices.batch_size] or order[: choices.batch_size]
            sources = [references[row] for row in rows]
            loss = wrapped.loss(sources, sources if copying else [hypotheses[row] for row in rows])
            update = state.update(loss, clip_grad_norm=1.0)
        metrics = {"step": state.step, "epoch": epoch, "loss": float(loss.detach()), **update}
        with state.checkpoint() as checkpoint:
            ray.train.report(metrics, checkpoint=checkpoint, checkpoint_dir_name=f"checkpoint_{state.step:07d}")
