"""A folder of negatives to look at: a page, a PNG per clip, and a GIF where wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from signdpo.report.animation import save_animation
from signdpo.report.html import NegativeView, fill_template
from signdpo.report.negatives import NegativeExample, negative_figure
from signdpo.storage.names import file_stem


def write_gallery(
    folder: Path, examples: Sequence[NegativeExample], facts: Mapping[str, str], *, animated: bool
) -> Path:
    """Write the pictures, and `index.html` that shows them.

    Args:
        folder: where they go; made if it is not there.
        examples: clips with their negatives.
        facts: short facts above them on the page.
        animated: whether each clip gets a GIF.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    animations = {}
    for example in examples:
        name = file_stem(example.id)
        drawn = negative_figure(example, sentences=True)
        drawn.savefig(folder / f"{name}.png", dpi=150, facecolor="white", bbox_inches="tight", pad_inches=0.15)
        if animated:
            animations[example.id] = f"{name}.gif"
            save_animation(example, folder / animations[example.id])
    page = folder / "index.html"
    page.write_text(gallery("Negatives", examples, facts, animations), encoding="utf-8")
    return page


def gallery(
    title: str, examples: Sequence[NegativeExample], facts: Mapping[str, str], animations: Mapping[str, str]
) -> str:
    """A page of its own for negatives, as one string of HTML.

    Args:
        title: heading of the page.
        examples: clips to show.
        facts: short facts above them.
        animations: id of a clip -> animated picture, a file beside the page; for any of the clips.
    """
    views = [NegativeView.of(example, animations.get(example.id, "")) for example in examples]
    return fill_template("gallery.html.j2", title=title, facts=facts, negatives=views)
