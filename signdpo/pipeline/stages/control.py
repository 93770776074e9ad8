"""The stage `control`: what the aligned policy has to beat, the same steps of plain likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, trainers
from signdpo.config import Config
from signdpo.data.stream import ClipStore
from signdpo.pipeline.actors import mle_worker
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs
from signdpo.pipeline.stages.clips import Clips, alignment_schedule, training_clips
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.run_context import RunContext
from signdpo.storage.files import fetch_folder
from signdpo.training.fit import fit, keep_best
from signdpo.training.plan import MleSettings, TrainingPlan
from signdpo.training.step_metrics import Row

# Keys of `dpo` that decide it: all that an alignment has and that is not of its preferences.
OPTIMISATION = (
    *(
        "batch_size",
        "epochs",
        "dropout",
        "mle_weight",
        "lr",
        "warmup_steps",
        "weight_decay",
        "clip_grad_norm",
        "precision",
    ),
    *("augmentation", "select_by", "checkpoint_every"),
)
SCORING = ("corpus.language", "evaluation.tokenize", "evaluation.max_new_tokens")  # a checkpoint on dev


class ControlOutputs(StageOutputs):
    """The control.

    Args:
        policy_hash: hash of its weights.
        step: step of the checkpoint that was kept.
    """

    policy_hash: str
    step: int


class Control(Stage[ControlOutputs]):
    """Trains on the train split as the alignment does, without its preferences; keeps the best as `control/policy`.

    Args:
        store: training clips, where they are in the object store already.
    """

    name = "control"
    outputs = ControlOutputs
    builds_on = (Clips, Pretrain)
    resumable = frozenset({"dpo.checkpoint_every"})

    def __init__(self, store: ClipStore | None = None) -> None:
        self.store = store

    def purpose(self, config: Config) -> str:
        how = " with dropout" if config.control == "dropout" else ""
        return f"as many steps of plain likelihood{how}, to compare with"

    def is_wanted(self, config: Config) -> bool:
        return config.control != "none"

    def reads(self, config: Config) -> Sequence[str]:
        smoothing = ("pretrain.label_smoothing",) if config.control == "dropout" else ()
        own = (f"dpo.{name}" for name in OPTIMISATION)
        return "dpo.seed", "control", "corpus.max_frames", "policy.max_text_tokens", *own, *SCORING, *smoothing

    def results(self, before: Results) -> dict[str, Any]:
        return {
            "clips.content_hash": before[Clips].content_hash,
            "pretrain.policy_hash": before[Pretrain].policy_hash,
        }

    def demands(self, config: Config) -> list[Demand]:
        return [Demand(self.name, (trainers(config.resources, "worker", config.resources.workers), DATA_TASK))]

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> ControlOutputs:
        from signdpo.models.policy import Policy

        config, dropout = context.config, context.config.control == "dropout"
        store = self.store or training_clips(context)
        schedule = alignment_schedule(config, store)
        plan = TrainingPlan(
            stage=self.name,
            key=inputs.training_key,
            section="dpo",
            loop=mle_worker,
            settings=MleSettings(
                initial=context.baseline,
                clips=context.clips,
                epoch_steps=schedule.epoch_steps,
                choices=config.dpo,
                precision=(config.dpo_precision, "dpo.precision"),
                label_smoothing=config.pretrain.label_smoothing if dropout else 0.0,
                dropout=dropout or config.dpo.dropout,
                own_norm=not dropout,
                weight=config.dpo.mle_weight or 1.0,
                checkpoint_every=config.dpo.checkpoint_every,
                from_zero=True,
                seed=config.alignment_seed,
            ),
            identity={"baseline": before[Pretrain].policy_hash, **schedule.identity(store.ids)},
            total_steps=schedule.steps,
            workers=config.resources.workers,
            cpus=config.resources.cpus_per_worker,
            score=config.dpo.select_by,
            stream=lambda step: store.stream(schedule.blocks(step)),
        )
        best = keep_best(context, fit(context, plan), context.control, config.dpo.select_by)
        tell_best(context, best)
        return ControlOutputs(policy_hash=Policy.load(fetch_folder(context.control)).hash(), step=best["step"])


def tell_best(context: RunContext, best: Row) -> None:
    """Which checkpoint dev chose, of those that control and alignment both have: step 0 and the same steps."""
    context.say(
        f"dev BLEU-4 {best['eval_bleu4']:.2f} after step {best['step']} (chosen by greedy decoding; the evaluation "
        f"uses {context.config.evaluation.num_beams} beams)"
    )
    if best["step"] == 0:
        context.warn("no later checkpoint was better on dev than the baseline, which is kept as it is")
