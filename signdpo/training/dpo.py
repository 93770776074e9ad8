"""Multi-level DPO: the loop of one worker.

There is no reference model here: its log-probabilities came with the rows. A step encodes the clean clip and its
perturbed versions in one batch, and decodes the sequences of all levels in another; the clean encoding serves three
uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import ray.train.torch
import torch
from torch import Tensor, nn

from signdpo.config import Config
from signdpo.data.batches import PreferenceBatch
from signdpo.data.clips import read_clips
from signdpo.data.feed import StepBatches
from signdpo.data.statistics import batch_statistics
from signdpo.dpo.losses import PairLogps
from signdpo.dpo.objective import (
    Logps,
    Objective,
    multi_level_objective,
    with_counterfactuals,
    with_likelihood_of,
)
from signdpo.levels import COUNTERFACTUAL, LANGUAGE, SKELETON_LEVELS
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy
from signdpo.models.precision import autocast, set_up_precision
from signdpo.models.translator import SignTranslator
from signdpo.monitoring.recorders import wait_counter
from signdpo.negatives.generator import ReferenceMismatchError
from signdpo.storage.files import fetch_folder
from signdpo.totals import Total
from signdpo.training.ledger import Ledger
from signdpo.training.plan import DpoSettings, WorkerRun
from signdpo.training.state import new_state
from signdpo.training.versions import Publisher
from signdpo.training.workers import rank_and_world, score_dev, set_mode


class PreferenceStep(nn.Module):
    """Log-probabilities of all sequences of each clip, as one module so that DDP can wrap it."""

    def __init__(self, model: SignTranslator) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        keypoints: Tensor,
        mask: Tensor,
        labels: Tensor,
        others: tuple[Tensor, Tensor, Tensor] | None = None,
        augmented: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Score a batch.

        Args:
            keypoints: `(1 + skeleton levels, batch, frames, 69, 3)`: the clean clips, then each level's.
            mask: `(batch, frames)` bool; perturbation keeps the number of frames.
            labels: `(1, batch, tokens)`: the reference sentences, or `(2, ...)` with the rejected ones.
            others: counterfactual clips and their mask, and labels `(2, n, tokens)`: their sentences, then those of the
                clips that they were made of.
            augmented: the clean clips augmented, `(batch, frames, 69, 3)`, and their mask.

        Returns:
            `(1 + levels, batch)`: chosen, the skeleton levels, and language if there are rejected sentences, with
            augmented clips a row more, of the reference sentences under them; and `(2, n)` of the counterfactuals.
        """
        versions, batch = keypoints.shape[:2]
        encoded = self.model.encode(keypoints.flatten(0, 1), mask.repeat(versions, 1))
        rows = torch.arange(versions * batch, device=labels.device)
        rejected = len(labels) - 1
        rows = torch.cat([rows, rows[:batch].repeat(rejected)])  # clean encodings once more, for rejected sentences
        targets = torch.cat([labels[0].repeat(versions, 1), labels[1:].flatten(0, 1)])
        scores = self.model.logps(encoded.select(rows), targets).view(versions + rejected, batch)
        if augmented is not None:
            scores = torch.cat([scores, self.model.logps(self.model.encode(*augmented), labels[0])[None]])
        if others is None:
            return scores, scores.new_zeros(2, 0)
        clips, frames, sentences = others
        rows = torch.arange(len(clips), device=labels.device).repeat(2)
        pairs = self.model.logps(self.model.encode(clips, frames).select(rows), sentences.flatten(0, 1))
        return scores, pairs.view(2, -1)


