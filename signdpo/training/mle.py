"""Maximum likelihood: the loop of one worker, of pre-training and of the control of an alignment."""

from __future__ import annotations

import ray.train.torch
import torch
from torch import Tensor, nn

from signdpo.data.batches import ClipBatch
from signdpo.data.clips import read_clips
from signdpo.data.feed import StepBatches
from signdpo.dpo.objective import likelihood_objective
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy
from signdpo.models.precision import autocast, set_up_precision
from signdpo.models.translator import SignTranslator
from signdpo.monitoring.recorders import wait_counter
from signdpo.storage.files import fetch_folder
from signdpo.training.plan import MleSettings, WorkerRun
from signdpo.training.state import new_state
from signdpo.training.workers import rank_and_world, score_dev, set_mode


class LikelihoodStep(nn.Module):
    """The forward pass of one training batch, as one module so that DDP can wrap it."""

    def __init__(self, model: SignTranslator, *, label_smoothing: float) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing

    def forward(self, keypoints: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """(Smoothed) log-likelihood of each sentence, `(batch,)`."""
        encoded = self.model.encode(keypoints, mask)
        return self.model.token_logps(encoded, labels, label_smoothing=self.label_smoothing).sum(-1)


def train_mle(settings: MleSettings, run: WorkerRun) -> None:
    """Train on the stream `train`; report every few steps, checkpoint and score dev where it is due.

    Args:
        settings: settings of the training.
        run: what every loop is given.
    """
    config = run.config
    device = ray.train.torch.get_device()
    torch.set_num_threads(run.threads)
    torch.manual_seed(settings.seed + rank_and_world()[0])
    policy = Policy.load(fetch_folder(settings.initial))
    policy.model.to(device)
    precision, key = settings.precision
    set_up_precision(device, precision, key=key)
    state = new_state(policy, settings.choices, run)
    step = LikelihoodStep(policy.model, label_smoothing=settings.label_smoothing)
    parallel = ray.train.torch.prepare_model(step, parallel_strategy_kwargs={"find_unused_parameters": False})
    dev = read_clips(settings.clips, "dev")
    feed = StepBatches("train", start_step=state.step, on_wait=wait_counter(run.labels))
    set_mode(policy.model, dropout=settings.dropout, own_norm=settings.own_norm)
    if settings.from_zero and state.is_new:
        state.commit({"step": 0, "epoch": 0, **score_dev(policy, dev, config)})
    strengths = settings.choices.augmentation.strengths
    for batch in map(ClipBatch.collate, feed):
        keypoints, mask = pad_clips(batch.augmented(strengths, settings.seed), device)
        labels = tokenize(policy.tokenizer, batch.texts, max_tokens=config.policy.max_text_tokens).to(device)
        with autocast(device, precision):
            scores = parallel(keypoints, mask, labels).float()
        objective = likelihood_objective(scores, (labels != IGNORED).sum(-1), settings.weight)
        metrics = state.update(objective, batch.ids, clip_grad_norm=settings.choices.clip_grad_norm)
        metrics["epoch"] = int(batch.epochs[0])
        due = settings.is_due(state.step) and state.is_sound
        if due:
            metrics |= {"wait_share": feed.wait_share(), **score_dev(policy, dev, config)}
        if due or "fault" in metrics or state.step % 10 == 0:
            state.report(metrics, checkpoint=due)
        if state.has_failed:
            return
