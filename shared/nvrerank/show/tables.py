"""A ranking as an HTML table, and as a page of its own: one file, no script, nothing loaded. Pure.

A table is readable without any styling, since GitHub strips it from notebooks: what matters is in words,
arrows and `mark` elements. Colours are the reader's own, so that it suits light and dark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nvrerank.results import Ranking
from nvrerank.segmentation import Span

from .excerpt import Piece, excerpt
from .framework_results import Results, Shown, ranking_of
from .markup import Markup, joined, tag
from .rows import Row, check_labels, checked_count, rows_of

ROWS, PAGE_ROWS = 10, 100
LENGTH = 300
_LONGEST_QUERY = 200
MARK_STYLE = "background-color:rgba(255,190,0,{:.2f});color:inherit"
"""Shows on white and on black; takes the strength of the mark, 0..1."""

_STRENGTH = 0.4
_LONG, _SMALL = 1e9, 0.1  # from here on, and below, three decimals say too much or too little
_CELL = "text-align:left;vertical-align:top;overflow-wrap:anywhere"
_NUMBER = "text-align:right;vertical-align:top;white-space:nowrap;font-variant-numeric:tabular-nums"
_PAGE_STYLE = Markup("""
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


def table(
    ranking: Shown,
    *,
    rows: int | None = ROWS,
    marks: Mapping[int, Sequence[Span]] | None = None,
    labels: Sequence[str] | None = None,
    length: int | None = LENGTH,
    whole: bool = False,
) -> str:
    """Makes an HTML table of a ranking: rank before and after, the movement, the scores, the text.

    Retrieval scores, and the fused ones that decided the order, have a column where there are any.

    Args:
        ranking: What `rerank` returned, or LangChain's documents or LlamaIndex's nodes.
        rows: At most so many passages; the rest is counted. None: all.
        marks: What to mark, by the passage's index in the input, as `best_sentences` finds it; else the
            window that decided the score, where there is one.
        labels: A name for each passage, in input order, such as its file; shown above the text.
        length: About how many characters of a passage are shown, around its first mark. None: all.
        whole: Whether a passage that was shortened can be unfolded.

    Returns:
        A `table` element, without script and without a style sheet.

    Raises:
        TypeError: rows or length is no integer, or there is something else than documents.
        ValueError: rows or length is too small, or there is not one label a passage.
    """
    ranking = ranking_of(ranking)
    shown, names = rows_of(ranking, rows), columns_of(ranking)
    checked_count("length", length, least=1)
    check_labels(labels, ranking)
    body = []
    for row in shown:
        spans = _spans(row, marks)
        label = None if labels is None else labels[row.index]
        text = _passage(row, excerpt(row.text, spans, length=length), label)
        if whole and length is not None and len(row.text) > length:
            text = joined(text, _unfolded(row.text, spans))
        body.append(_table_row(row, text, names))
    if not ranking or len(shown) < len(ranking):
        left = f"and {len(ranking) - len(shown)} more" if ranking else "no passage stayed"
        body.append(tag("tr", tag("td", left, colspan=len(names) + 1, style=_CELL, align="left")))
    before, query, after = caption(ranking)
    above = tag("caption", before, tag("bdi", query), after, align="left", style="text-align:left")
    return tag("table", above, _head(names), tag("tbody", *body))


def page(
    ranking: Shown,
    *,
    rows: int | None = PAGE_ROWS,
    marks: Mapping[int, Sequence[Span]] | None = None,
    labels: Sequence[str] | None = None,
    length: int | None = LENGTH,
) -> str:
    """Makes an HTML document of a ranking, with the table that `table` makes.

    Args:
        ranking: What `rerank` returned, or LangChain's documents or LlamaIndex's nodes.
        rows: At most so many passages; None: all.
        marks: What to mark, by the passage's index, as for `table`.
        labels: A name for each passage, as for `table`.
        length: About how many characters of a passage are shown before it is unfolded; None: all.

    Returns:
        A whole document, in UTF-8 when written so.

    Raises:
        TypeError: rows or length is no integer, or there is something else than documents.
        ValueError: rows or length is too small, or there is not one label a passage.
    """
    ranking = ranking_of(ranking)
    content = table(ranking, rows=rows, marks=marks, labels=labels, length=length, whole=True)
    title = ranking.query or "Ranking"
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        Markup(
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'\">"
        ),
        tag("title", " ".join(title.split())),
        tag("style", _PAGE_STYLE),
    )
    body = tag("body", tag("h1", title, dir="auto"), Markup(content))
    return Markup("<!DOCTYPE html>\n") + tag("html", joined(head, "\n", body), lang="en") + "\n"


