"""The stage `pretrain`: a policy by maximum likelihood, or the one the configuration names."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
import pyarrow as pa

from signdpo.data.clips import read_clips
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.models.policy import Policy, build_policy
from signdpo.pipeline.actors import pretrain_worker
from signdpo.pipeline.stage import Outputs, RunContext
from signdpo.seeding import derive_seed
from signdpo.storage.files import fetch_folder, put_folder
from signdpo.training.fit import fit, keep_best

SCORE = "eval_bleu4"
STEPS_PER_BLOCK = 8  # a step takes a fraction of a second here, handing over a block about 20 ms


def pretrain(context: RunContext, before: dict[str, Outputs], key: str) -> Outputs:
    """Train on the train split, keep the checkpoint with the best dev BLEU-4 as `pretrain/policy`."""
    config, target = context.config, context.baseline
    texts = read_clips(context.path("clips"), "train", columns=["text"])["text"]
    assert isinstance(texts, pa.ChunkedArray)
    initial = context.path("pretrain", "initial")
    with tempfile.TemporaryDirectory(prefix="signdpo-") as folder:
        policy = build_policy(config, texts.to_pylist())
        policy.save(folder)
        put_folder(folder, target if config.policy.init else initial)
    if config.policy.init is not None:
        context.console.print(f"  the policy {config.policy.init} is taken as it is")
        return {"policy_hash": policy.hash()}

    store = ClipStore.load(context.path("clips"), "train", max_frames=config.corpus.max_frames)
    workers = config.resources.pretrain_workers
    taught = np.flatnonzero(~held_out_rows(store.ids, config.negatives.perturber.held_out_share, config.seed))
    schedule = Schedule(
        store.num_frames[taught],
        epochs=config.pretrain.epochs,
        batch_size=config.pretrain.batch_size,
        workers=workers,
        seed=config.seed,
        steps_per_block=STEPS_PER_BLOCK,
    )
    checkpoints = fit(
        context,
        stage="pretrain",
        key=key,
        loop=pretrain_worker,
        settings={
            "initial": initial,
            "clips": context.path("clips"),
            "epoch_steps": schedule.epoch_steps,
        },
        identity={"corpus": before["clips"]["hash"], **schedule.identity([store.ids[row] for row in taught])},
        total_steps=schedule.steps,
        workers=workers,
        cpus=config.resources.cpus_per_pretrain_worker,
        score=SCORE,
        stream=lambda step: store.stream(
            [replace(block, rows=taught[block.rows]) for block in schedule.blocks(step)],
            draw_seed=config.seed if config.pretrain.frame_sampling == "random" else None,
        ),
    )
    best = keep_best(context, checkpoints, target, SCORE)
    context.console.print(f"  dev BLEU-4 {best[SCORE]:.2f} (greedy) after step {best['step']}")
    return {"policy_hash": Policy.load(fetch_folder(target)).hash()}


def held_out_rows(ids: list[str], share: float, seed: int) -> np.ndarray:
    """Which training clips pre-training leaves out, so that the policy fails on some that it may use: `(clips,)` bool.

    Decided clip by clip from its id: another clip more or less changes nothing for the others.
    """
    return np.array([derive_seed(seed, "held out", clip) / 2**63 < share for clip in ids], dtype=bool)
