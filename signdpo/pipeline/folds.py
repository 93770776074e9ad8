"""Wrong sentences by policies that have not seen the clips: one for each fold, which learns from the others.

A policy that has memorised its clips says next to nothing wrong about them, and prefers the right sentence already.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from signdpo.data.stream import ClipStore
from signdpo.pipeline.mining import mine_hypotheses
from signdpo.pipeline.stage import Inputs, Results
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.pretrain import SCORE, Pretrain, pretraining_plan
from signdpo.run_context import RunContext
from signdpo.seeding import derive_seed
from signdpo.storage.files import exists, read_json, write_json
from signdpo.training.fit import fit, keep_best


def fold_of(ids: list[str], folds: int, seed: int) -> np.ndarray:
    """The fold of each training clip, `(clips,)` int64 from 0. Decided clip by clip, as what is held out is."""
    return np.array([derive_seed(seed, "fold", clip) % folds for clip in ids])


def mine_folds(context: RunContext, before: Results, inputs: Inputs, *, stage: str) -> list[dict[str, Any]]:
    """Train the policy of each fold and mine it; what is done when a run is cut off is not done again.

    Args:
        context: of the run.
        before: outputs of the stages before.
        inputs: what decides the result.
        stage: whose folder has a folder a fold.

    Returns:
        Rows of `HypothesisMiner`, of all training clips.
    """
    config, rows = context.config, []
    store = ClipStore.load(context.clips, "train", max_frames=config.corpus.max_frames)
    folds = fold_of(store.ids, config.negatives.perturber.folds, config.seed)
    for fold in range(config.negatives.perturber.folds):
        part = f"{stage}/fold-{fold}"
        policy, done = context.path(part, "policy"), context.path(part, "mined.json")
        if not exists(done) or read_json(done)["key"] != inputs.training_key:
            plan = pretraining_plan(
                context,
                store,
                np.flatnonzero(folds != fold),
                stage=part,
                key=inputs.training_key,
                initial=context.path(Pretrain.name, "initial"),
                corpus=before[Clips].content_hash,
            )
            best = keep_best(context, fit(context, plan), policy, SCORE)
            context.say(f"fold {fold}: dev BLEU-4 {best[SCORE]:.2f} (greedy) after step {best['step']}")
            mined = mine_hypotheses(context, store, np.flatnonzero(folds == fold), policy, title=f"mining fold {fold}")
            write_json(done, {"key": inputs.training_key, "mined": mined})
        rows += read_json(done)["mined"]
    return rows
