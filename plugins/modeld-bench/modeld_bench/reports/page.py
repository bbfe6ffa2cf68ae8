# SPDX-License-Identifier: GPL-3.0-only
"""A report as one HTML page that needs nothing else: no script, no font, no file beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from modeld.terminal import visible
from modeld_bench.reports.report import Report

_STYLE: Final = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: #52606d; } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #e4e7eb; text-align: right;
  white-space: nowrap; }
th:first-child { text-align: left; font-weight: normal; }
tr > :last-child { padding-right: 0; }
thead th { border-bottom: 2px solid #9aa5b1; }
figure { margin: 0; } svg { width: 100%; height: auto; }
figcaption, .notes { color: #52606d; font-size: .9rem; }
.notes li { overflow-wrap: anywhere; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; }
  .wide { overflow: visible; } table { font-size: 8.5pt; } figure, table { break-inside: avoid; }
}
""".strip()

_CAPTION: Final = (
    "Boxes hold the middle half of the times, the line in them is the median, the whiskers reach"
    " from 5 % to 95 %, the dot is at 99 %."
)


def html_page(report: Report, svg: bytes) -> bytes:
    """Return the page; ``svg`` is the report's picture.

    Whatever comes from outside is escaped.
    """
    title = (
        f"modeld bench: {visible(report.model or 'default model')} at {visible(report.plan.url)}"
    )
    header, rows = report.table()
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<dl>
{_terms(report.about())}
</dl>
<h2>Figures</h2>
<div class="wide">
{_table(header, rows)}
</div>
{_notes(report.notes())}<h2>Pictures</h2>
<figure>
{_inline(svg)}
<figcaption>{_CAPTION}</figcaption>
</figure>
</main>
</body>
</html>
"""
    return page.encode()


def _terms(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in pairs)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f'<th scope="col">{_safe(cell)}</th>' for cell in header[1:])
    body = "\n".join(
        f'<tr><th scope="row">{_safe(name)}</th>'
        + "".join(f"<td>{_safe(cell) or '-'}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    head = f"<thead><tr><th>figure</th>{heads}</tr></thead>"
    return f"<table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table>"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "\n".join(f"<li>{_safe(note)}</li>" for note in notes)
    return f'<h2>Notes</h2>\n<ul class="notes">\n{items}\n</ul>\n'


def _inline(svg: bytes) -> str:
    """Return the picture without what only a file of its own has before and in its first tag."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    label = 'role="img" aria-label="tokens per second and times, by the number of clients"'
    return text.replace("<svg ", f"<svg {label} ", 1)


def _safe(text: str) -> str:
    return escape(visible(text))
