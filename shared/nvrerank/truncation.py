"""What was not read is said once for each scorer."""

from __future__ import annotations

import inspect
import warnings

# The line that is warned of is neither ours nor a framework's.
_PASSED_OVER = (
    *("nvrerank", "langchain_nvrerank", "llamaindex_nvrerank", "asyncio", "concurrent", "threading"),
    *("langchain_core", "langchain_classic", "langchain", "llama_index", "llama_index_instrumentation"),
)


class TruncationWarning(UserWarning):
    """A part of the query or of passages was not read."""


class Notices:
    """Warns once of cut passages and once of a cut query; to be called in the thread of the scorer's caller.

    Args:
        passages: Whether nobody asked for passages to be cut, so that it is worth a warning.
    """

    def __init__(self, *, passages: bool = False) -> None:
        self._untold = {"passages", "query"} if passages else {"query"}

    def passages(self, excess: list[int], count: int, limit: int) -> None:
        """Warns of those of `count` passages that were cut.

        Args:
            excess: For each that was cut how many tokens of it were not read.
            count: How many passages there were.
            limit: Tokens of query and passage together that are read.
        """
        if excess and self._is_first("passages"):
            warn_caller(
                f"not read whole: {len(excess)} of {count} passages, which with the query have up to "
                f"{max(excess)} tokens more than the {limit} that are read. A scorer made with "
                "long_passages='windows' reads them whole, with 'truncate' it cuts them without this warning"
            )

    def query(self) -> None:
        """Warns of a query."""
        if self._is_first("query"):
            warn_caller(
                "the query was not read to its end: a quarter of what the model reads is kept for the "
                "passage. Shorten it, or use a model that reads more"
            )

    def _is_first(self, kind: str) -> bool:
        try:
            self._untold.remove(kind)  # at once, whatever other threads do
        except KeyError:
            return False
        return True


def warn_caller(message: str, category: type[Warning] = TruncationWarning) -> None:
    """Warns, and names the line of whoever called this package or a framework around it."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED_OVER:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
