"""Data sets in BEIR's layout: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv in a folder.

A set in several languages has corpus.LANGUAGE.jsonl and queries.LANGUAGE.jsonl. Its judgements are in
qrels/SPLIT.tsv where ids are parallel, else in qrels/SPLIT.QUERY-PASSAGE.tsv for each pair.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from nvrerank.texts import is_blank

from .errors import DataError, broken
from .lines import id_of, numbered, records, text_of
from .task import A_GRADE, Task, is_grade

_Judged = dict[str, dict[str, int]]


def read_set(
    folder: str | Path,
    *,
    split: str = "test",
    query_languages: Sequence[str] | None = None,
    passage_languages: Sequence[str] | None = None,
    limit_queries: int | None = None,
    seed: int = 0,
) -> list[Task]:
    """Reads a data set. Queries to which nothing is relevant are left out.

    Args:
        folder: Holds corpus.jsonl, queries.jsonl and qrels/; its name is the set's.
        split: Which file of qrels/ counts.
        query_languages: Of a set in several languages, those of the queries; None: all.
        passage_languages: Likewise of the passages.
        limit_queries: Take so many, by chance; the same ones in each language. None: all.
        seed: Decides which.

    Returns:
        One task; for a set in several languages one for each pair.

    Raises:
        DataError: A file or a line is missing or broken, an id is there twice or unknown, nothing is there.
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
    queries = {language: _texts(path, blank=False) for language, path in asked.items()}
    passages = {language: _texts(path, blank=True) for language, path in searched.items()}
    name = folder.resolve().name
    tasks = []
    for query_language, texts in queries.items():
        for passage_language, corpus in passages.items():
            languages = (query_language, passage_language) if query_language else None
            relevant = _judged(_judgements(folder, split, languages), texts, corpus)
            ids = _sampled(list(relevant), limit_queries, seed)
            chosen = {one: texts[one] for one in ids}
            tasks.append(Task(name, chosen, corpus, relevant, languages, len(relevant), frozenset(texts)))
    return tasks


def _files(folder: Path, stem: str, languages: Sequence[str] | None) -> dict[str, Path]:
    """The file, or the files by language; the key of a single one is empty."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one with corpus.jsonl, queries.jsonl and qrels/")
    if (single := folder / f"{stem}.jsonl").exists():
        return {"": single}
    paths = sorted(folder.glob(f"{stem}.*.jsonl"))
    found = {path.name[len(stem) + 1 : -len(".jsonl")]: path for path in paths}
    if languages is not None and not languages:
        raise ValueError("name at least one language of the queries and of the passages, or None for all")
    if not found:
        raise DataError(f"{folder} has no {stem}.jsonl: give a folder in BEIR's layout")
    for language in languages or ():
        if language not in found:
            raise DataError(f"{folder} has no {stem}.{language}.jsonl, but {', '.join(found)}")
    return found if languages is None else {language: found[language] for language in languages}


def _texts(path: Path, *, blank: bool) -> dict[str, str]:
    """Texts by id, a title in front.

    Args:
        path: A file of JSON lines.
        blank: Whether a text may be blank.
    """
    texts: dict[str, str] = {}
    for number, record in records(path):
        key = id_of(path, number, record)
        if key in texts:
            raise broken(path, number, f"the id {key!r} is there twice")
        title = text_of(path, number, record, "title", default="")
        texts[key] = f"{title} {text_of(path, number, record, 'text')}".strip()
        if not blank and is_blank(texts[key]):
            raise broken(path, number, f"query {key!r} is blank")
    if not texts:
        raise DataError(f"{path} is empty")
    return texts


def _judgements(folder: Path, split: str, languages: tuple[str, str] | None) -> Path:
    pair = folder / "qrels" / f"{split}.{'-'.join(languages or ())}.tsv"
    path = pair if languages and pair.exists() else folder / "qrels" / f"{split}.tsv"
    if not path.exists():
        others = ", ".join(one.stem for one in sorted(folder.glob("qrels/*.tsv"))) or "nothing"
        raise DataError(f"{path} does not exist: choose the split, qrels/ has {others}")
    return path


def _judged(path: Path, queries: dict[str, str], passages: dict[str, str]) -> _Judged:
    """Grades by query and passage, of the queries to which something is relevant."""
    judged: _Judged = {}
    for number, line in numbered(path):
        columns = line.split("\t")
        if number == 1 and _is_head(columns, queries):
            continue
        if len(columns) != 3:  # noqa: PLR2004
            raise broken(
                path, number, "a judgement has three columns with tabs between: query, passage, score"
            )
        query, passage, score = (one.strip() for one in columns)
        if query not in queries:
            raise broken(path, number, f"the query {query!r} is not in the set's queries")
        if passage not in passages:
            raise broken(path, number, f"the passage {passage!r} is not in the corpus")
        if passage in judged.setdefault(query, {}):
            raise broken(path, number, f"query {query!r} and passage {passage!r} are there twice")
        judged[query][passage] = _grade(path, number, score)
    found = {query: grades for query, grades in judged.items() if max(grades.values()) > 0}
    if not found:
        raise DataError(f"{path} is empty: nothing is relevant to any query")
    return found


def _is_head(columns: list[str], queries: dict[str, str]) -> bool:
    """Whether these name the columns; a file may do without, and a query's id may begin with "query"."""
    word = columns[-1].strip().replace("_", "").isalpha()
    return columns[0].startswith("query") and columns[0].strip() not in queries and word


def _grade(path: Path, number: int, score: str) -> int:
    try:
        grade = int(score)
    except ValueError as error:
        raise broken(path, number, f"the score {score!r} is not a whole number") from error
    if not is_grade(grade):
        raise broken(path, number, f"the score is {score:.40}: {A_GRADE}")
    return grade


def _sampled(ids: list[str], limit: int | None, seed: int) -> list[str]:
    if limit is None or limit >= len(ids):
        return ids
    return sorted(random.Random(seed).sample(sorted(ids), limit))  # noqa: S311 # a sample, no secret
