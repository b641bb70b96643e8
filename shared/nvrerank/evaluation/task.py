"""What is evaluated: queries, the passages to search, and which of them are relevant. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nvrerank.data_file import DataError
from nvrerank.texts import is_blank

MOST_GRADE = 1000
"""The highest grade: who computes metrics keeps a place for each up to it."""

A_GRADE = f"a grade is a whole number up to {MOST_GRADE:,}"


@dataclass(frozen=True, slots=True)
class Task:
    """One corpus, queries, and what is relevant to each.

    A data set is one task; a set in several languages is one for each pair of a query language and a
    passage language.

    Attributes:
        name: The data set's name.
        queries: Text by id, of the queries that are asked.
        passages: Text by id, title in front.
        relevant: For each query its judged passages and their grades; 1 and more is relevant. One that is
            not among the passages counts as not found, as BEIR has it.
        languages: Of the queries and of the passages; None: the set has no pairs of languages.
        of: How many judged queries the set holds, before a sample was taken; 0: as many as are asked.
        known: The ids of all its queries, asked or not; empty: those that are asked.
        remarks: What was odd in its files, and how often.

    Raises:
        DataError: It is empty, a query is not judged, or an id, a text or a grade is none.
    """

    name: str
    queries: Mapping[str, str]
    passages: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]
    languages: tuple[str, str] | None = None
    of: int = 0
    known: frozenset[str] = frozenset()
    remarks: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.queries or not self.passages:
            raise DataError(f"{self.label} is empty: no {'passages' if self.queries else 'queries'}")
        if not self.name:
            raise DataError("a task needs a name: its files are called by it")
        self._check_texts("query", self.queries)
        self._check_texts("passage", self.passages)
        for query, text in self.queries.items():
            grades = self.relevant.get(query, {})
            if is_blank(text):
                raise DataError(f"{self.label}: query {query!r} is blank")
            if odd := [one for one in grades.values() if not is_grade(one)]:
                raise DataError(f"{self.label}: query {query!r} has the grade {odd[0]!r}: {A_GRADE}")
            if not grades:
                raise DataError(f"{self.label}: query {query!r} has no judgement: leave it out")
        self._check_relevant()

    def _check_relevant(self) -> None:
        relevant = [one for of in self.relevant.values() for one, grade in of.items() if grade > 0]
        if not relevant:
            raise DataError(f"{self.label}: nothing is relevant to any query")
        if not any(one in self.passages for one in relevant):
            raise DataError(f"{self.label}: no relevant passage is in the corpus, such as {relevant[0]!r}")

    def _check_texts(self, kind: str, texts: Mapping[Any, Any]) -> None:
        for key, text in texts.items():
            if not isinstance(key, str) or key.split() != [key]:
                raise DataError(f"{self.label}: the {kind} id {key!r} is no string, or holds white space")
            if not isinstance(text, str):
                raise DataError(f"{self.label}: the text of {kind} {key!r} is {text!r:.40}, not a string")

    @property
    def label(self) -> str:
        """The data set's name, with the languages where it has them: xquad.en-de."""
        return self.name if self.languages is None else f"{self.name}.{'-'.join(self.languages)}"

    @property
    def judged(self) -> dict[str, Mapping[str, int]]:
        """The judgements of the queries that are asked."""
        return {query: self.relevant[query] for query in self.queries}

    @property
    def absent(self) -> list[tuple[str, str]]:
        """Judged pairs of query and passage whose passage is not there."""
        return [(query, one) for query, of in self.relevant.items() for one in of if one not in self.passages]

    @property
    def crosses(self) -> bool:
        """Whether queries and passages are in different languages."""
        return self.languages is not None and self.languages[0] != self.languages[1]


def is_grade(value: object) -> bool:
    """Whether that can be measured with."""
    return isinstance(value, int) and abs(value) <= MOST_GRADE
