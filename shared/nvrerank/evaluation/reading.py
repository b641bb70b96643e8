"""Data sets in BEIR's layout: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv in a folder, each also as .gz.

A set in several languages has corpus.LANGUAGE.jsonl and queries.LANGUAGE.jsonl. Its judgements are in
qrels/SPLIT.tsv where ids are parallel, else in qrels/SPLIT.QUERY-PASSAGE.tsv for each pair.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from nvrerank.texts import is_blank

from .errors import DataError, broken
from .lines import TWICE, Oddities, id_of, numbered, records, text_of
from .task import A_GRADE, Task, is_grade

_Judged = dict[str, dict[str, int]]

_HEAD = (r"q.*|topic.*", r"(corpus|doc|passage|pid|did).*", r"(score|rel|grade|label|judg).*")
_PLACES = {3: (0, 1, 2), 4: (0, 2, 3)}  # BEIR's columns and TREC's
_COLUMNS = (
    "a judgement has three columns with tabs between: query, passage, score; or TREC's four: query, 0, "
    "passage, score; where there are others, the first line names them: query-id, corpus-id, score"
)

BLANK_QUERIES = "blank queries, left out"
ABSENT_QUERIES = "judgements of queries that are not there, left out"


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
    if limit_queries is not None and limit_queries < 1:
        raise ValueError(f"limit_queries must be 1 or more, not {limit_queries}")
    asked, searched = _files(folder, "queries", query_languages), _files(folder, "corpus", passage_languages)
    if ("" in asked) != ("" in searched):
        raise DataError(
            f"{folder} names the language of {'corpus' if '' in asked else 'queries'} only: it takes "
            "corpus.LANGUAGE.jsonl and queries.LANGUAGE.jsonl, or neither"
        )
    queries = {language: _queries(Oddities(path, strict)) for language, path in asked.items()}
    passages = {language: _passages(Oddities(path, strict)) for language, path in searched.items()}
    name = folder.resolve().name
    tasks = []
    for query_language, (texts, of_queries) in queries.items():
        for passage_language, (corpus, of_passages) in passages.items():
            languages = (query_language, passage_language) if query_language else None
            odd = Oddities(_judgements(folder, split, languages), strict)
            relevant = _judged(odd, texts, corpus)
            ids = _sampled(list(relevant), limit_queries, seed)
            chosen = {one: texts[one] for one in ids}
            remarks = of_queries + of_passages + odd.counts
            known = frozenset(texts)
            tasks.append(Task(name, chosen, corpus, relevant, languages, len(relevant), known, remarks))
    return tasks


def _files(folder: Path, stem: str, languages: Sequence[str] | None) -> dict[str, Path]:
    """The file, or the files by language; the key of a single one is empty."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one with corpus.jsonl, queries.jsonl and qrels/")
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"{stem}.*")):  # a plain file before a gzipped one
        if match := re.fullmatch(rf"{stem}(\.(?P<language>.+))?\.jsonl(\.gz)?", path.name):
            found.setdefault(match["language"] or "", path)
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


def _queries(odd: Oddities) -> tuple[dict[str, str], Counter[str]]:
    """Texts by id, and what was odd."""
    texts: dict[str, str] = {}
    for number, record in records(odd.path):
        text = text_of(odd.path, number, record, "text", default="" if "text" in record else None).strip()
        if is_blank(text):
            odd.found(number, BLANK_QUERIES, f"query {id_of(odd.path, number, record)!r} is blank")
        else:
            _add(texts, id_of(odd.path, number, record), text, odd, number)
    return _some(texts, odd.path), odd.counts


def _passages(odd: Oddities) -> tuple[dict[str, str], Counter[str]]:
    """Texts by id, each with its title in front, as BEIR has it, and what was odd; either may be missing."""
    texts: dict[str, str] = {}
    for number, record in records(odd.path):
        title = text_of(odd.path, number, record, "title", default="")
        text = text_of(
            odd.path, number, record, "text", default="" if {"text", "title"} & set(record) else None
        )
        _add(texts, id_of(odd.path, number, record), f"{title} {text}".strip(), odd, number)
    return _some(texts, odd.path), odd.counts