def _marked(pieces: Sequence[Piece]) -> Markup:
    """Pieces of a text, the marked ones in `mark` elements."""
    style = MARK_STYLE.format(_STRENGTH)
    return joined(*(p.text if p.mark is None else tag("mark", p.text, style=style) for p in pieces))


def caption(ranking: Ranking) -> tuple[str, str, str]:
    """How many passages stayed, for which query: what stands before the query, it, and what stands after."""
    counted = f"{len(ranking)} of {len(ranking.passages)} passages"
    if not ranking.query:
        return counted, "", ""
    query = ranking.query
    if len(query) > _LONGEST_QUERY:
        query = query[:_LONGEST_QUERY] + "…"
    return f"{counted} for “", query, "”, whose end was not read" if ranking.query_truncated else "”"


def columns_of(ranking: Ranking) -> list[str]:
    """The names of the columns of numbers that this ranking fills."""
    there = {
        "before": not isinstance(ranking, Results),
        "moved": not isinstance(ranking, Results),
        "retrieval score": ranking.retrieval_scores is not None,
        "fused score": any(one.fused is not None for one in ranking),
    }
    return [name for name in NUMBERS if there.get(name, True)]


def _head(names: Sequence[str]) -> Markup:
    cells = [tag("th", name, scope="col", align="right", style="text-align:right") for name in names]
    passage = tag("th", "passage", scope="col", align="left", style="text-align:left")
    return tag("thead", tag("tr", *cells, passage))


def _table_row(row: Row, text: Markup, names: Sequence[str]) -> Markup:
    named = {name: NUMBERS[name](row) for name in names}
    return tag(
        "tr",
        tag("th", named.pop("rank"), scope="row", align="right", style=_NUMBER, data_name="rank"),
        *(tag("td", cell, align="right", style=_NUMBER, data_name=name) for name, cell in named.items()),
        tag("td", text, align="left", style=_CELL),
    )


def _moved(places: int) -> str:
    """How far a passage rose or fell, with an arrow."""
    return f"{'↑' if places > 0 else '↓'}\u00a0{abs(places)}" if places else "="


def number(score: float | None) -> str:
    """A score to three decimals, or three digits where it is small; a dash where there is none."""
    if score is None:
        return "\u2013"
    size = abs(score)
    return f"{score:.3e}" if size >= _LONG else f"{score:#.3g}" if 0 < size < _SMALL else f"{score:.3f}"


NUMBERS: Mapping[str, Callable[[Row], str]] = {
    "rank": lambda row: str(row.rank),
    "before": lambda row: str(row.before),
    "moved": lambda row: _moved(row.moved),
    "score": lambda row: number(row.score),
    "retrieval score": lambda row: number(row.retrieval_score),
    "fused score": lambda row: number(row.fused),
}


def _spans(row: Row, marks: Mapping[int, Sequence[Span]] | None) -> Sequence[Span]:
    if marks is not None and row.index in marks:
        return marks[row.index]
    return [row.window] if row.window else []


def _passage(row: Row, pieces: Sequence[Piece], label: str | None) -> Markup:
    name = Markup() if label is None else tag("small", tag("bdi", label))
    text = tag("div", _marked(pieces), dir="auto", style="text-align:start")
    note = tag("small", "its end was not read") if row.truncated else Markup()
    return joined(name, text, note)


def _unfolded(text: str, spans: Sequence[Span]) -> Markup:
    whole = tag(
        "div", _marked(excerpt(text, spans)), dir="auto", style="text-align:start;white-space:pre-wrap"
    )
    return tag("details", tag("summary", "all of it"), whole)
