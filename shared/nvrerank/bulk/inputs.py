"""What an input is: files, a folder of them, what `datasets` saved, or a BEIR folder with a run file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nvrerank.data_file import DataError, DataFile
from nvrerank.texts import encodable

from .lines import JsonLines
from .sources import Columns, Source
from .tables import ArrowFiles, ParquetFiles

_KINDS: dict[str, type[Source]] = {
    ".parquet": ParquetFiles,
    ".pq": ParquetFiles,
    ".arrow": ArrowFiles,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".jsonl.gz": JsonLines,
    ".ndjson.gz": JsonLines,
}
_PAIRS = pa.schema(
    [
        *((name, pa.string()) for name in ("query_id", "passage_id", "query", "passage")),
        ("retrieval_score", pa.float64()),
    ]
)
_ROWS = 1024


def is_beir(path: Path) -> bool:
    """Whether a folder has a corpus and queries, so that only a run file says what the pairs are."""
    return path.is_dir() and all(any(path.glob(f"{stem}.jsonl*")) for stem in ("corpus", "queries"))


def files_of(path: Path, run: Path | None) -> list[Path]:
    """The files that decide what the rows are, in their order.

    Raises:
        ValueError: There are none, or files of several kinds.
    """
    if run is not None:
        if not is_beir(path):
            raise ValueError(f"{path} is no folder in BEIR's layout, to which a run file belongs")
        return [*(_beir_file(path, stem) for stem in ("queries", "corpus")), _there(run)]
    if not path.is_dir():
        return [_there(path)]
    if is_beir(path):
        raise ValueError(f"{path} is in BEIR's layout: name the run file that says which pairs to score")
    if (splits := path / "dataset_dict.json").exists():
        names = json.loads(splits.read_text(encoding="utf-8")).get("splits", [])
        raise ValueError(
            f"{path} holds several data sets: name one, such as {path / (names or ['train'])[0]}"
        )
    if (state := path / "state.json").exists():
        listed = json.loads(state.read_text(encoding="utf-8"))["_data_files"]
        return [path / one["filename"] for one in listed]
    found = sorted(one for one in path.rglob("*") if _ending(one) and not _is_hidden(one, path))
    if not found:
        raise ValueError(f"{path} holds no file that ends in {', '.join(_KINDS)}")
    return found


def source_of(files: list[Path], columns: Columns) -> Source:
    """What reads files.

    Raises:
        ValueError: They are of several kinds, their columns differ, or one that is named is missing.
    """
    kinds = {kind: one for one in files if (kind := _kind(one))}
    if len(kinds) > 1:
        first, other, *_ = kinds.values()
        raise ValueError(f"{first} and {other} are of different kinds: give files of one")
    try:
        return next(iter(kinds))(files, columns)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{files[0]} or a file beside it can't be read: {error}") from error


def write_pairs(files: list[Path], target: Path) -> None:
    """Writes what a run file found as pairs, with their texts; memory is bounded whatever the corpus.

    Raises:
        DataError: A line is broken, or names a query or passage that is not there.
    """
    queries_file, corpus_file, run_file = map(DataFile, files)
    queries = queries_file.texts(titled=False)
    beside, texts = target.with_name(target.name + ".tmp"), target.with_name("_corpus.tmp")
    texts.unlink(missing_ok=True)
    with closing(sqlite3.connect(texts, isolation_level=None)) as corpus:
        corpus.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")
        corpus.execute("CREATE TABLE passages (id TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID")
        rows = ((key, encodable(text)) for _, key, text in corpus_file.each_text(titled=True))
        corpus.executemany("INSERT OR IGNORE INTO passages VALUES (?, ?)", rows)
        corpus.execute("COMMIT")
        with pq.ParquetWriter(beside, _PAIRS) as writer:
            pairs = _pairs(run_file, queries, corpus)
            while some := list(islice(pairs, _ROWS)):
                columns = [
                    pa.array(column, kind)
                    for column, kind in zip(zip(*some, strict=True), _PAIRS.types, strict=True)
                ]
                writer.write_batch(pa.record_batch(columns, schema=_PAIRS))
    texts.unlink()
    beside.replace(target)


def _pairs(
    run: DataFile, queries: dict[str, str], corpus: sqlite3.Connection
) -> Iterator[tuple[str, str, str, str, float]]:
    for number, query, passage, score, _ in run.run_rows():
        found = corpus.execute("SELECT text FROM passages WHERE id = ?", (passage,)).fetchone()
        if query not in queries or found is None:
            what = f"query {query!r}" if query not in queries else f"passage {passage!r}"
            raise run.broken(number, f"the {what} is not in the data set")
        yield query, passage, queries[query], found[0], score


def _beir_file(folder: Path, stem: str) -> Path:
    for path in (folder / f"{stem}.jsonl", folder / f"{stem}.jsonl.gz"):
        if path.is_file():
            return path
    raise DataError(f"{folder} has no {stem}.jsonl: a set in several languages has to be parted first")


def _there(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    return path


def _ending(path: Path) -> str | None:
    return next((one for one in _KINDS if path.name.endswith(one) and path.is_file()), None)


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(root).parts)


def _kind(path: Path) -> type[Source]:
    """By what it begins with: a file may have lost its ending."""
    with path.open("rb") as stream:
        begins = stream.read(6)
    if begins.startswith(b"PAR1"):
        return ParquetFiles
    if begins == b"ARROW1" or begins.startswith(b"\xff\xff\xff\xff"):
        return ArrowFiles
    if (
        begins.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        or begins.startswith(b"\x1f\x8b")
        or not begins.strip()
    ):
        return JsonLines
    raise ValueError(f"{path} is neither Parquet nor Arrow nor JSON lines, an object a line")
