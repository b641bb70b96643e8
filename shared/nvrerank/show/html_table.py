"""A ranking as an HTML table. Pure.

Readable without any styling, since GitHub strips it from notebooks: what matters is in words, arrows and
`mark` elements. Colours are the reader's own, so that it suits light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nvrerank.ranking import Ranking

from .excerpt import Piece, Span, excerpt
from .rows import Row, checked_count, rows_of
from .tags import Markup, joined, tag

ROWS = 10
LENGTH = 300
_LONGEST_QUERY = 200
MARKED = "background-color:rgba(255,190,0,{:.2f});color:inherit"
"""Shows on white and on black; takes the strength of the mark, 0..1."""

_STRENGTH = 0.4
_NAMES = ("rank", "before", "moved", "score", "retrieval score")
_CELL = "text-align:left;vertical-align:top"
_NUMBER = "text-align:right;vertical-align:top;white-space:nowrap;font-variant-numeric:tabular-nums"


def table(
    ranking: Ranking,
    *,
    rows: int | None = ROWS,
    marks: Mapping[int, Sequence[Span]] | None = None,
    labels: Sequence[str] | None = None,
    length: int | None = LENGTH,
    whole: bool = False,
) -> str:
    """Makes an HTML table of a ranking: rank before and after, the movement, both scores, the text.

    Args:
        ranking: What `rerank` returned.
        rows: At most so many passages; the rest is counted. None: all.
        marks: What to mark, by the passage's index in the input, as `best_sentences` finds it; else the
            window that decided the score, where there is one.
        labels: A name for each passage, in input order, such as its file; shown above the text.
        length: About how many characters of a passage are shown, around its first mark. None: all.
        whole: Whether a passage that was shortened can be unfolded.

    Returns:
        A `table` element, without script and without a style sheet.

    Raises:
        TypeError: rows or length is no integer.
        ValueError: rows or length is too small, or there is not one label a passage.
    """
    shown = rows_of(ranking)[: checked_count("rows", rows)]
    checked_count("length", length, least=1)
    if labels is not None and len(labels) != len(ranking.passages):
        raise ValueError(f"labels must name each passage: {len(labels)} for {len(ranking.passages)}")
    retrieval = ranking.retrieval_scores is not None
    body = []
    for row in shown:
        spans = _spans(row, marks)
        label = None if labels is None else labels[row.index]
        text = _passage(row, excerpt(row.text, spans, length=length), label)
        if whole and length is not None and len(row.text) > length:
            text = joined(text, _unfolded(row.text, spans))
        body.append(_table_row(row, text, retrieval=retrieval))
    if not ranking or len(shown) < len(ranking):
        left = f"and {len(ranking) - len(shown)} more" if ranking else "no passage stayed"
        body.append(tag("tr", tag("td", left, colspan=6 if retrieval else 5, style=_CELL, align="left")))
    return tag("table", _caption(ranking), _head(retrieval=retrieval), tag("tbody", *body))


def marked(pieces: Sequence[Piece]) -> Markup:
    """Pieces of a text, the marked ones in `mark` elements."""
    style = MARKED.format(_STRENGTH)
    return joined(*(p.text if p.mark is None else tag("mark", p.text, style=style) for p in pieces))


def _caption(ranking: Ranking) -> Markup:
    query = ranking.query
    if len(query) > _LONGEST_QUERY:
        query = query[:_LONGEST_QUERY] + "…"
    counted = f"{len(ranking)} of {len(ranking.passages)} passages for “"
    return tag("caption", counted, tag("bdi", query), "”", align="left", style="text-align:left")


def _head(*, retrieval: bool) -> Markup:
    names = _NAMES if retrieval else _NAMES[:-1]
    cells = [tag("th", name, scope="col", align="right", style="text-align:right") for name in names]
    passage = tag("th", "passage", scope="col", align="left", style="text-align:left")
    return tag("thead", tag("tr", *cells, passage))


def _table_row(row: Row, text: Markup, *, retrieval: bool) -> Markup:
    numbers = [str(row.rank), str(row.before), moved(row.moved), number(row.score)]
    if retrieval:
        numbers.append(number(row.retrieval_score))
    named = dict(zip(_NAMES, numbers, strict=False))
    return tag(
        "tr",
        tag("th", named.pop("rank"), scope="row", align="right", style=_NUMBER, data_name="rank"),
        *(tag("td", cell, align="right", style=_NUMBER, data_name=name) for name, cell in named.items()),
        tag("td", text, align="left", style=_CELL),
    )


def moved(places: int) -> str:
    """How far a passage rose or fell, with an arrow."""
    return f"{'↑' if places > 0 else '↓'}\u00a0{abs(places)}" if places else "="


def number(score: float | None) -> str:
    """A score to three decimals; a dash where there is none."""
    return "\u2013" if score is None else f"{score:.3f}"


def _spans(row: Row, marks: Mapping[int, Sequence[Span]] | None) -> Sequence[Span]:
    if marks is not None and row.index in marks:
        return marks[row.index]
    return [row.window] if row.window else []


def _passage(row: Row, pieces: Sequence[Piece], label: str | None) -> Markup:
    name = Markup() if label is None else tag("small", tag("bdi", label))
    text = tag("div", marked(pieces), dir="auto", style="text-align:start")
    note = tag("small", "its end was not read") if row.truncated else Markup()
    return joined(name, text, note)


def _unfolded(text: str, spans: Sequence[Span]) -> Markup:
    whole = tag(
        "div", marked(excerpt(text, spans)), dir="auto", style="text-align:start;white-space:pre-wrap"
    )
    return tag("details", tag("summary", "all of it"), whole)
