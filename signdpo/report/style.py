"""The report's style sheet: the reader's own fonts, one column, colours that follow a light or dark browser."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --ink: #1c1e21; --soft: #5d6470; --line: #dfe2e7; --paper: #ffffff; --panel: #f6f7f9;
  --better: #0a7d4f; --worse: #b3261e; --mark: #ffe69a; --mark-line: #b98900; --warning: #fff3e0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8eaed; --soft: #a3abb8; --line: #363b44; --paper: #15181c; --panel: #1e2228;
    --better: #58c997; --worse: #ff8a80; --mark: #584600; --mark-line: #e0b63a; --warning: #3a2a10;
  }
}
* { box-sizing: border-box; }
body {
  max-width: 70rem; margin: 0 auto; padding: 3rem 1.5rem 5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Noto Sans CJK SC", "PingFang SC",
    "Microsoft YaHei", "DejaVu Sans", sans-serif;
}
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 1.5rem; letter-spacing: -0.01em; }
h2 { font-size: 1.25rem; margin: 3.2rem 0 0.8rem; padding-top: 0.9rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 0.4rem; }
small, .note, figcaption { color: var(--soft); font-size: 0.87rem; }
.note { max-width: 46rem; }
code, pre { font: 0.84rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { overflow-wrap: anywhere; }
.warning { background: var(--warning); border-left: 4px solid var(--mark-line); padding: 0.6rem 1rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem 2rem; margin: 0; }
.facts dt { color: var(--soft); font-size: 0.82rem; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.reasons { list-style: none; padding: 0; margin: 0; }
.count { display: inline-block; min-width: 3rem; text-align: right; margin-right: 0.6rem; font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.32rem 0.7rem; text-align: right; font-weight: 400; white-space: nowrap; }
thead th { color: var(--soft); font-size: 0.87rem; }
tbody { border-top: 1px solid var(--line); }
tbody th { text-align: left; }
.split { vertical-align: top; font-weight: 600; }
.split small { display: block; font-weight: 400; }
.better { color: var(--better); font-weight: 600; }
.worse { color: var(--worse); font-weight: 600; }
.same, .significance { color: var(--soft); }
td.significance { text-align: left; font-size: 0.87rem; padding-bottom: 0.8rem; white-space: normal; }
figure { margin: 1rem 0; overflow-x: auto; }
figcaption { margin-top: 0.7rem; }
svg { display: block; width: 100%; min-width: 44rem; height: auto; }
svg text { font-family: inherit !important; }
article { background: var(--panel); border-radius: 8px; padding: 0.4rem 1.4rem 1rem; margin: 1.4rem 0; }
article img { display: block; width: 100%; margin-top: 1rem; border-radius: 6px; }
.pair { display: grid; grid-template-columns: 9rem 1fr; gap: 0.15rem 1rem; margin: 0.9rem 0; }
.pair dt { color: var(--soft); font-size: 0.87rem; line-height: 1.7; }
.pair dd { margin: 0; overflow-wrap: anywhere; }
.pair + .pair { border-top: 1px solid var(--line); padding-top: 0.9rem; }
mark { background: var(--mark); color: inherit; border-bottom: 2px solid var(--mark-line); }
mark { border-radius: 2px; padding: 0 1px; }
mark.gap { display: inline-block; width: 0.4em; height: 1em; vertical-align: text-bottom; border-radius: 0; }
.margins { display: flex; flex-wrap: wrap; gap: 0.2rem 1.6rem; list-style: none; padding: 0; margin: 0.6rem 0 0; }
.margins { font-size: 0.87rem; font-variant-numeric: tabular-nums; }
.margins i { display: inline-block; width: 0.75em; height: 0.75em; border-radius: 2px; margin-right: 0.4em; }
details { margin-top: 3rem; }
summary { cursor: pointer; font-weight: 600; }
pre { background: var(--panel); padding: 1rem; border-radius: 8px; overflow-x: auto; }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr; } .pair dt { margin-top: 0.4rem; } }
@media print { article, figure, .pair { break-inside: avoid; } body { padding: 0; } }
"""
