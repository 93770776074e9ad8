"""What a language model learns from text without clips: the loop of one worker."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import ray.train.torch
import torch

from signdpo.models.text_to_text import TextToText
from signdpo.storage.files import fetch_folder
from signdpo.training.denoising import denoising_batches
from signdpo.training.lessons import learn
from signdpo.training.plan import LanguageSettings, WorkerRun
from signdpo.training.state import new_state
from signdpo.training.workers import rank_and_world


def train_language(settings: LanguageSettings, run: WorkerRun) -> None:
    """Learn to mend damaged sentences; a checkpoint an epoch.

    Args:
        settings: settings of the training.
        run: what every loop is given.
    """
    choices = run.config.policy.language_model.pretrain
    device = ray.train.torch.get_device()
    torch.set_num_threads(run.threads)
    sentences = pq.read_table(f"{fetch_folder(settings.text)}/sentences.parquet")["text"].to_pylist()
    model = TextToText.load(fetch_folder(settings.initial), max_tokens=run.config.policy.max_text_tokens)
    model.model.to(device)
    torch.manual_seed(run.config.seed + rank_and_world()[0])  # of dropout
    state = new_state(model, choices, run)
    wrapped = replace(model, model=ray.train.torch.prepare_model(model.model))
    model.model.train()
    epochs = (
        denoising_batches(epoch, sentences, batch_size=choices.batch_size, seed=run.config.seed)
        for epoch in range(choices.epochs)
    )
    learn(epochs, wrapped.loss, state, clip_grad_norm=choices.clip_grad_norm)
