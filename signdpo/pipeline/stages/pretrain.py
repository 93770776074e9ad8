"""The stage `pretrain`: a policy by maximum likelihood, or the one the configuration names."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, trainers
from signdpo.config import Config
from signdpo.data.clips import read_clips
from signdpo.data.schedule import Schedule, held_out_rows
from signdpo.data.stream import ClipStore
from signdpo.pipeline.actors import mle_worker
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs, file_stamps
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.language import SHAPE, Language
from signdpo.run_context import RunContext
from signdpo.storage.files import fetch_folder, put_folder
from signdpo.training.fit import fit, keep_best
from signdpo.training.plan import MleSettings, TrainingPlan

SCORE = "eval_bleu4"
STEPS_PER_BLOCK = 8  # a step takes a fraction of a second here, handing over a block about 20 ms


class PretrainOutputs(StageOutputs):
    """The baseline, which is also the frozen reference.

    Args:
        policy_hash: hash of its weights.
    """

    policy_hash: str


class Pretrain(Stage[PretrainOutputs]):
    """Trains on the train split, keeps the checkpoint with the best dev BLEU-4 as `pretrain/policy`."""

    name = "pretrain"
    outputs = PretrainOutputs
    builds_on = (Clips, Language)
    shared = True

    def purpose(self, config: Config) -> str:
        return "the policy by maximum likelihood" if config.policy.init is None else "the policy that is given"

    def reads(self, config: Config) -> Sequence[str]:
        if config.policy.init is not None:
            return "policy.init", "policy.language_model.path", "corpus.language"
        return (
            "seed",
            "corpus.language",
            "corpus.max_frames",
            *(f"policy.{name}" for name in ("encoder", "language_model.path", "prompt", "max_text_tokens")),
            *SHAPE,
            "pretrain",
            "evaluation.tokenize",  # of the score that selects a checkpoint
            "evaluation.max_new_tokens",
            "negatives.perturber.held_out_share",
        )

    def results(self, before: Results) -> dict[str, Any]:
        read = {"language.content_hash": before[Language].content_hash} if Language in before else {}
        return {"clips.content_hash": before[Clips].content_hash, **read}

    def files(self, config: Config) -> dict[str, Any]:
        if config.policy.init is None and config.policy.language_model.path is None:
            return {}
        from signdpo.pipeline.policy_checks import initial_places

        return file_stamps(initial_places(config))

    def demands(self, config: Config) -> list[Demand]:
        if config.policy.init is not None:
            return []
        workers = trainers(config.resources, "pretrain_worker", config.resources.pretrain_workers)
        return [Demand(self.name, (workers, DATA_TASK))]

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> PretrainOutputs:
        from signdpo.models.policy import Policy, build_policy

        config = context.config
        texts = read_clips(context.clips, "train", columns=["text"]).column("text").to_pylist()
        read = fetch_folder(context.language_model) if Language in before else None
        policy = build_policy(config, texts, read)
        initial = context.baseline if config.policy.init else context.path(self.name, "initial")
        with tempfile.TemporaryDirectory(prefix="signdpo-") as folder:
            policy.save(folder)
            put_folder(folder, initial)
        if config.policy.init is not None:
            context.say(f"the policy {config.policy.init} is taken as it is")
            return PretrainOutputs(policy_hash=policy.hash())
        store = ClipStore.load(context.clips, "train", max_frames=config.corpus.max_frames)
        plan = pretraining_plan(
            context,
            store,
            np.flatnonzero(~held_out_rows(store.ids, config.negatives.perturber.held_out_share, config.seed)),
            stage=self.name,
            key=inputs.training_key,
            initial=initial,
            corpus=before[Clips].content_hash,
        )
        checkpoints = fit(context, plan)
        best = keep_best(context, checkpoints, context.baseline, SCORE)
        context.say(f"dev BLEU-4 {best[SCORE]:.2f} (greedy) after step {best['step']}")
        return PretrainOutputs(policy_hash=Policy.load(fetch_folder(context.baseline)).hash())


def scored_steps(epoch_steps: Sequence[int], every: int) -> list[int]:
    """Steps at the end of every so many epochs, and of the last."""
    return [step for epoch, step in enumerate(epoch_steps, start=1) if epoch % every == 0 or epoch == len(epoch_steps)]


def pretraining_plan(
    context: RunContext, store: ClipStore, taught: np.ndarray, *, stage: str, key: str, initial: str, corpus: str
) -> TrainingPlan:
    """A pre-training as Ray Train is to do it.

    Args:
        context: of the run.
        store: the training clips.
        taught: `(clips,)` indices of those that it learns from.
        stage: whose training it is.
        key: hash of what decides this training.
        initial: folder of the untrained policy.
        corpus: hash of the clips.
    """
    config = context.config
    schedule = Schedule(
        store.num_frames[taught],
        epochs=config.pretrain.epochs,
        batch_size=config.pretrain.batch_size,
        workers=config.resources.pretrain_workers,
        seed=config.seed,
        steps_per_block=STEPS_PER_BLOCK,
    )
    return TrainingPlan(
        stage=stage,
        key=key,
        section="pretrain",
        loop=mle_worker,
        settings=MleSettings(
            initial=initial,
            clips=context.clips,
            epoch_steps=scored_steps(schedule.epoch_steps, config.pretrain.score_every),
            choices=config.pretrain,
            precision=(config.pretrain_precision, "pretrain.precision"),
            label_smoothing=config.pretrain.label_smoothing,
            seed=config.seed,
        ),
        identity={"corpus": corpus, **schedule.identity([store.ids[row] for row in taught])},
        total_steps=schedule.steps,
        workers=config.resources.pretrain_workers,
        cpus=config.resources.cpus_per_pretrain_worker,
        score=SCORE,
        stream=lambda step: store.stream(
            [replace(block, rows=taught[block.rows]) for block in schedule.blocks(step)],
            draw_seed=config.seed if config.pretrain.frame_sampling == "random" else None,
        ),
    )
