"""Inputs that others would stumble over: giant row groups and lines, odd columns, a folder in itself."""

import gzip
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.simple_scorers import Length

from nvrerank.bulk import rerank_parquet

TEXTS = ["one", "three", "thirteen"]
SCORES = [float(len(text)) for text in TEXTS]


def scored(source, output, **options):
    rerank_parquet(source, output, scorer=Length(), **options)
    if next(output.glob("part-*")).suffix == ".parquet":
        return pq.read_table(output).column("score").to_pylist()
    lines = b"".join(part.read_bytes() for part in sorted(output.glob("part-*"))).splitlines()
    return [json.loads(line)["score"] for line in lines]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_texts_may_be_of_any_type_of_parquet(tmp_path, kind):
    column = pa.array(TEXTS).cast(kind)
    pq.write_table(pa.table({"query": column, "passage": column}), tmp_path / "in.parquet")
    assert scored(tmp_path / "in.parquet", tmp_path / "out") == SCORES
    assert pq.read_schema(tmp_path / "out" / "part-00000.parquet").field("passage").type == kind


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [
        (pa.string_view(), TEXTS, SCORES),
        (pa.null(), [None] * 3, [None] * 3),
        (pa.large_list(pa.large_string()), [TEXTS, [], None], [SCORES, [], []]),
        (pa.list_(pa.string(), 3), [TEXTS] * 3, [SCORES] * 3),
        (pa.list_(pa.dictionary(pa.int32(), pa.string())), [TEXTS] * 3, [SCORES] * 3),
    ],
    ids=str,
)
def test_columns_may_be_of_any_type_of_arrow(tmp_path, kind, rows, expected):
    table = pa.table({"query": ["q"] * 3, "passage": pa.array(rows, kind)})
    with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as stream:
        stream.write_table(table)
    assert scored(tmp_path / "in.arrow", tmp_path / "out") == expected


def test_a_column_that_holds_no_text_is_refused_with_its_type(tmp_path):
    pq.write_table(pa.table({"query": TEXTS, "passage": [1, 2, 3]}), tmp_path / "in.parquet")
    with pytest.raises(ValueError, match=r"column 'passage' of .* has int64, not text: cast it"):
        scored(tmp_path / "in.parquet", tmp_path / "out")


@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_many_megabytes_are_lines(tmp_path, packed):
    sizes = [9_000_000, 3, 20_000_000]
    lines = "\n".join(json.dumps({"query": "q", "passage": "x" * size}) for size in sizes).encode()
    path = tmp_path / ("in.jsonl.gz" if packed else "in.jsonl")
    path.write_bytes(gzip.compress(lines, 1) if packed else lines)
    assert scored(path, tmp_path / "out", shard_rows=2) == sizes


MEASURED = """
import re, sys
from pathlib import Path
import pyarrow.parquet as pq
from nvrerank import Scorer
from nvrerank.bulk import rerank_parquet

class Length(Scorer):
    def _score(self, query, passages):
        return [float(len(passage)) for passage in passages]

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10

before = peak()
report = rerank_parquet(sys.argv[1], sys.argv[2], scorer=Length())
streamed = peak() - before
whole = pq.read_table(sys.argv[1]).nbytes >> 20
print(report.rows, streamed, whole, peak() - before)
"""


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_size_of_a_row_group(tmp_path):
    """One row group of 400 MB; the control is that reading it at once takes that much."""
    rows = 4_000
    passages = [f"{number} ".ljust(100_000, "x") for number in range(rows)]
    table = pa.table({"query": ["q"] * rows, "passage": passages})
    options = {"row_group_size": rows, "use_dictionary": False, "write_batch_size": 16}
    pq.write_table(table, tmp_path / "in.parquet", **options)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "in.parquet"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    scored, streamed, whole, at_once = map(int, done.stdout.split())
    assert scored == rows
    assert streamed < 250
    assert 350 < whole < at_once


def test_an_output_that_would_become_input_is_refused(tmp_path):
    table = pa.table({"query": TEXTS, "passage": TEXTS})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "a.parquet")
    for source, output in [
        (tmp_path / "in" / "a.parquet", tmp_path / "in"),
        (tmp_path / "in" / "a.parquet", tmp_path / "in" / "a.parquet"),
    ]:
        with pytest.raises(ValueError, match="holds the input"):
            rerank_parquet(source, output, scorer=Length(), resume=False)
    for name in ("out", "b.parquet", "a.parquet"):
        with pytest.raises(ValueError, match=r"(holds|lies in) the input"):
            rerank_parquet(tmp_path / "in", tmp_path / "in" / name, scorer=Length(), resume=False)
    assert pq.read_table(tmp_path / "in" / "a.parquet") == table
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.parquet"]


def test_files_of_two_kinds_or_with_other_columns_are_refused_by_name(tmp_path):
    pq.write_table(pa.table({"query": TEXTS, "passage": TEXTS}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"query": TEXTS, "passage": TEXTS, "more": TEXTS}), tmp_path / "b.parquet")
    output = tmp_path.with_name(f"{tmp_path.name}-out")
    with pytest.raises(ValueError, match=r"b\.parquet has other columns than .*a\.parquet"):
        rerank_parquet(tmp_path, output, scorer=Length())
    (tmp_path / "b.parquet").unlink()
    (tmp_path / "c.jsonl").write_text("{}")
    with pytest.raises(ValueError, match=r"c\.jsonl are of different kinds"):
        rerank_parquet(tmp_path, output, scorer=Length())


def test_files_of_one_name_in_two_folders_are_both_known(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        pq.write_table(pa.table({"query": TEXTS, "passage": TEXTS}), tmp_path / "in" / folder / "0.parquet")
    assert scored(tmp_path / "in", tmp_path / "out") == SCORES * 2
    pq.write_table(pa.table({"query": TEXTS, "passage": TEXTS[::-1]}), tmp_path / "in" / "a" / "0.parquet")
    with pytest.raises(ValueError, match="what differs: the input"):
        scored(tmp_path / "in", tmp_path / "out")
