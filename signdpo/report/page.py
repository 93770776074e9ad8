"""What every page of a report is made of: one self-contained HTML file without a script."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from signdpo.report.style import STYLE


def page(title: str, sections: Iterable[str], warnings: Iterable[str] = ()) -> str:
    """A page as one string of HTML, with nothing to fetch; empty sections are left out."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "".join(f'<p class="warning">{escape(warning)}</p>\n' for warning in warnings)
        + "\n".join(section for section in sections if section)
        + "\n</body>\n</html>\n"
    )


def section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def figure(svg: str, caption: str = "") -> str:
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{svg}{text}</figure>"


def facts_list(facts: dict[str, str]) -> str:
    """Short facts in reading order."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>' if items else ""


def signed(value: float) -> str:
    """Two decimals and a sign, with the minus that is as wide as a plus."""
    return f"{value:+.2f}".replace("-", "\u2212")
