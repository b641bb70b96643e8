"""What both adapters decide alike: candidates checked, media that nobody reads, what was scored. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TypeVar

from .errors import RequestRejectedError
from .fusion import known_score
from .results import Ranking
from .scorer import Scorer
from .texts import is_blank

T = TypeVar("T")


class _Refusing(Scorer):
    """Raises its error, so that `on_error` decides what becomes of the call."""

    def __init__(self, error: RequestRejectedError) -> None:
        self._error = error

    def _score(self, query: str, passages: Sequence[str]) -> list[float]:  # noqa: ARG002
        raise self._error

    def _instructed(self, instruction: str) -> Scorer:  # noqa: ARG002
        return self


def text_only(
    scorer: Scorer, texts: Sequence[str], unread: Sequence[int], *, stacklevel: int
) -> tuple[Scorer, Sequence[str]]:
    """What to score where some texts have an image beside them, which is not sent yet.

    Warns once that only their text is read. If one has no text, there is nothing to score it by: the scorer
    that comes back refuses the call.

    Args:
        scorer: What is to score.
        texts: One a document.
        unread: Indices of the documents that have an image, or a sound or film.
        stacklevel: Whose line the warning names.
    """
    blank = next((index for index in unread if is_blank(texts[index])), None)
    if blank is not None:
        error = RequestRejectedError(
            "it has an image and no text, and images are not read yet: give it a caption or leave it out",
            index=blank,
        )
        return _Refusing(error), [str(index) for index in range(len(texts))]
    warnings.warn(
        f"{len(unread)} of {len(texts)} passages have an image, which is not read yet: they are ranked by "
        "their text alone",
        stacklevel=stacklevel,
    )
    return scorer, texts


def checked_candidates(candidates: Iterable[T], kind: type[T], plural: str) -> list[T]:
    """Takes documents or nodes out of any iterable, once.

    Raises:
        TypeError: It is not an iterable, or an item is not of this kind.
    """
    if not isinstance(candidates, Iterable):
        raise TypeError(f"{plural} must be a list of {kind.__name__}, not {type(candidates).__name__}")
    checked = list(candidates)
    for index, one in enumerate(checked):
        if not isinstance(one, kind):
            raise TypeError(f"{plural}[{index}] must be a {kind.__name__}, not {type(one).__name__}")
    return checked


def first_known(*scores: object) -> float | None:
    """The first of a framework's scores that is a finite number."""
    return next((known for score in scores if (known := known_score(score)) is not None), None)


def passed_through(ranked: Ranking) -> bool:
    """Whether nothing was scored although there was something to score: `on_error="passthrough"`."""
    return all(one.score is None for one in ranked) and not all(map(is_blank, ranked.passages))
