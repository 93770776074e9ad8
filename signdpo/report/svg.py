"""Figures as inline SVG that takes its ink from the page, so that one file reads well in a light and a dark browser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure

# Space is blue, time is red, language is green; a global level is dark and its local one light. Close to Okabe and
# Ito's colours, which colour-blind readers tell apart; all stand out from white and from black.
LEVEL_COLOURS: Final = {
    "spatial_global": "#1f83c9",
    "spatial_local": "#56b4e9",
    "temporal_global": "#d55e00",
    "temporal_local": "#e69f00",
    "language": "#009e73",
}
ACCENT: Final = "#7a68c8"

# Stands for the text colour of the page while matplotlib draws; no figure uses it for anything else.
INK: Final = "#010203"

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: the page's font, searchable, and small
    "svg.hashsalt": "signdpo",  # the same figure gives the same bytes
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.13,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "figure.constrained_layout.hspace": 0.08,
    "figure.constrained_layout.wspace": 0.04,
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def report_style() -> Iterator[None]:
    """Draw in the report's style inside; the caller's own matplotlib settings are left as they were."""
    with matplotlib.rc_context(_STYLE):
        yield


def to_svg(figure: Figure, description: str) -> str:
    """An `<svg>` element for an HTML page: as wide as its container, labelled for screen readers by `description`."""
    buffer = io.StringIO()
    with report_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue().replace(INK, "currentColor")
    opening, _, body = svg[svg.index("<svg") + len("<svg") :].partition(">")
    # The size in points would keep the figure from growing and shrinking with the page.
    opening = re.sub(r'\s(width|height)="[^"]*"', "", opening)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    return f'<svg role="img" aria-label="{escape(description)}"{opening}>{body}'
