"""Fine-tuning of the language perturber on the policy's own failures: the loop of one worker."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import ray.train.torch
import torch

from signdpo.dpo.objective import Objective
from signdpo.models.policy import Policy
from signdpo.negatives.sentence.perturber_batches import epochs_of, new_perturber, perturber_batches
from signdpo.storage.files import fetch_folder
from signdpo.training.plan import PerturberSettings, WorkerRun
from signdpo.training.state import new_state
from signdpo.training.workers import rank_and_world


def train_perturber(settings: PerturberSettings, run: WorkerRun) -> None:
    """Learn to write the policy's hypotheses from the references; a checkpoint an epoch.

    Args:
        settings: settings of the fine-tuning.
        run: what every loop is given.
    """
    config = run.config
    choices = config.negatives.perturber
    device = ray.train.torch.get_device()
    torch.set_num_threads(run.threads)
    folder = fetch_folder(settings.pairs)
    pairs = pq.read_table(f"{folder}/pairs.parquet").to_pydict()
    failures = list(zip(pairs["reference"], pairs["hypothesis"], strict=True))
    texts = pq.read_table(f"{folder}/texts.parquet").to_pydict()["text"]
    tokenizer = Policy.load(fetch_folder(settings.policy)).tokenizer
    limit = config.policy.max_text_tokens
    torch.manual_seed(config.seed)  # of the dropout of a pretrained one; a new one seeds its weights itself
    perturber = new_perturber(choices, tokenizer, texts, max_tokens=limit, seed=config.seed)
    perturber.model.to(device)
    rank, world = rank_and_world()
    epochs = [
        perturber_batches(epoch, failures, texts, choices, seed=config.seed) for epoch in range(epochs_of(choices))
    ]
    state = new_state(perturber, choices, run)
    wrapped = replace(perturber, model=ray.train.torch.prepare_model(perturber.model))
    perturber.model.train()
    done = 0
    for epoch, lessons in enumerate(epochs):
        done += len(lessons)
        if done <= state.step:
            continue
        for sources, targets in lessons:
            loss = wrapped.loss(sources[rank::world], targets[rank::world])
            objective = Objective({"nll": loss}, {"nll": 1.0}, {}, {})
            metrics = state.update(objective, targets[rank::world], clip_grad_norm=1.0) | {"epoch": epoch}
            if "fault" in metrics:
                state.report(metrics, checkpoint=False)
            if state.has_failed:
                return
        state.report(metrics, checkpoint=True)
