"""Figures as inline SVG that takes its ink from the page, so that one file reads well in a light and a dark browser."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

ACCENT: Final = "#7a68c8"
INK: Final = "#010203"  # stands for the text colour of the page; figures use it for nothing else
INK_ON_WHITE: Final = "#1c1e21"  # of figures that leave the page


def report_style() -> AbstractContextManager[None]:
    """Draw in the report's style inside; the caller's own matplotlib settings are left as they were."""
    return matplotlib.rc_context(fname=Path(__file__).with_name("figure.mplstyle"))


def to_svg(figure: Figure) -> Markup:
    """An `<svg>` element to stand in an HTML page, whose style sheet gives it its size."""
    buffer = io.StringIO()
    with report_style():
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    return Markup(svg[svg.index("<svg") :].replace(INK, "currentColor"))
