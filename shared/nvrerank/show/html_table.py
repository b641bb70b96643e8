"""A ranking as an HTML table. Pure.

Readable without any styling, since GitHub strips it from notebooks: what matters is in words, arrows and
`mark` elements. Colours are the reader's own, so that it suits light and dark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nvrerank.results import Ranking

from .excerpt import Piece, Span, excerpt
from .rows import Row, checked_count, rows_of
from .tags import Markup, joined, tag

ROWS = 10
LENGTH = 300
_LONGEST_QUERY = 200
MARKED = "background-color:rgba(255,190,0,{:.2f});color:inherit"
"""Shows on white and on black; takes the strength of the mark, 0..1."""

_STRENGTH = 0.4
_LONG, _SMALL = 1e9, 0.1  # from here on, and below, three decimals say too much or too little
_CELL = "text-align:left;vertical-align:top;overflow-wrap:anywhere"
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
    """Makes an HTML table of a ranking: rank before and after, the movement, the scores, the text.

    Retrieval scores, and the fused ones that decided the order, have a column where there are any.

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
    names = _columns(ranking)
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
    return tag("table", _caption(ranking), _head(names), tag("tbody", *body))


def marked(pieces: Sequence[Piece]) -> Markup:
    """Pieces of a text, the marked ones in `mark` elements."""
    style = MARKED.format(_STRENGTH)
    return joined(*(p.text if p.mark is None else tag("mark", p.text, style=style) for p in pieces))


def _caption(ranking: Ranking) -> Markup:
    query = ranking.query
    if len(query) > _LONGEST_QUERY:
        query = query[:_LONGEST_QUERY] + "…"
    counted = f"{len(ranking)} of {len(ranking.passages)} passages for “"
    end = "”, whose end was not read" if ranking.query_truncated else "”"
    return tag("caption", counted, tag("bdi", query), end, align="left", style="text-align:left")


def _columns(ranking: Ranking) -> list[str]:
    """The names of the columns of numbers that this ranking fills."""
    there = {
        "retrieval score": ranking.retrieval_scores is not None,
        "fused score": any(one.fused is not None for one in ranking),
    }
    return [name for name in _NUMBERS if there.get(name, True)]


def _head(names: Sequence[str]) -> Markup:
    cells = [tag("th", name, scope="col", align="right", style="text-align:right") for name in names]
    passage = tag("th", "passage", scope="col", align="left", style="text-align:left")
    return tag("thead", tag("tr", *cells, passage))


def _table_row(row: Row, text: Markup, names: Sequence[str]) -> Markup:
    named = {name: _NUMBERS[name](row) for name in names}
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
    """A score to three decimals, or three digits where it is small; a dash where there is none."""
    if score is None:
        return "\u2013"
    size = abs(score)
    return f"{score:.3e}" if size >= _LONG else f"{score:#.3g}" if 0 < size < _SMALL else f"{score:.3f}"


_NUMBERS: Mapping[str, Callable[[Row], str]] = {
    "rank": lambda row: str(row.rank),
    "before": lambda row: str(row.before),
    "moved": lambda row: moved(row.moved),
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
    text = tag("div", marked(pieces), dir="auto", style="text-align:start")
    note = tag("small", "its end was not read") if row.truncated else Markup()
    return joined(name, text, note)


def _unfolded(text: str, spans: Sequence[Span]) -> Markup:
    whole = tag(
        "div", marked(excerpt(text, spans)), dir="auto", style="text-align:start;white-space:pre-wrap"
    )
    return tag("details", tag("summary", "all of it"), whole)
