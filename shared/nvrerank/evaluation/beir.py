"""Data sets in BEIR's layout: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv in a folder, each also as .gz.

A set in several languages has corpus.LANGUAGE.jsonl and queries.LANGUAGE.jsonl. Its judgements are in
qrels/SPLIT.tsv where ids are parallel, else in qrels/SPLIT.QUERY-PASSAGE.tsv for each pair.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from nvrerank._checks import checked_integer
from nvrerank.data_file import DataError, DataFile

from .task import A_GRADE, Task, is_grade

ABSENT_QUERIES = "judgements of queries that are not there, left out"

_HEAD = (r"q.*|topic.*", r"(corpus|doc|passage|pid|did).*", r"(score|rel|grade|label|judg).*")
_PLACES = {3: (0, 1, 2), 4: (0, 2, 3)}  # BEIR's columns and TREC's
_COLUMNS = (
    "a judgement has three columns with tabs between: query, passage, score; or TREC's four: query, 0, "
    "passage, score; where there are others, the first line names them: query-id, corpus-id, score"
)


def read_set(
    folder: str | Path,
    *,
    split: str = "test",
    query_languages: Sequence[str] | None = None,
    passage_languages: Sequence[str] | None = None,
    limit_queries: int | None = None,
    seed: int = 0,
    strict: bool = False,
) -> list[Task]:
    """Reads a data set. As in BEIR, a query counts if it is judged, also if nothing is relevant to it.

    Args:
        folder: Holds corpus.jsonl, queries.jsonl and qrels/; its name is the set's.
        split: Which file of qrels/ counts.
        query_languages: Of a set in several languages, those of the queries; None: all.
        passage_languages: Likewise of the passages.
        limit_queries: Take so many, by chance; the same ones in each language. None: all.
        seed: Decides which.
        strict: Refuse what is else passed over and counted in the task's remarks: judgements of a query or
            a passage that is not there, lines that are there twice, blank queries.

    Returns:
        One task; for a set in several languages one for each pair.

    Raises:
        DataError: A file or a line is missing or broken, two lines contradict each other, nothing is there.
    """
    folder = Path(folder)
    if limit_queries is not None:
        checked_integer("limit_queries", limit_queries, least=1)
    asked = _files(folder, "queries", query_languages, strict=strict)
    searched = _files(folder, "corpus", passage_languages, strict=strict)
    if ("" in asked) != ("" in searched):
        raise DataError(
            f"{folder} names the language of {'corpus' if '' in asked else 'queries'} only: it takes "
            "corpus.LANGUAGE.jsonl and queries.LANGUAGE.jsonl, or neither"
        )
    queries = {language: file.texts(titled=False) for language, file in asked.items()}
    passages = {language: file.texts(titled=True) for language, file in searched.items()}
    tasks = []
    for (one, texts), (other, corpus) in product(queries.items(), passages.items()):
        languages = (one, other) if one else None
        file = DataFile(_judgements(folder, split, languages), strict)
        relevant = _judged(file, texts, corpus)
        chosen = {query: texts[query] for query in _sampled(list(relevant), limit_queries, seed)}
        remarks = asked[one].remarks + searched[other].remarks + file.remarks
        name, known = folder.resolve().name, frozenset(texts)
        tasks.append(Task(name, chosen, corpus, relevant, languages, len(relevant), known, remarks))
    return tasks


def _files(folder: Path, stem: str, languages: Sequence[str] | None, *, strict: bool) -> dict[str, DataFile]:
    """The file, or the files by language; the key of a single one is empty."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one with corpus.jsonl, queries.jsonl and qrels/")
    found: dict[str, DataFile] = {}
    for path in sorted(folder.glob(f"{stem}.*")):  # a plain file before a gzipped one
        if match := re.fullmatch(rf"{stem}(\.(?P<language>.+))?\.jsonl(\.gz)?", path.name):
            found.setdefault(match["language"] or "", DataFile(path, strict))
    if "" in found:
        return {"": found[""]}
    if languages is not None and not languages:
        raise ValueError("name at least one language of the queries and of the passages, or None for all")
    if not found:
        raise DataError(f"{folder} has no {stem}.jsonl: give a folder in BEIR's layout")
    for language in languages or ():
        if language not in found:
            raise DataError(f"{folder} has no {stem}.{language}.jsonl, but {', '.join(found)}")
    return found if languages is None else {language: found[language] for language in languages}


def _judgements(folder: Path, split: str, languages: tuple[str, str] | None) -> Path:
    qrels = folder / "qrels"
    stems = [*([f"{split}.{'-'.join(languages)}"] if languages else []), split]
    for path in (qrels / f"{stem}.tsv{ending}" for stem in stems for ending in ("", ".gz")):
        if path.exists():
            return path
    others = ", ".join(sorted({one.name.partition(".tsv")[0] for one in qrels.glob("*.tsv*")}))
    path = qrels / f"{split}.tsv"
    raise DataError(f"{path} does not exist: choose the split, qrels/ has {others or 'nothing'}")


def _judged(file: DataFile, queries: dict[str, str], passages: dict[str, str]) -> dict[str, dict[str, int]]:
    """Grades by query and passage."""
    judged: dict[str, dict[str, int]] = {}
    for number, query, passage, grade in _judgements_of(file):
        if query not in queries:
            file.odd(number, ABSENT_QUERIES, f"the query {query!r} is not in the set's queries")
            continue
        if file.strict and passage not in passages:
            raise file.broken(number, f"the passage {passage!r} is not in the corpus")
        twice = f"query {query!r} and passage {passage!r} are there twice"
        file.put(number, judged.setdefault(query, {}), passage, grade, twice=twice, values="scores")
    if not judged:
        raise DataError(f"{file.path} is empty: no query of the set is judged")
    return judged


def _named(columns: list[str]) -> tuple[int, ...]:
    """Where a first line that names the columns puts query, passage and score; empty: it is a judgement."""
    names = [one.lower() for one in columns]
    found = [[place for place, one in enumerate(names) if re.fullmatch(word, one)] for word in _HEAD]
    return tuple(places[0] for places in found) if all(found) else ()


def _sampled(ids: list[str], limit: int | None, seed: int) -> list[str]:
    if limit is None or limit >= len(ids):
        return ids
    return sorted(random.Random(seed).sample(sorted(ids), limit))  # noqa: S311 # a sample, no secret


def _judgements_of(file: DataFile) -> Iterator[tuple[int, str, str, int]]:
    """Number, query, passage and grade of each line, in BEIR's columns, TREC's, or those that are named.

    Raises:
        DataError: A line is broken, or a grade is none.
    """
    places: tuple[int, ...] = ()
    named = False
    for number, line in file.lines():
        text = line.strip()
        columns = [one.strip() for one in (text.split("\t") if "\t" in text else text.split())]
        if not places:
            places = _named(columns)
            if named := bool(places):
                continue
            places = _PLACES.get(len(columns), ())
        whole = len(columns) > max(places, default=0) if named else places == _PLACES.get(len(columns))
        if not whole:
            raise file.broken(number, _COLUMNS)
        query, passage, score = (columns[place] for place in places)
        yield number, query, passage, _grade(file, number, score)


def _grade(file: DataFile, number: int, score: str) -> int:
    try:
        grade = int(float(score))
        whole = grade == float(score)
    except (ValueError, OverflowError):
        whole = False
    if not whole:
        raise file.broken(number, f"the score {score!r} is not a whole number")
    if not is_grade(grade):
        raise file.broken(number, f"the score is {score:.40}: {A_GRADE}")
    return grade
