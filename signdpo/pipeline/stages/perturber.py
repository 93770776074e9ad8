"""The stage `perturber`: mine the policy's failures, fine-tune the language perturber on them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, generators, trainers
from signdpo.config import Config, ConfigError, PerturberConfig
from signdpo.data.clips import read_clips
from signdpo.data.schedule import held_out_rows
from signdpo.data.stream import ClipStore
from signdpo.pipeline.actors import perturber_worker
from signdpo.pipeline.folds import mine_folds
from signdpo.pipeline.mining import mine_hypotheses
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs, file_stamps
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.run_context import RunContext
from signdpo.skeleton.clip import BadClipError
from signdpo.storage.files import exists, fetch_folder, hash_folder, join, put_folder, read_json, write_json, write_text
from signdpo.text.units import folded
from signdpo.training.fit import fit, keep_best
from signdpo.training.plan import PerturberSettings, TrainingPlan

FEWEST_FAILURES = 10
PATH_KEY = "negatives.perturber.path"

# Keys of `negatives.perturber` that a kind of perturber is made with; the others only choose among its sentences.
MADE_WITH = {
    "policy": ("kind",),
    "rules": ("kind", "edit_share"),
    "pairs": ("kind", "path"),
    "folds": ("kind", "folds", "samples_per_clip", "temperature", "mining"),
    "learned": (
        *("kind", "path", "architecture", "edit_share"),
        *("samples_per_clip", "temperature", "mine_clips", "mining", "held_out_share"),
        *("d_model", "layers", "epochs", "copy_epochs", "batch_size", "lr"),
    ),
}


class NoFailuresError(RuntimeError):
    """The policy makes too few mistakes to learn them from."""


class PerturberOutputs(StageOutputs):
    """What writes the wrong sentences.

    Args:
        pairs: failures that it learned from, or clips that have pairs of the user's; 0 where it learned from none.
        content_hash: hash of its folder.
    """

    pairs: int
    content_hash: str


class Perturber(Stage[PerturberOutputs]):
    """Writes `perturber/model`: what generators write wrong sentences with, and what they choose among them by."""

    name = "perturber"
    outputs = PerturberOutputs
    builds_on = (Clips, Pretrain)
    shared = True

    def purpose(self, config: Config) -> str:
        if config.negatives.perturber.kind == "learned":
            return "the policy's failures, and a model that writes such sentences"
        if config.negatives.perturber.kind == "folds":
            return "what policies say to clips that they have not seen"
        if config.negatives.perturber.kind == "pairs":
            return f"pairs of {config.negatives.perturber.path}"
        return "what the training sentences tell of wrong ones"

    def is_wanted(self, config: Config) -> bool:
        return "language" in config.made_levels

    def reads(self, config: Config) -> Sequence[str]:
        kind = config.negatives.perturber.kind
        own = tuple(f"negatives.perturber.{name}" for name in MADE_WITH[kind])
        if kind not in ("learned", "folds"):
            return own
        distorting = [
            f"negatives.{key}.{level}_global" for key in ("operations", "strength") for level in ("spatial", "temporal")
        ]
        return (
            *own,
            *distorting,  # of the clips that it fails on
            "seed",
            "corpus.max_frames",
            "policy.max_text_tokens",
            "evaluation.num_beams",
            "evaluation.max_new_tokens",
        )

    def results(self, before: Results) -> dict[str, Any]:
        return {
            "clips.content_hash": before[Clips].content_hash,
            "pretrain.policy_hash": before[Pretrain].policy_hash,
        }

    def files(self, config: Config) -> dict[str, Any]:
        path = config.negatives.perturber.path
        return {} if path is None else file_stamps([path])

    def demands(self, config: Config) -> list[Demand]:
        kind, mining = config.negatives.perturber.kind, Demand(self.name, (generators(config.resources), DATA_TASK))
        if kind == "learned":
            return [mining, Demand(self.name, (trainers(config.resources, "worker", 1),))]
        return [*Pretrain().demands(config), mining] if kind == "folds" else []

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> PerturberOutputs:
        from signdpo.negatives.sentence.rules import RULES_FILE, RulePerturber
        from signdpo.negatives.sentence.selection import TEXT_FILE, TrainingText

        settings = context.config.negatives.perturber
        clips = read_clips(context.clips, "train", columns=["id", "text"])
        texts, pairs = clips["text"].to_pylist(), 0
        if settings.kind == "rules":
            rules = RulePerturber.of(texts, edit_share=settings.edit_share)
            write_text(join(context.perturber, RULES_FILE), rules.to_json())
        elif settings.kind == "pairs":
            pairs = take_pairs(context, dict(zip(clips["id"].to_pylist(), texts, strict=True)))
        elif settings.kind == "folds":
            pairs = take_folds(context, before, inputs)
        elif settings.kind == "learned":
            pairs = learn_failures(context, before, inputs, texts)
        write_text(join(context.perturber, TEXT_FILE), TrainingText.of(texts).to_json())
        return PerturberOutputs(pairs=pairs, content_hash=hash_folder(context.perturber))


def take_pairs(context: RunContext, texts: dict[str, str]) -> int:
    """Write the user's pairs to `perturber/model`; returns the number of clips that have some.

    Raises:
        ConfigError: as `read_pairs` does, or if no pair is of a training clip.
    """
    from signdpo.negatives.sentence.pairs import PAIRS_FILE, match_pairs

    rows, unread = read_pairs(context.config.negatives.perturber)
    given = match_pairs(rows, texts, f"{PATH_KEY}={context.config.negatives.perturber.path}")
    left_out = {**given.left_out, "cannot be read": unread}
    told = "".join(f"; {count} rows {why}" for why, count in left_out.items() if count)
    context.say(f"{given.clips} of {len(texts)} clips have pairs{told}")
    write_text(join(context.perturber, PAIRS_FILE), given.sentences.to_json())
    return given.clips


def take_folds(context: RunContext, before: Results, inputs: Inputs) -> int:
    """Write what policies wrongly say to clips that they have not seen; returns the number of clips with some.

    Raises:
        NoFailuresError: if that is next to nothing.
    """
    from signdpo.negatives.sentence.pairs import PAIRS_FILE, GivenSentences

    mined = mine_folds(context, before, inputs, stage=Perturber.name)
    wrong = failures_among(mined, context.config.negatives.perturber)
    found: dict[str, dict[str, None]] = {}
    for row in wrong:
        found.setdefault(row["reference"], {})[row["hypothesis"]] = None
    clips, share = len({row["id"] for row in wrong}), len(wrong) / len(mined)
    context.say(
        f"{len(wrong)} of {len(mined)} sentences said to clips not seen are wrong ({share:.0%}), of {clips} clips"
    )
    sentences = GivenSentences({text: list(said) for text, said in found.items()})
    write_text(join(context.perturber, PAIRS_FILE), sentences.to_json())
    return clips


def read_pairs(settings: PerturberConfig) -> tuple[list[Mapping[str, Any]], int]:
    """Rows of the table that `negatives.perturber.path` names, and the number of those that cannot be read.

    Raises:
        ConfigError: if there is no such table, or it lacks a column.
    """
    from signdpo.foreign.tables import read_table

    place = f"{PATH_KEY}={settings.path}"
    try:
        table = read_table(str(settings.path))
    except FileNotFoundError as error:
        raise ConfigError(f"{place}: there is no such file") from error
    except BadClipError as error:
        raise ConfigError(f"{place}: {error}") from error
    if lacking := [name for name in ("id", "rejected") if name not in table.columns]:
        raise ConfigError(f"{place} has no column {' and no column '.join(lacking)}: pairs have id and rejected")
    rows = [line.values for line in table.lines if not line.problem]
    return rows, len(table.lines) - len(rows)


def learn_failures(context: RunContext, before: Results, inputs: Inputs, texts: list[str]) -> int:
    """Mine `perturber/pairs` from the policy and train `perturber/model` on it; returns the number of pairs."""
    from signdpo.negatives.sentence.perturber_batches import count_steps

    config = context.config
    failures = mined_failures(context, inputs.training_key, texts)
    plan = TrainingPlan(
        stage=Perturber.name,
        key=inputs.training_key,
        section="negatives.perturber",
        loop=perturber_worker,
        settings=PerturberSettings(policy=context.baseline, pairs=context.path(Perturber.name, "pairs")),
        identity={"policy": before[Pretrain].policy_hash, "failures": hash_failures(failures)},
        total_steps=count_steps(config.negatives.perturber, failures=len(failures), texts=len(texts)),
        workers=1,
        cpus=config.resources.cpus_per_worker,
        score=None,
    )
    keep_best(context, fit(context, plan), context.perturber, None)
    return len(failures)


def mined_failures(context: RunContext, key: str, texts: list[str]) -> list[dict[str, Any]]:
    """Rows of `perturber/pairs`, mined unless an earlier, interrupted run with the same key has done so.

    What a policy says on a GPU may differ from time to time; a fine-tuning that goes on needs the same lessons.
    """
    folder, done = context.path("perturber", "pairs"), context.path("perturber", "mined.json")
    if exists(done) and read_json(done)["key"] == key:
        return list(pq.read_table(f"{fetch_folder(folder)}/pairs.parquet").to_pylist())
    mined = mine_failures(context)
    failures = failures_among(mined, context.config.negatives.perturber)
    context.say(share_wrong(mined, failures))
    with tempfile.TemporaryDirectory(prefix="signdpo-") as local:
        pq.write_table(pa.Table.from_pylist(failures), f"{local}/pairs.parquet")
        pq.write_table(pa.table({"text": texts}), f"{local}/texts.parquet")
        put_folder(local, folder)
    write_json(done, {"key": key})
    return failures


def share_wrong(mined: list[dict[str, Any]], failures: list[dict[str, Any]]) -> str:
    """How many of the mined sentences are wrong, apart for clips that the policy has learned and for held-out ones.

    Both were mined in the same ways, so the shares can be compared: what a policy has memorised it seldom says wrong.
    """
    found = []
    for held_out, whose in ((False, "clips that it has learned"), (True, "clips held out of its training")):
        said, wrong = (sum(row["held_out"] == held_out for row in rows) for rows in (mined, failures))
        if said:
            found.append(f"{wrong} of {said} mined sentences on {whose} are wrong ({100 * wrong / said:.0f} %)")
    return "; ".join(found)


def hash_failures(failures: list[dict[str, Any]]) -> str:
    """A short hash of the references and hypotheses, in their order."""
    pairs = [(row["reference"], row["hypothesis"]) for row in failures]
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]


def failures_among(mined: list[dict[str, Any]], settings: PerturberConfig) -> list[dict[str, Any]]:
    """The rows whose hypothesis is a sentence that reads otherwise than its reference, and is another to the policy.

    Raises:
        NoFailuresError: if they are too few to learn from; it says what the other hypotheses were and what helps.
    """
    spoken = [row for row in mined if folded(row["hypothesis"])]
    wrong = [row for row in spoken if not row["right"] and folded(row["hypothesis"]) != folded(row["reference"])]
    if len(wrong) >= FEWEST_FAILURES:
        return wrong
    empty, right = len(mined) - len(spoken), len(spoken) - len(wrong)
    remedy = (
        "the policy says nothing yet: train it longer (pretrain.epochs)"
        if empty > right
        else "the policy has memorised these clips: hold some out of its training "
        f"(negatives.perturber.held_out_share={settings.held_out_share}), mine more of them "
        f"(mine_clips={settings.mine_clips}), raise the temperature ({settings.temperature}) or the share of distorted "
        "clips (mining.perturbed), or use kind=rules"
    )
    raise NoFailuresError(
        f"of {len(mined)} sentences mined from the policy {empty} were empty, {right} right and {len(wrong)} wrong, "
        f"and a perturber needs {FEWEST_FAILURES} wrong ones: {remedy}"
    )


def mine_failures(context: RunContext) -> list[dict[str, Any]]:
    """What the baseline says to `mine_clips` training clips, first those it was not trained on.

    Returns:
        Rows of `HypothesisMiner` with `held_out`, in the order of their ids.
    """
    config = context.config
    settings = config.negatives.perturber
    store = ClipStore.load(context.clips, "train", max_frames=config.corpus.max_frames)
    drawn = np.random.default_rng(config.seed).permutation(len(store))
    unseen = held_out_rows(store.ids, settings.held_out_share, config.seed)
    chosen = drawn[np.argsort(~unseen[drawn], kind="stable")][: settings.mine_clips]
    unlearned = {store.ids[row] for row in np.flatnonzero(unseen)}
    mined = mine_hypotheses(context, store, chosen, context.baseline)
    return [row | {"held_out": row["id"] in unlearned} for row in mined]
