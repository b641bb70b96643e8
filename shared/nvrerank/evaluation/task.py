"""What is evaluated: queries, the passages to search, and which of them are relevant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .errors import DataError


@dataclass(frozen=True, slots=True)
class Task:
    """One corpus, queries, and what is relevant to each.

    A data set is one task; a set in several languages is one for each pair of a query language and a
    passage language.

    Attributes:
        name: The data set's name.
        queries: Text by id, of the queries that are asked.
        passages: Text by id, title in front.
        relevant: For each query its judged passages and their grades; 1 and more is relevant.
        languages: Of the queries and of the passages; None: the set has no pairs of languages.
        of: How many judged queries the set holds, before a sample was taken; 0: as many as are asked.
        known: The ids of all its queries, asked or not; empty: those that are asked.

    Raises:
        DataError: It is empty, or a judgement names something unknown.
    """

    name: str
    queries: Mapping[str, str]
    passages: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]
    languages: tuple[str, str] | None = None
    of: int = 0
    known: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.queries or not self.passages:
            raise DataError(f"{self.label} is empty: no {'passages' if self.queries else 'queries'}")
        for query in self.queries:
            grades = self.relevant.get(query, {})
            if not any(grade > 0 for grade in grades.values()):
                raise DataError(f"{self.label}: nothing is relevant to query {query!r}: leave it out")
            if unknown := first_missing(grades, self.passages):
                raise DataError(f"{self.label}: the judged passage {unknown!r} is not in the corpus")

    @property
    def label(self) -> str:
        """The data set's name, with the languages where it has them: xquad.en-de."""
        return self.name if self.languages is None else f"{self.name}.{'-'.join(self.languages)}"

    @property
    def crosses(self) -> bool:
        """Whether queries and passages are in different languages."""
        return self.languages is not None and self.languages[0] != self.languages[1]


def first_missing(ids: Iterable[str], known: Mapping[str, object]) -> str | None:
    """The first id that is not known; None: all are."""
    return next((one for one in ids if one not in known), None)
