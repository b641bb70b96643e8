"""What scorers around scorers have in common: what they do not change is that of the one within."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import Self

from nvrerank.errors import RequestRejectedError
from nvrerank.scorer import Scale, Scorer
from nvrerank.token_counter import TokenCounter


class Composed(Scorer):
    """A scorer around others.

    `close()`, `aclose()` and a with statement close the scorers within, too: whoever shares one of them with
    somebody else closes them himself, and leaves this one open. A copy is the scorer itself.

    Args:
        **scorers: What is within, by the argument's name; the first is the one whose properties count.

    Raises:
        TypeError: One is no scorer.
    """

    def __init__(self, **scorers: Scorer) -> None:
        for name, scorer in scorers.items():
            if not isinstance(scorer, Scorer):
                kind = type(scorer).__name__
                raise TypeError(
                    f"{name} must be a Scorer, not {kind}; nvrerank.scorer_of makes one of a string"
                )
        self._scorers = tuple(scorers.values())

    @property
    def within(self) -> tuple[Scorer, ...]:
        """The scorers within."""
        return self._scorers

    @property
    def name(self) -> str:
        """The inner scorer's."""
        return self._scorers[0].name

    @property
    def scale(self) -> Scale:
        """The inner scorer's."""
        return self._scorers[0].scale

    @property
    def calibrated(self) -> bool:
        """The inner scorer's."""
        return self._scorers[0].calibrated

    @property
    def listwise(self) -> bool:
        """Whether a scorer within is."""
        return any(scorer.listwise for scorer in self._scorers)

    @property
    def instruction(self) -> str | None:
        """The inner scorer's."""
        return self._scorers[0].instruction

    @property
    def reads_images(self) -> bool:
        """Whether all scorers within do."""
        return all(scorer.reads_images for scorer in self._scorers)

    def token_counter(self, query: str) -> TokenCounter:
        """The inner scorer's."""
        return self._scorers[0].token_counter(query)

    def close(self) -> None:
        """Closes the scorers within."""
        with ExitStack() as stack:
            for scorer in self._scorers:
                stack.callback(scorer.close)

    async def aclose(self) -> None:
        """As `close`, from a coroutine."""
        async with AsyncExitStack() as stack:
            for scorer in self._scorers:
                stack.push_async_callback(scorer.aclose)

    def _instructed(self, instruction: str) -> Self:
        """All scorers within are told; what this one keeps beside them is shared."""
        told = {id(scorer): scorer.with_instruction(instruction) for scorer in self._scorers}
        twin = object.__new__(type(self))
        twin.__dict__ = {name: told.get(id(value), value) for name, value in vars(self).items()}
        twin.__dict__.pop("_identity", None)  # a cached property
        twin._scorers = tuple(told[id(scorer)] for scorer in self._scorers)
        return twin

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class Around(Composed):
    """A scorer around one other.

    Attributes:
        scorer: The inner scorer.
    """

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer=scorer)
        self.scorer = scorer

    @property
    def identity(self) -> Mapping[str, object] | None:
        """The inner scorer's."""
        return self.scorer.identity


@contextmanager
def reindexing(places: Sequence[Sequence[int]]) -> Iterator[None]:
    """Within it an error about a passage that was handed on names the caller's own.

    Args:
        places: For each query that was handed on, where each of its passages was; with several it is not
            known whose passage an error is about, and it names none.
    """
    try:
        yield
    except RequestRejectedError as error:
        own = places[0] if len(places) == 1 else ()
        error.reindex(lambda index: own[index] if 0 <= index < len(own) else None)
        raise
