"""From files to files: the same rows, in order, with a score or a reason."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.evaluation import Counting, overlap
from support.simple_scorers import Known, Length, down

from nvrerank import ScoringError, ServiceUnavailableError
from nvrerank.bulk import rerank_parquet

PASSAGES = [f"passage {number} {'x' * (number % 7)}" for number in range(40)]
QUERIES = [f"query {number // 5}" for number in range(40)]
TABLE = pa.table({"id": list(range(40)), "query": QUERIES, "passage": PASSAGES})
SCORES = [float(len(passage)) for passage in PASSAGES]
LISTS = [["one", "four", " ", None, "four"], [], ["a"]]


def write_parquet(path):
    pq.write_table(TABLE, path / "in.parquet", row_group_size=7)
    return path / "in.parquet"


def write_folder(path):
    (path / "in").mkdir()
    for part in range(2):
        pq.write_table(TABLE.slice(20 * part, 20), path / "in" / f"{part}.parquet", row_group_size=20)
    (path / "in" / "_SUCCESS").write_text("")
    return path / "in"


def write_lines(path):
    (path / "in.jsonl").write_text("\n\n".join(map(json.dumps, TABLE.to_pylist())), encoding="utf-8")
    return path / "in.jsonl"


def write_gzip(path):
    (path / "in.jsonl.gz").write_bytes(gzip.compress(write_lines(path).read_bytes()))
    return path / "in.jsonl.gz"


def write_saved(path):
    """As `datasets` saves a set: Arrow streams, and which they are in state.json."""
    (path / "in").mkdir()
    for part, name in enumerate(names := ("data-00000-of-00002.arrow", "data-00001-of-00002.arrow")):
        with pa.ipc.new_stream(path / "in" / name, TABLE.schema) as stream:
            stream.write_table(TABLE.slice(20 * part, 20), max_chunksize=6)
    (path / "in" / "state.json").write_text(json.dumps({"_data_files": [{"filename": one} for one in names]}))
    return path / "in"


def read(output):
    parts = [output] if output.is_file() else sorted(output.glob("part-*"))
    if parts[0].suffix == ".parquet":
        return pq.read_table(output).to_pylist()
    return [json.loads(line) for part in parts for line in part.read_text(encoding="utf-8").splitlines()]


every_input = pytest.mark.parametrize(
    "make", [write_parquet, write_folder, write_lines, write_gzip, write_saved], ids=lambda one: one.__name__
)


@every_input
def test_every_input_becomes_its_rows_with_scores_in_order(tmp_path, make):
    report = rerank_parquet(
        make(tmp_path), tmp_path / "out", scorer=Length(), batch_size=8, shard_rows=16, id_column="id"
    )
    expected = [
        row | {"score": score, "error": None} for row, score in zip(TABLE.to_pylist(), SCORES, strict=True)
    ]
    assert read(tmp_path / "out") == expected
    assert (report.rows, report.pairs, report.errors, report.resumed) == (40, 40, 0, 0)


def test_a_file_that_is_written_anew_is_read_anew(tmp_path):
    for rows in (40, 30):
        pq.write_table(TABLE.slice(40 - rows), tmp_path / "in.parquet")
        rerank_parquet(tmp_path / "in.parquet", tmp_path / f"out-{rows}", scorer=Length())
        assert [row["score"] for row in read(tmp_path / f"out-{rows}")] == SCORES[40 - rows :]


@every_input
def test_a_shard_that_is_lost_is_scored_again_alone(tmp_path, make):
    source, output = make(tmp_path), tmp_path / "out"
    rerank_parquet(source, output, scorer=Length(), batch_size=4, shard_rows=8)
    [lost] = output.glob("part-00001.*")
    before = lost.read_bytes()
    lost.unlink()
    scorer = Length()
    report = rerank_parquet(source, output, scorer=scorer, batch_size=4, shard_rows=8)
    assert [text for _, asked in scorer.asked for text in asked] == PASSAGES[8:16]
    assert (report.resumed, lost.read_bytes()) == (32, before)


@pytest.mark.parametrize(("make", "ending"), [(write_parquet, ".parquet"), (write_lines, ".jsonl")])
def test_a_file_may_be_asked_for_and_is_done_once(tmp_path, make, ending):
    scorer = Length()
    for _ in range(2):
        report = rerank_parquet(make(tmp_path), tmp_path / f"out{ending}", scorer=scorer, shard_rows=16)
    assert [row["score"] for row in read(tmp_path / f"out{ending}")] == SCORES
    assert (report.pairs, report.resumed, sum(len(asked) for _, asked in scorer.asked)) == (40, 40, 40)


def test_lists_get_a_score_and_a_rank_for_each_passage(tmp_path):
    pq.write_table(pa.table({"query": ["q"] * 3, "passage": LISTS}), tmp_path / "in.parquet")
    report = rerank_parquet(tmp_path / "in.parquet", tmp_path / "out", scorer=Length(), batch_size=2)
    first, second, third = read(tmp_path / "out")
    assert first["score"] == [3.0, 4.0, None, None, 4.0]
    assert first["rank"] == [3, 1, None, None, 2]
    assert first["error"] == "passages[2]: the passage is blank; passages[3]: the passage is missing"
    assert (second["score"], second["rank"], second["error"]) == ([], [], None)
    assert (third["score"], third["rank"]) == ([1.0], [1])
    assert (report.pairs, report.errors) == (6, 2)


def test_a_row_that_cant_be_scored_says_why_and_costs_no_other(tmp_path):
    class Picky(Length):
        def _score(self, query, passages):
            if any("bad" in one for one in passages):
                raise RuntimeError("not this one")
            return super()._score(query, passages)

    passages = ["good", "bad", " ", 7, "fine", None, "bad too", "better"]
    lines = [json.dumps({"query": "q", "passage": one}) for one in passages]
    (tmp_path / "in.jsonl").write_text(
        "\n".join([*lines, "no json", "[]", '{"query": " ", "passage": "p"}', '{"passage": "p"}'])
    )
    report = rerank_parquet(tmp_path / "in.jsonl", tmp_path / "out", scorer=Picky())
    rows = read(tmp_path / "out")
    assert [row["score"] for row in rows[:8]] == [4, None, None, None, 4, None, None, 6]
    assert rows[1]["error"] == "RuntimeError: not this one"
    assert rows[3]["error"] == "the passage is not text but int"
    assert rows[8] == {"line": "no json", "score": None, "error": "the line is not a JSON object"}
    assert [row["error"] for row in rows[10:]] == ["the query is blank", "the query is missing"]
    assert (report.rows, report.errors, len(report.failures)) == (12, 9, 9)


@pytest.mark.parametrize("error", [RuntimeError("broken"), down()], ids=["fails", "is down"])
def test_a_scorer_that_fails_wholesale_stops_the_run_and_keeps_what_is_done(tmp_path, error):
    class Tiring(Length):
        tired = error

        def _score(self, query, passages):
            if self.tired is not None and len(self.asked) > 4:
                raise self.tired
            return super()._score(query, passages)

    source = write_parquet(tmp_path)
    with pytest.raises(ScoringError if isinstance(error, RuntimeError) else ServiceUnavailableError):
        rerank_parquet(source, tmp_path / "out", scorer=Tiring(), batch_size=5, shard_rows=10)
    assert len(list((tmp_path / "out").glob("part-*"))) == 2
    Tiring.tired, scorer = None, Tiring()
    report = rerank_parquet(source, tmp_path / "out", scorer=scorer, batch_size=5, shard_rows=10)
    assert (report.resumed, sum(len(asked) for _, asked in scorer.asked)) == (20, 20)
    assert [row["score"] for row in read(tmp_path / "out")] == SCORES


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"scorer": Known(weight=2.0)}, "the scorer"),
        ({"passage_column": "query"}, "the columns"),
        ({"shard_rows": 7}, "shard_rows"),
    ],
)
def test_what_is_there_of_another_run_is_refused_or_written_anew(tmp_path, changed, words):
    source, output = write_parquet(tmp_path), tmp_path / "out"
    rerank_parquet(source, output, scorer=Known(), shard_rows=16)
    with pytest.raises(ValueError, match=f"another run; what differs: {words}"):
        rerank_parquet(source, output, **{"scorer": Known(), "shard_rows": 16, **changed})
    again = rerank_parquet(source, output, **{"scorer": Known(), "shard_rows": 16, **changed}, resume=False)
    assert again.resumed == 0


def test_a_changed_input_is_refused_and_another_batch_size_is_not(tmp_path):
    source, output = write_parquet(tmp_path), tmp_path / "out"
    rerank_parquet(source, output, scorer=Known())
    assert rerank_parquet(source, output, scorer=Known(), batch_size=3).resumed == 40
    pq.write_table(TABLE.slice(0, 39), source)
    with pytest.raises(ValueError, match="what differs: the input"):
        rerank_parquet(source, output, scorer=Known())


def test_a_beir_folder_is_read_with_a_run_file(tmp_path):
    from support.evaluation import CORPUS
    from support.evaluation import QUERIES as ASKED

    for name, texts in (("corpus", CORPUS), ("queries", ASKED)):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    pairs = [("q1", "p2"), ("q1", "p5"), ("q2", "p3")]
    run = "\n".join(f"{query} Q0 {one} 1 {rank}.5 bm25" for rank, (query, one) in enumerate(pairs))
    (tmp_path / "bm25.trec").write_text(run)
    output = tmp_path.with_name(f"{tmp_path.name}-out")
    (tmp_path / "other.trec").write_text("q3 Q0 p4 1 9 bm25")
    with pytest.raises(ServiceUnavailableError):  # which leaves the pairs of another run
        rerank_parquet(tmp_path, output, run=tmp_path / "other.trec", scorer=Length(fails=down()))
    rerank_parquet(tmp_path, output, run=tmp_path / "bm25.trec", scorer=Counting(), resume=False)
    rows = read(output)
    assert [(row["query_id"], row["passage_id"], row["retrieval_score"]) for row in rows] == [
        (*pair, rank + 0.5) for rank, pair in enumerate(pairs)
    ]
    assert [row["score"] for row in rows] == [
        overlap(ASKED["q1"], CORPUS["p2"]),
        None,
        overlap(ASKED["q2"], CORPUS["p3"]),
    ]
    with pytest.raises(ValueError, match="name the run file"):
        rerank_parquet(tmp_path, output, scorer=Counting())


def test_names_that_are_missing_or_taken_are_refused_before_the_work(tmp_path):
    source = write_parquet(tmp_path)
    with pytest.raises(ValueError, match="no column 'text': it has id, query, passage"):
        rerank_parquet(source, tmp_path / "out", scorer=Length(), passage_column="text")
    pq.write_table(TABLE.append_column("score", pa.array([0.0] * 40)), source)
    with pytest.raises(ValueError, match="has a column 'score' already: give a prefix"):
        rerank_parquet(source, tmp_path / "out", scorer=Length())
    rerank_parquet(source, tmp_path / "out", scorer=Length(), prefix="rerank_")
    assert [row["rerank_score"] for row in read(tmp_path / "out")] == SCORES
    with pytest.raises(ValueError, match=r"written as \.parquet"):
        rerank_parquet(source, tmp_path / "out.jsonl", scorer=Length(), prefix="rerank_")


def test_no_rows_are_no_rows(tmp_path):
    pq.write_table(TABLE.slice(0, 0), tmp_path / "in.parquet")
    assert rerank_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", scorer=Length()).rows == 0
    assert pq.read_table(tmp_path / "out.parquet").column_names == [
        "id",
        "query",
        "passage",
        "score",
        "error",
    ]