def _add(texts: dict[str, str], key: str, text: str, odd: Oddities, number: int) -> None:
    if key in texts:
        if texts[key] != text:
            raise broken(odd.path, number, f"the id {key!r} is there twice, with different texts")
        odd.found(number, TWICE, f"the id {key!r} is there twice")
    texts[key] = text


def _some(texts: dict[str, str], path: Path) -> dict[str, str]:
    if not texts:
        raise DataError(f"{path} is empty")
    return texts


def _judgements(folder: Path, split: str, languages: tuple[str, str] | None) -> Path:
    qrels = folder / "qrels"
    stems = [*([f"{split}.{'-'.join(languages)}"] if languages else []), split]
    for path in (qrels / f"{stem}.tsv{ending}" for stem in stems for ending in ("", ".gz")):
        if path.exists():
            return path
    others = ", ".join(sorted({one.name.partition(".tsv")[0] for one in qrels.glob("*.tsv*")}))
    path = qrels / f"{split}.tsv"
    raise DataError(f"{path} does not exist: choose the split, qrels/ has {others or 'nothing'}")


def _judged(odd: Oddities, queries: dict[str, str], passages: dict[str, str]) -> _Judged:
    """Grades by query and passage."""
    path, judged = odd.path, _Judged()
    for number, query, passage, grade in _rows(path):
        if query not in queries:
            odd.found(number, ABSENT_QUERIES, f"the query {query!r} is not in the set's queries")
            continue
        if odd.strict and passage not in passages:
            raise broken(path, number, f"the passage {passage!r} is not in the corpus")
        grades = judged.setdefault(query, {})
        if passage in grades:
            twice = f"query {query!r} and passage {passage!r} are there twice"
            if grades[passage] != grade:
                raise broken(path, number, f"{twice}, with different scores")
            odd.found(number, TWICE, twice)
        grades[passage] = grade
    if not judged:
        raise DataError(f"{path} is empty: no query of the set is judged")
    return judged


def _rows(path: Path) -> Iterator[tuple[int, str, str, int]]:
    """Number, query, passage and grade of each line, from BEIR's columns, TREC's, or those that are named."""
    places: tuple[int, ...] = ()
    named = False
    for number, line in numbered(path):
        columns = [one.strip() for one in (line.split("\t") if "\t" in line else line.split())]
        if not places:
            places = _named(columns)
            named = bool(places)
            if named:
                continue
            places = _PLACES.get(len(columns), ())
        if not places or len(columns) <= max(places) or not (named or _PLACES.get(len(columns)) == places):
            raise broken(path, number, _COLUMNS)
        query, passage, score = (columns[place] for place in places)
        yield number, query, passage, _grade(path, number, score)


def _named(columns: list[str]) -> tuple[int, ...]:
    """Where a first line that names the columns puts query, passage and score; empty: it is a judgement."""
    names = [one.lower() for one in columns]
    found = [[place for place, one in enumerate(names) if re.fullmatch(word, one)] for word in _HEAD]
    return tuple(places[0] for places in found) if all(found) else ()


def _grade(path: Path, number: int, score: str) -> int:
    try:
        grade = int(float(score))
        whole = grade == float(score)
    except (ValueError, OverflowError):
        whole = False
    if not whole:
        raise broken(path, number, f"the score {score!r} is not a whole number")
    if not is_grade(grade):
        raise broken(path, number, f"the score is {score:.40}: {A_GRADE}")
    return grade


def _sampled(ids: list[str], limit: int | None, seed: int) -> list[str]:
    if limit is None or limit >= len(ids):
        return ids
    return sorted(random.Random(seed).sample(sorted(ids), limit))  # noqa: S311 # a sample, no secret
