"""Multi-level DPO: the loop of one worker.

There is no reference model here: its log-probabilities came with the rows. A step encodes the clean clip and its four
perturbed versions in one batch and decodes six sequences in another; the clean encoding serves three uses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import ray.train.torch
import torch
from torch import Tensor, nn

from signdpo.config import Config
from signdpo.data.batches import PreferenceBatch
from signdpo.data.clips import read_clips
from signdpo.data.feed import StepBatches
from signdpo.dpo.objective import Logps, multi_level_objective
from signdpo.levels import LEVELS
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy
from signdpo.models.precision import autocast, set_up_precision
from signdpo.models.translator import SignTranslator
from signdpo.monitoring.recorders import wait_counter
from signdpo.negatives.generator import ReferenceMismatchError
from signdpo.negatives.statistics import batch_statistics
from signdpo.storage.files import fetch_folder
from signdpo.training.ledger import Ledger
from signdpo.training.plan import DpoSettings, WorkerRun
from signdpo.training.state import new_state
from signdpo.training.versions import Publisher
from signdpo.training.workers import gather, rank_and_world, score_dev


class PreferenceStep(nn.Module):
    """Log-probabilities of the six sequences of each clip, as one module so that DDP can wrap it."""

    def __init__(self, model: SignTranslator) -> None:
        super().__init__()
        self.model = model

    def forward(self, keypoints: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """Score a batch.

        Args:
            keypoints: `(5, batch, frames, 69, 3)`: the clean clips, then the four skeleton levels.
            mask: `(batch, frames)` bool; perturbation keeps the number of frames.
            labels: `(2, batch, tokens)`: the reference sentences, then the rejected ones.

        Returns:
            `(6, batch)`: chosen, the four skeleton levels, language.
        """
        versions, batch = keypoints.shape[:2]
        encoded = self.model.encode(keypoints.flatten(0, 1), mask.repeat(versions, 1))
        rows = torch.arange(versions * batch, device=labels.device)
        rows = torch.cat([rows, rows[:batch]])  # the clean encodings once more, for the rejected sentences
        targets = torch.cat([labels[0].repeat(versions, 1), labels[1]])
        return self.model.logps(encoded.select(rows), targets).view(versions + 1, batch)


def train_dpo(settings: DpoSettings, run: WorkerRun) -> None:
    """Align the policy on the stream `train`; report each step, checkpoint and score dev now and then, and each epoch.

    Args:
        settings: settings of the alignment.
        run: what every loop is given.
    """
    config = run.config
    device = ray.train.torch.get_device()
    torch.set_num_threads(run.threads)
    policy = Policy.load(fetch_folder(settings.reference))
    check_reference(policy.hash(), settings.reference_hash, settings.reference)
    policy.model.to(device)
    set_up_precision(device, config.dpo_precision, key="dpo.precision")
    state = new_state(policy, config.dpo, run)
    # No dropout, and BatchNorm frozen: at step zero the policy must score exactly as the reference did.
    policy.model.eval()
    parallel = ray.train.torch.prepare_model(PreferenceStep(policy.model))
    dev = read_clips(settings.clips, "dev")
    rank, _ = rank_and_world()
    weights = settings.weights if rank == 0 else None
    publisher = Publisher(weights, policy.model, every=config.negatives.refresh_every, step=state.step)
    ledger = Ledger(settings.ledger, rank=rank, step=state.step)
    feed = StepBatches("train", start_step=state.step, on_wait=wait_counter(run.labels))
    generators: set[str] = set()
    for batch in map(PreferenceBatch.collate, feed):
        generators.update(batch.generators)
        loss, metrics = preference_loss(batch, parallel, policy, config, settings.reference_hash)
        if config.negatives.policy == "current":
            metrics["policy_version_lag"] = float(np.mean(state.step - batch.policy_versions))
        update = state.update(loss, clip_grad_norm=config.dpo.clip_grad_norm)
        ledger.record(batch)
        publisher.advance(state.step)
        metrics = _mean_over_workers(metrics) | update
        metrics |= {
            "step": state.step,
            "epoch": int(batch.epochs[0]),
            "rows": len(batch),
            "generators": len(generators),
        }
        if state.step == settings.warm_steps or state.step in settings.epoch_steps:
            metrics["wait_share"] = feed.wait_share()
        due = state.step % config.dpo.checkpoint_every == 0 or state.step in settings.epoch_steps
        if due:
            metrics |= score_dev(policy, dev, config)
            ledger.commit(state.step)
        state.report(metrics, checkpoint=due)


def check_reference(found: str, expected: str, where: str) -> None:
    """Raise `ReferenceMismatchError` unless the reference is the one this run was started with."""
    if found != expected:
        raise ReferenceMismatchError(f"{where} has the reference hash {found}, this run was started with {expected}")


def preference_loss(
    batch: PreferenceBatch, parallel: nn.Module, policy: Policy, config: Config, reference_hash: str
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch of preference rows, a scalar tensor, and its metrics by name.

    Raises:
        ReferenceMismatchError: if a row was scored under another reference.
    """
    for found in sorted(set(batch.reference_hashes)):
        check_reference(found, reference_hash, "a preference row")
    device = policy.model.device
    versions = [pad_clips(clips) for clips in (batch.clips, *batch.rejected_clips.values())]
    keypoints = torch.stack([version for version, _ in versions]).to(device)
    mask = versions[0][1].to(device)
    sentences = [*batch.texts, *batch.rejected_texts]
    labels = tokenize(policy.tokenizer, sentences, max_tokens=config.policy.max_text_tokens).to(device)
    labels = labels.view(2, len(batch), -1)
    with autocast(device, config.dpo_precision):
        scores = parallel(keypoints, mask, labels).float()
    lengths = (labels != IGNORED).sum(-1)
    loss, metrics = multi_level_objective(
        Logps(scores[0], dict(zip(LEVELS, scores[1:], strict=True))),
        Logps(torch.tensor(batch.reference_chosen, device=device), _tensors(batch.reference_rejected, device)),
        lengths[0],
        lengths[1],
        _tensors(batch.valid, device),
        config.dpo,
    )
    return loss, metrics | batch_statistics(batch)


def _tensors(values: Mapping[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    return {level: torch.tensor(column, device=device) for level, column in values.items()}


def _mean_over_workers(metrics: dict[str, float]) -> dict[str, float]:
    everyone = gather(metrics)
    return {name: float(np.mean([worker[name] for worker in everyone])) for name in metrics}
