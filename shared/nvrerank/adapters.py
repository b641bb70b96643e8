"""What both adapters decide alike: candidates checked, their images read or refused, what was scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from .errors import NVRerankError, RequestRejectedError
from .fusion import known_score
from .images import ImageSource, Passage, is_url
from .results import Ranking
from .scorer import Scorer
from .texts import is_blank
from .truncation import warn_caller

T = TypeVar("T")
_UNFETCHED = "a URL is fetched only with fetch_images=True"


class Candidates(NamedTuple):
    """A framework's documents or nodes, as far as they are scored.

    Attributes:
        texts: One for each.
        images: By index those that have an image, as `Passage` takes it.
        media: Indices of those that have a sound or a film.
    """

    texts: Sequence[str]
    images: Mapping[int, ImageSource]
    media: Sequence[int] = ()


class _Refusing(Scorer):
    """Raises its error, so that `on_error` decides what becomes of the call."""

    def __init__(self, error: NVRerankError) -> None:
        self._error = error

    def _score(self, query: str, passages: Sequence[str]) -> list[float]:  # noqa: ARG002
        raise self._error

    def _instructed(self, instruction: str) -> Scorer:  # noqa: ARG002
        return self


def readable_images(
    scorer: Scorer, candidates: Candidates, *, fetch_images: bool
) -> tuple[Scorer, Sequence[str], dict[int, ImageSource]]:
    """What to score, and the images that are to be read for it.

    What can't be read is warned of once for each reason, and ranked by its text. If one of these has no text,
    there is nothing to score it by: the scorer that comes back refuses the call.

    Args:
        scorer: What is to score.
        candidates: The framework's documents or nodes.
        fetch_images: Whether images are fetched from URLs.
    """
    if not (candidates.images or candidates.media):
        return scorer, candidates.texts, {}
    read, unread = dict[int, ImageSource](), dict[tuple[str, str], list[int]]()
    for index, image in candidates.images.items():
        if not scorer.reads_images:
            unread.setdefault(("an image", f"{scorer.name} reads none"), []).append(index)
        elif not fetch_images and isinstance(image, str) and is_url(image):
            unread.setdefault(("an image", _UNFETCHED), []).append(index)
        else:
            read[index] = image
    if candidates.media:
        unread["a sound or film", "nothing reads those"] = list(candidates.media)
    for (what, why), indices in unread.items():
        blank = [index for index in indices if index not in read and is_blank(candidates.texts[index])]
        if blank:
            words = f"it has {what} and no text, and {why}: give it a caption or leave it out"
            return *_refusing(RequestRejectedError(words, index=blank[0]), candidates.texts), {}
        warn_caller(
            f"{len(indices)} of {len(candidates.texts)} passages have {what}, and {why}: they are ranked "
            "without",
            UserWarning,
        )
    return scorer, candidates.texts, read


def with_images(
    scorer: Scorer, texts: Sequence[str], images: Mapping[int, ImageSource], *, fetch_images: bool
) -> tuple[Scorer, Sequence[str]]:
    """Texts with their images beside them; reads files and perhaps the web.

    If an image can't be had, the scorer that comes back refuses the call.
    """
    passages = list(texts)
    for index, image in images.items():
        try:
            passages[index] = Passage(texts[index], image, fetch_images=fetch_images)
        except NVRerankError as error:
            return _refusing(error, texts)
        except ValueError as error:
            return _refusing(RequestRejectedError(str(error), index=index), texts)
    return scorer, passages


def _refusing(error: NVRerankError, texts: Sequence[str]) -> tuple[Scorer, Sequence[str]]:
    return _Refusing(error), [str(index) for index in range(len(texts))]  # none of them blank, all different


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
