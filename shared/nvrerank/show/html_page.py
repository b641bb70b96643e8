"""A ranking as an HTML page of its own: one file, no script, nothing loaded. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nvrerank.results import Ranking

from .excerpt import Span
from .html_table import LENGTH, table
from .tags import Markup, joined, tag

ROWS = 100

_STYLE = Markup("""
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 70rem; }
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
caption { opacity: .75; padding-bottom: .5rem; }
th, td { padding: .5rem .6rem; border-top: 1px solid rgba(128, 128, 128, .35); overflow-wrap: anywhere; }
thead th { border-top: 0; font-size: .8rem; white-space: nowrap; }
small { opacity: .75; }
summary { cursor: pointer; opacity: .75; font-size: .85rem; }
mark { border-radius: .2em; }
@media (max-width: 44rem) {
  body { margin-top: 1rem; padding: 0 .6rem; font-size: 15px; }
  thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  tbody tr { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .6rem 0; }
  tbody tr + tr { border-top: 1px solid rgba(128, 128, 128, .35); }
  th, td { border: 0; padding: 0; }
  [data-name]::before { content: attr(data-name) " "; opacity: .75; font-weight: normal; }
  tr > :last-child { flex: 1 0 100%; }
}
""")


def page(
    ranking: Ranking,
    *,
    rows: int | None = ROWS,
    marks: Mapping[int, Sequence[Span]] | None = None,
    labels: Sequence[str] | None = None,
    length: int | None = LENGTH,
) -> str:
    """Makes an HTML document of a ranking, with the table that `table` makes.

    Args:
        ranking: What `rerank` returned.
        rows: At most so many passages; None: all.
        marks: What to mark, by the passage's index, as for `table`.
        labels: A name for each passage, as for `table`.
        length: About how many characters of a passage are shown before it is unfolded; None: all.

    Returns:
        A whole document, in UTF-8 when written so.

    Raises:
        TypeError: rows or length is no integer.
        ValueError: rows or length is too small, or there is not one label a passage.
    """
    content = table(ranking, rows=rows, marks=marks, labels=labels, length=length, whole=True)
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        Markup(
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'\">"
        ),
        tag("title", " ".join(ranking.query.split())),
        tag("style", _STYLE),
    )
    body = tag("body", tag("h1", ranking.query, dir="auto"), Markup(content))
    return Markup("<!DOCTYPE html>\n") + tag("html", joined(head, "\n", body), lang="en") + "\n"
