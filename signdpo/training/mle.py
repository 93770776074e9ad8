"""Maximum-likelihood pre-training of the policy: the loop of one worker."""

from __future__ import annotations

from typing import Any

import ray.train.torch
import torch
from torch import Tensor, nn

from signdpo.config import Config
from signdpo.data.clips import read_clips
from signdpo.data.feed import StepBatches
from signdpo.data.rows import clips_of
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy
from signdpo.models.precision import autocast, set_up_precision
from signdpo.models.translator import SignTranslator
from signdpo.monitoring.recorders import wait_counter
from signdpo.storage.files import fetch_folder
from signdpo.training.plan import MleSettings, WorkerRun
from signdpo.training.state import new_state
from signdpo.training.workers import rank_and_world, score_dev


class LikelihoodStep(nn.Module):
    """The forward pass of one training batch, as one module so that DDP can wrap it."""

    def __init__(self, model: SignTranslator, *, label_smoothing: float) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing

    def forward(self, keypoints: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """Mean (smoothed) negative log-likelihood a token, a scalar."""
        encoded = self.model.encode(keypoints, mask)
        logps = self.model.token_logps(encoded, labels, label_smoothing=self.label_smoothing)
        return -logps.sum() / (labels != IGNORED).sum()


def train_mle(settings: MleSettings, run: WorkerRun) -> None:
    """Pre-train on the stream `train`; report and checkpoint at the end of every epoch.

    Args:
        settings: settings of the pre-training.
        run: what every loop is given.
    """
    config = run.config
    device = ray.train.torch.get_device()
    torch.set_num_threads(run.threads)
    torch.manual_seed(config.seed + rank_and_world()[0])
    policy = Policy.load(fetch_folder(settings.initial))
    policy.model.to(device)
    set_up_precision(device, config.pretrain_precision, key="pretrain.precision")
    state = new_state(policy, config.pretrain, run)
    step = LikelihoodStep(policy.model, label_smoothing=config.pretrain.label_smoothing)
    parallel = ray.train.torch.prepare_model(step, parallel_strategy_kwargs={"find_unused_parameters": False})
    dev = read_clips(settings.clips, "dev")
    feed = StepBatches("train", start_step=state.step, on_wait=wait_counter(run.labels))
    policy.model.train()
    for batch in feed:
        with autocast(device, config.pretrain_precision):
            loss = parallel(*_collate(batch, policy, config, device))
        update = state.update(loss, clip_grad_norm=config.pretrain.clip_grad_norm)
        metrics = {"step": state.step, "epoch": int(batch["epoch"][0]), "loss": float(loss.detach()), **update}
        if state.step in settings.epoch_steps:
            metrics |= {"wait_share": feed.wait_share(), **score_dev(policy, dev, config)}
            state.report(metrics, checkpoint=True)
        elif state.step % 10 == 0:
            state.report(metrics, checkpoint=False)


def _collate(batch: dict[str, Any], policy: Policy, config: Config, device: torch.device) -> tuple[Tensor, ...]:
    """Clip rows -> keypoints `(batch, frames, 69, 3)`, mask `(batch, frames)`, labels `(batch, tokens)`."""
    labels = tokenize(policy.tokenizer, [str(t) for t in batch["text"]], max_tokens=config.policy.max_text_tokens)
    return *pad_clips(clips_of(batch), device), labels.to(device)
