"""Which sentences of a passage the query finds: each is scored as if it were a passage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nvrerank.ranking import ScoreMode, arerank, rerank
from nvrerank.results import Ranking
from nvrerank.scorer import Scorer
from nvrerank.segmentation import Span, sentences

from .excerpt import pieces
from .markup import Markup, joined, tag
from .rows import Row, checked_count, rows_of
from .tables import MARK_STYLE, ROWS, number

TOP = 3
_WEAKEST, _STRONGEST = 0.15, 0.5  # of the colour


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage.

    Attributes:
        start: Its first character's index in the passage.
        end: The index after its last character's.
        text: `passage[start:end]`.
        score: Its relevance to the query.
    """

    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Highlight:
    """A passage with its sentences scored; in a notebook, with the best ones marked.

    Attributes:
        query: The query.
        passage: The passage, as it was given.
        sentences: Its sentences in the order of the text.
        top: How many of them are marked; None: all.
    """

    query: str
    passage: str
    sentences: tuple[Sentence, ...]
    top: int | None = TOP

    @property
    def best(self) -> list[Sentence]:
        """The `top` best sentences, best first; of equal ones the first in the text."""
        return sorted(self.sentences, key=lambda one: -one.score)[: self.top]

    def _repr_html_(self) -> str:
        best = self.best
        spans = [(one.start, one.end) for one in best]
        shares = _shares([one.score for one in self.sentences], [one.score for one in best])
        content = [
            piece.text if piece.mark is None else _marked(piece.text, best[piece.mark], shares[piece.mark])
            for piece in pieces(self.passage, spans, 0, len(self.passage))
        ]
        return tag("div", *content, dir="auto", style="white-space:pre-wrap;overflow-wrap:anywhere")


def highlight(
    scorer: Scorer, query: str, passage: str, *, top: int | None = TOP, score_mode: ScoreMode = "logit"
) -> Highlight:
    """Scores the sentences of a passage, all in one call of the scorer.

    A sentence that comes twice is scored once. A sentence is scored without its neighbours: what "it"
    stands for is not known to the scorer.

    Args:
        scorer: Any scorer.
        query: The question; not blank.
        passage: A text; a blank one has no sentences.
        top: How many of the best sentences are marked; None: all.
        score_mode: "logit" as the model gives it, or "sigmoid" for 0..1.

    Returns:
        The passage with its sentences, their offsets and scores.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The query is blank or an option out of range.
        NVRerankError: The scorer failed.
    """
    checked_count("top", top)
    spans = sentences(_checked(passage))
    ranking = rerank(scorer, query, [passage[start:end] for start, end in spans], score_mode=score_mode)
    return _highlight(ranking, passage, spans, top)


async def ahighlight(
    scorer: Scorer, query: str, passage: str, *, top: int | None = TOP, score_mode: ScoreMode = "logit"
) -> Highlight:
    """As `highlight`, without blocking the event loop."""
    checked_count("top", top)
    spans = sentences(_checked(passage))
    texts = [passage[start:end] for start, end in spans]
    ranking = await arerank(scorer, query, texts, score_mode=score_mode)
    return _highlight(ranking, passage, spans, top)


def best_sentences(
    scorer: Scorer, ranking: Ranking, *, rows: int | None = ROWS, top: int = 1
) -> dict[int, list[Span]]:
    """Finds the best sentences of a ranking's first passages, in one call of the scorer.

    Of a passage of which only a window decided, the sentences of that window.

    Args:
        scorer: Any scorer; that which made the ranking, as a rule.
        ranking: What `rerank` returned.
        rows: Of how many passages, from the best on; None: all.
        top: How many sentences of each.

    Returns:
        Their (start, end), best first, by the passage's index in the input: what `table` and `page` take
        as `marks`.

    Raises:
        TypeError: rows or top is no integer.
        ValueError: rows or top is less than 0.
        NVRerankError: The scorer failed.
    """
    checked_count("top", top)
    places = _places(rows_of(ranking, rows))
    scored = rerank(scorer, ranking.query, _texts(places, ranking))
    return _by_passage(scored, places, top)


async def abest_sentences(
    scorer: Scorer, ranking: Ranking, *, rows: int | None = ROWS, top: int = 1
) -> dict[int, list[Span]]:
    """As `best_sentences`, without blocking the event loop."""
    checked_count("top", top)
    places = _places(rows_of(ranking, rows))
    scored = await arerank(scorer, ranking.query, _texts(places, ranking))
    return _by_passage(scored, places, top)


def _checked(passage: str) -> str:
    if not isinstance(passage, str):
        raise TypeError(f"passage must be a str, not {type(passage).__name__}")
    return passage


def _highlight(ranking: Ranking, passage: str, spans: Sequence[Span], top: int | None) -> Highlight:
    scores = {one.index: one.score for one in ranking}
    found = [
        Sentence(start, end, passage[start:end], score)
        for index, (start, end) in enumerate(spans)
        if (score := scores[index]) is not None
    ]
    return Highlight(ranking.query, passage, tuple(found), top)


def _places(rows: Iterable[Row]) -> list[tuple[int, Span]]:
    """Each sentence as (the passage's index, its place there)."""
    places = []
    for row in rows:
        first, last = row.window or (0, len(row.text))
        within = sentences(row.text[first:last])
        places += [(row.index, (first + start, first + end)) for start, end in within]
    return places


def _texts(places: Iterable[tuple[int, Span]], ranking: Ranking) -> list[str]:
    return [ranking.passages[index][start:end] for index, (start, end) in places]


def _by_passage(scored: Ranking, places: Sequence[tuple[int, Span]], top: int) -> dict[int, list[Span]]:
    found: dict[int, list[Span]] = {}
    for one in scored:
        index, span = places[one.index]
        found.setdefault(index, []).append(span)
    return {index: spans[:top] for index, spans in found.items()}


def _shares(scores: Sequence[float], chosen: Sequence[float]) -> list[float]:
    """Where each chosen score lies between the least and the greatest of all, 0..1."""
    if not scores:
        return []
    least, greatest = min(scores), max(scores)
    span = greatest - least
    return [(score - least) / span if span else 1.0 for score in chosen]


def _marked(text: str, sentence: Sentence, share: float) -> Markup:
    style = MARK_STYLE.format(_WEAKEST + share * (_STRONGEST - _WEAKEST))
    score = tag("small", number(sentence.score), dir="ltr")  # else a minus changes sides in Arabic
    return joined(tag("mark", text, style=style), " ", score)
