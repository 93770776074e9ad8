"""Fine-tuning of the language perturber on the policy's own failures: the loop of one worker."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import ray.train.torch
import torch

from signdpo.models.policy import Policy
from signdpo.negatives.sentence.perturber_batches import epochs_of, new_perturber, perturber_batches
from signdpo.storage.files import fetch_folder
from signdpo.training.lessons import learn
from signdpo.training.plan import PerturberSettings, WorkerRun
from signdpo.training.state import new_state


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
    epochs = [
        perturber_batches(epoch, failures, texts, choices, seed=config.seed) for epoch in range(epochs_of(choices))
    ]
    state = new_state(perturber, choices, run)
    wrapped = replace(perturber, model=ray.train.torch.prepare_model(perturber.model))
    perturber.model.train()
    learn(epochs, wrapped.loss, state)
