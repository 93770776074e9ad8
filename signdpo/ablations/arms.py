"""The arms of the ablation of levels: each a few keys laid over one configuration, and what came out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from signdpo.config import Config, ConfigError, DpoConfig
from signdpo.config.base import did_you_mean
from signdpo.evaluation.replicates import Replicates, describe
from signdpo.evaluation.systems import ALIGNED, BASELINE, CONTROL, name_of
from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.report.markdown import to_markdown
from signdpo.report.scores import SCORES

ALL: Final = "all"
RANDOM: Final = "all, random guidance"
EQUAL_TIME: Final = "control, equal time"
METHOD: Final = ("perturber", "negatives", "align")  # stages whose time the preferences take
MLE: Final = "{level}, likelihood alone"  # of a level whose right sides are trained on, too


@dataclass(frozen=True)
class Arm:
    """One way to go on from the baseline.

    Args:
        name: heading of its row.
        system: what its policy is in a run of its own: baseline, control or aligned.
        settings: key -> value, laid over the configuration of the run.
    """

    name: str
    system: Literal["baseline", "control", "aligned"]
    settings: Mapping[str, Any]

    @property
    def folder(self) -> str:
        return self.name.replace(",", "").replace(" ", "_")


def arms_of(config: Config) -> dict[str, Arm]:
    """Name -> arm: baseline, control, each level alone, the skeleton levels, all as configured, all without guidance.

    A level has the weight that the configuration gives it, and where that is 0 the largest of the others'.
    """
    arms = [Arm(BASELINE, "baseline", {}), Arm(CONTROL, "control", {})]
    arms += [Arm(level, "aligned", only(config, [level])) for level in LEVELS]
    for level in LEVELS:
        if own := likelihood_weights(level):
            settings = only(config, [level]) | {f"dpo.weights.{level}": 0.0}
            if any(settings[key] > 0 for key in own):
                arms.append(Arm(MLE.format(level=level), "aligned", settings))
    skeletons = [level for level in SKELETON_LEVELS if config.dpo.weight_of(level) > 0]
    if len(skeletons) > 1:
        arms.append(Arm("skeleton levels", "aligned", only(config, skeletons)))
    arms.append(Arm(ALL, "aligned", {}))
    if config.negatives.guidance != "random":
        arms.append(Arm(RANDOM, "aligned", {"negatives.guidance": "random"}))
    return {arm.name: arm for arm in arms}


def chosen_arms(config: Config, names: Sequence[str]) -> dict[str, Arm]:
    """Baseline, control and the named arms, or all. Raises `ConfigError` for a name that is none."""
    arms = arms_of(config)
    for name in names:
        if name not in arms:
            raise ConfigError(f"--arms {name!r} is none{did_you_mean(name, arms)}")
    return {name: arm for name, arm in arms.items() if not names or name in (BASELINE, CONTROL, *names)}


def only(config: Config, levels: Sequence[str]) -> dict[str, Any]:
    """Settings that take all other levels out."""
    largest = max(config.dpo.weight_of(level) for level in LEVELS)
    settings: dict[str, Any] = {}
    for level in LEVELS:
        settings[f"dpo.weights.{level}"] = (config.dpo.weight_of(level) or largest) if level in levels else 0.0
        for key in likelihood_weights(level):
            settings[key] = getattr(config.dpo, key.removeprefix("dpo.")) if level in levels else 0.0
    return settings


def likelihood_weights(level: str) -> list[str]:
    """Keys of `dpo` with the weight of a level's likelihood term, where it has one."""
    return [f"dpo.{name}" for name in DpoConfig.model_fields if name == f"{level}_mle_weight"]


def equal_epochs(epochs: int, method: float, control: float) -> int:
    """Epochs of a control that takes as long as the method.

    Args:
        epochs: of the control that takes `control` seconds.
        method: seconds of all that the method takes.
    """
    return max(1, round(epochs * method / control))


def equal_time(epochs: int, checkpoint_every: int, longer: int) -> Arm:
    """A control of more epochs, with as many checkpoints to choose among between the ends of epochs."""
    every = max(1, round(checkpoint_every * longer / epochs))
    return Arm(EQUAL_TIME, "control", {"dpo.epochs": longer, "dpo.checkpoint_every": every})


def comparisons_of_arms(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Every arm with the control, then all but that with the baseline, then `all` with the control of equal time."""
    names = [arm.name for arm in arms if arm.system == ALIGNED]
    pairs = [(name, CONTROL) for name in names]
    pairs += [(name, BASELINE) for name in [CONTROL, *names]]
    return [*pairs, (ALL, EQUAL_TIME), (EQUAL_TIME, BASELINE)]


def level_rows(found: Replicates, failed: Mapping[str, str], seconds: Mapping[str, float]) -> list[list[str]]:
    """Headings, then a row for each arm at equal steps: means over seeds, and the difference from the control.

    Args:
        found: scores of the arms.
        failed: arm -> why some of its seeds have no policy.
        seconds: arm -> seconds a step.
    """
    shown = found.shown()
    headings = ["arm", "seeds", *(SCORES[name].title for name in shown), "BLEU-4 - control", "95 %", "p", "s a step"]
    rows = [headings]
    for name, by_seed in found.scores.items():
        if name == EQUAL_TIME:
            continue
        row = [name, str(len(by_seed)), *(found.mean(name, score) for score in shown)]
        test = found.comparison.get(name_of((name, CONTROL)), {}).get("bleu4")
        row += describe(test, "bleu4") if test else [failed.get(name, ""), "", ""]
        rows.append([*row, f"{seconds[name]:.2f}" if name in seconds else ""])
    return rows


def time_rows(found: Replicates) -> list[list[str]]:
    """Headings, then the control of equal time, all levels and their difference, score by score."""
    tests = found.comparison.get(name_of((ALL, EQUAL_TIME)), {})
    rows = [["score", EQUAL_TIME, ALL, "difference", "95 %", "p"]]
    for name in found.shown():
        if name in tests:
            means = found.mean(EQUAL_TIME, name), found.mean(ALL, name)
            rows.append([SCORES[name].title, *means, *describe(tests[name], name)])
    return rows


def notes_of(
    split: str, seeds: Sequence[int], epochs: int, longer: Sequence[int], spent: Mapping[str, float]
) -> list[str]:
    """What the tables mean.

    Args:
        split: in words.
        seeds: of control and alignment.
        epochs: of all arms.
        longer: those of the controls of equal time, if there are any.
        spent: seconds of the control, and of each stage of `METHOD`.
    """
    notes = [
        f"On {split}; seeds {', '.join(map(str, seeds))} of control and alignment, one baseline. Means over seeds ± "
        "standard deviation. Intervals and p-values are of other clips and other seeds; of few seeds they underrate "
        "the spread. Equal steps: every arm has the steps, schedule, order of clips and selection of the control."
    ]
    if longer:
        took, whole = ", ".join(f"{name} {spent[name]:.0f}" for name in METHOD), sum(spent[name] for name in METHOD)
        notes.append(
            f"Equal time: all levels took {whole:.0f} s ({took}; medians over seeds), their "
            f"control {spent[CONTROL]:.0f} s; the control of equal time has {longer[0]} epochs instead of {epochs}."
        )
    return notes


def markdown(title: str, found: Replicates, tables: Sequence[Sequence[Sequence[str]]], notes: Sequence[str]) -> str:
    """The page of the ablation: its tables, what they mean, and every difference."""
    parts = [f"# {title}", *notes, *map(to_markdown, tables)]
    parts += ["## Every seed", to_markdown(found.score_rows())]
    parts += ["## Every difference", to_markdown(found.difference_rows())]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