def train_dpo(settings: DpoSettings, run: WorkerRun) -> None:
    """Align the policy on the stream `train`; report each step, checkpoint and score dev now and then, and each epoch.

    Args:
        settings: settings of the alignment.
        run: what every loop is given.
    """
    config = run.config
    device = ray.train.torch.get_device()
    torch.set_num_threads(run.threads)
    torch.manual_seed(config.alignment_seed + rank_and_world()[0])
    policy = Policy.load(fetch_folder(settings.reference))
    check_reference(policy.hash(), settings.reference_hash, settings.reference)
    policy.model.to(device)
    set_up_precision(device, config.dpo_precision, key="dpo.precision")
    state = new_state(policy, config.dpo, run)
    # Without dropout, and with BatchNorm frozen, the policy scores exactly as the reference did at step zero.
    set_mode(policy.model, dropout=config.dpo.dropout, own_norm=True)
    parallel = ray.train.torch.prepare_model(PreferenceStep(policy.model))
    dev = read_clips(settings.clips, "dev")
    rank, _ = rank_and_world()
    weights = settings.weights if rank == 0 else None
    publisher = Publisher(weights, policy.model, every=config.negatives.refresh_every, step=state.step)
    ledger = Ledger(settings.ledger, rank=rank, step=state.step)
    feed = StepBatches("train", start_step=state.step, on_wait=wait_counter(run.labels))
    generators: set[str] = set()
    if state.is_new:
        state.commit({"step": 0, "epoch": 0, **score_dev(policy, dev, config)})
    for batch in (PreferenceBatch.collate(columns, config.dpo.levels) for columns in feed):
        generators.update(batch.generators)
        objective = preference_objective(batch, parallel, policy, config, settings.reference_hash)
        if config.negatives.policy == "current":
            lag = Total(int((state.step - batch.policy_versions).sum()), len(batch))
            objective = replace(objective, metrics={**objective.metrics, "policy_version_lag": lag})
        metrics = state.update(objective, batch.ids, clip_grad_norm=config.dpo.clip_grad_norm)
        ledger.record(batch, skipped="fault" in metrics)
        publisher.advance(state.step)
        metrics |= {"epoch": int(batch.epochs[0]), "generators": len(generators)}
        if state.step == settings.warm_steps or state.step in settings.epoch_steps:
            metrics["wait_share"] = feed.wait_share()
        due = state.step % config.dpo.checkpoint_every == 0 or state.step in settings.epoch_steps
        if due := due and state.is_sound:
            metrics |= score_dev(policy, dev, config)
            ledger.commit(state.step)
        state.report(metrics, checkpoint=due)
        if state.has_failed:
            return


def check_reference(found: str, expected: str, where: str) -> None:
    """Raise `ReferenceMismatchError` unless the reference is the one this run was started with."""
    if found != expected:
        raise ReferenceMismatchError(f"{where} has the reference hash {found}, this run was started with {expected}")


def preference_objective(
    batch: PreferenceBatch, parallel: nn.Module, policy: Policy, config: Config, reference_hash: str
) -> Objective:
    """The objective on a batch of preference rows, with the statistics of its negatives among the metrics.

    Raises:
        ReferenceMismatchError: if a row was scored under another reference.
    """
    for found in sorted(set(batch.reference_hashes)):
        check_reference(found, reference_hash, "a preference row")
    device, levels = policy.model.device, config.dpo.levels
    clips = [batch.clips, *(batch.rejected_clips[level] for level in levels if level in SKELETON_LEVELS)]
    versions = [pad_clips(each) for each in clips]
    keypoints = torch.stack([version for version, _ in versions]).to(device)
    mask = versions[0][1].to(device)
    sentences = [*batch.texts, *(batch.rejected_texts if LANGUAGE in levels else [])]
    labels = tokenize(policy.tokenizer, sentences, max_tokens=config.policy.max_text_tokens).to(device)
    labels = labels.view(len(sentences) // len(batch), len(batch), -1)
    others, pairs, rows = None, torch.zeros(0), []
    if batch.counterfactual_clips:
        rows = np.flatnonzero(batch.valid[COUNTERFACTUAL]).tolist()
        sentences = [*batch.counterfactual_texts, *(batch.texts[row] for row in rows)]
        pairs = tokenize(policy.tokenizer, sentences, max_tokens=config.policy.max_text_tokens).to(device)
        pairs = pairs.view(2, len(rows), -1)
        others = (*pad_clips(batch.counterfactual_clips, device), pairs)
    strengths, augmented = config.dpo.augmentation.strengths, None
    if strengths and config.dpo.mle_weight:
        augmented = pad_clips(batch.augmented(strengths, config.alignment_seed), device)
    with autocast(device, config.dpo_precision):
        scores, other_scores = parallel(keypoints, mask, labels, others, augmented)
    scores, other_scores = scores.float(), other_scores.float()
    scores, likelihood = (scores, None) if augmented is None else (scores[:-1], scores[-1])
    lengths = (labels != IGNORED).sum(-1)
    reference = Logps(torch.tensor(batch.reference_chosen, device=device), _tensors(batch.reference_rejected, device))
    objective = multi_level_objective(
        Logps(scores[0], dict(zip((level for level in levels if level != COUNTERFACTUAL), scores[1:], strict=True))),
        reference,
        lengths[0],
        lengths[1] if LANGUAGE in levels else None,
        _tensors(batch.valid, device),
        config.dpo,
    )
    if likelihood is not None:
        objective = with_likelihood_of(objective, likelihood, lengths[0])
    if COUNTERFACTUAL in levels:
        chosen = torch.tensor(batch.reference_counterfactual, device=device)
        scored = PairLogps(other_scores[0], other_scores[1], chosen, reference.rejected[COUNTERFACTUAL][rows])
        pair_lengths = (pairs != IGNORED).sum(-1) if rows else lengths.new_zeros(2, 0)
        objective = with_counterfactuals(objective, scored, pair_lengths, rows, config.dpo)
    return replace(objective, metrics={**objective.metrics, **batch_statistics(batch)})


def _tensors(values: Mapping[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    return {level: torch.tensor(column, device=device) for level, column in values.items()}
