"""What both adapters decide alike: media that nobody reads yet, and whether anything was scored. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from .errors import RequestRejectedError
from .results import Ranking
from .scorer import Scorer
from .texts import is_blank


class _Refusing(Scorer):
    """Raises its error, so that `on_error` decides what becomes of the call."""

    def __init__(self, error: RequestRejectedError) -> None:
        self._error = error

    def score(self, query: str, passages: Sequence[str]) -> list[float]:  # noqa: ARG002
        raise self._error

    async def ascore(self, query: str, passages: Sequence[str]) -> list[float]:
        return self.score(query, passages)


def text_only(
    scorer: Scorer, texts: Sequence[str], media: Sequence[bool], *, stacklevel: int = 3
) -> tuple[Scorer, Sequence[str]]:
    """What to score where some texts have an image beside them, which is not sent yet.

    Warns once that only their text is read. If one has no text, there is nothing to score it by: the scorer
    that comes back refuses the call.

    Args:
        scorer: What is to score.
        texts: One a document.
        media: Whether the document has an image, or a sound or film.
        stacklevel: Whose line the warning names.
    """
    found = [index for index, there in enumerate(media) if there]
    if not found:
        return scorer, texts
    blank = next((index for index in found if is_blank(texts[index])), None)
    if blank is not None:
        error = RequestRejectedError(
            "it has an image and no text, and images are not read yet: give it a caption or leave it out",
            index=blank,
        )
        return _Refusing(error), [str(index) for index in range(len(texts))]
    warnings.warn(
        f"{len(found)} of {len(texts)} passages have an image, which is not read yet: they are ranked by "
        "their text alone",
        stacklevel=stacklevel,
    )
    return scorer, texts


def passed_through(ranked: Ranking) -> bool:
    """Whether nothing was scored although there was something to score: `on_error="passthrough"`."""
    return all(one.score is None for one in ranked) and not all(map(is_blank, ranked.passages))
