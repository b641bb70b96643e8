"""What bulk asks of each kind of scorer."""

import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.checkpoints import write_decoder
from support.simple_scorers import Known, Length, down

from nvrerank import Cascade, Fallback, FallbackWarning, LocalScorer, RequestRejectedError, Windowed
from nvrerank.bulk import rerank_parquet

LISTS = [["bb", "a", " ", "a", "dddd"], ["ccc", "eeeee"]]


@pytest.fixture
def lists(tmp_path):
    pq.write_table(pa.table({"query": ["q", "q"], "passage": LISTS}), tmp_path / "lists.parquet")
    return tmp_path / "lists.parquet"


@pytest.fixture
def pairs(tmp_path):
    rows = [("q", text) for texts in LISTS for text in texts]
    columns = dict(zip(("query", "passage"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    return tmp_path / "pairs.parquet"


def rows(source, scorer, **options):
    output = source.with_name("out")
    rerank_parquet(source, output, scorer=scorer, **options)
    return pq.read_table(output).to_pylist()


def test_a_scorer_that_compares_passages_gets_each_list_whole_and_in_order(lists):
    scorer = Length(listwise=True)
    first, second = rows(lists, scorer, batch_size=1)
    assert scorer.asked == [("q", ["bb", "a", "dddd"]), ("q", ["ccc", "eeeee"])]
    assert (first["score"], first["rank"]) == ([2, 1, None, 1, 4], [2, 3, None, 4, 1])
    assert second["score"] == [3, 5]


def test_what_it_refuses_by_name_is_left_out_of_its_list(lists):
    class Picky(Length):
        def _score(self, query, passages):
            if "a" in passages:
                raise RequestRejectedError("too long", index=passages.index("a"))
            return super()._score(query, passages)

    scorer = Picky(listwise=True)
    first, second = rows(lists, scorer)
    assert scorer.asked == [("q", ["bb", "dddd"]), ("q", ["ccc", "eeeee"])]
    assert first["score"] == [2, None, None, None, 4]
    assert "passages[1]: RequestRejectedError: too long" in first["error"]
    assert second["error"] is None


def test_it_refuses_rows_with_one_passage_before_anything_is_there(pairs):
    with pytest.raises(ValueError, match="give it rows with a query's whole list"):
        rows(pairs, Length(listwise=True))
    assert not pairs.with_name("out").exists()


def test_a_cascade_cuts_each_list_by_itself(lists):
    cheap, strong = Length("cheap"), Length("strong", weight=-1.0)
    first, second = rows(lists, Cascade(cheap, strong, keep=2))
    assert strong.asked == [("q", ["bb", "dddd"]), ("q", ["ccc", "eeeee"])]
    assert first["rank"] == [1, 3, None, 4, 2]
    assert second["rank"] == [1, 2]


def test_a_list_is_scored_by_one_scorer_of_a_fallback(lists):
    class Flaky(Length):
        def _score(self, query, passages):
            super()._score(query, passages)
            if "ccc" in passages:
                raise down()
            return [100.0] * len(passages)

    backup = Length("backup")
    with pytest.warns(FallbackWarning, match="backup answers after"):
        first, second = rows(lists, Fallback(Flaky(), backup), batch_size=1)
    assert (first["score"], second["score"]) == ([100, 100, None, 100, 100], [3, 5])
    assert backup.asked == [("q", ["ccc", "eeeee"])]


def test_a_passage_that_is_too_long_is_refused_alone_or_read_in_windows(tmp_path):
    model = write_decoder(tmp_path / "model")
    texts = ["a short passage", "a long passage " * 60, "another short passage"]
    pq.write_table(pa.table({"query": ["q"] * 3, "passage": texts}), tmp_path / "in.parquet")
    strict = LocalScorer(model, max_length=64, long_passages="error")
    done = rows(tmp_path / "in.parquet", strict)
    assert [row["score"] is None for row in done] == [False, True, False]
    assert "RequestRejectedError: " in done[1]["error"]
    assert "64" in done[1]["error"]
    windowed = Windowed(LocalScorer(model, dtype="float32", max_length=64))
    done = rows(tmp_path / "in.parquet", windowed, resume=False)
    assert [row["score"] for row in done] == pytest.approx(windowed.score("q", texts), abs=1e-4)


def test_calls_of_a_scorer_that_waits_run_at_once(tmp_path):
    """Each call waits for three others: one after another they would wait for ever."""
    meeting = threading.Barrier(4, timeout=20)

    class Waiting(Length):
        def _score(self, query, passages):
            meeting.wait()
            return super()._score(query, passages)

    queries = [f"q{number}" for number in range(8)]
    pq.write_table(pa.table({"query": queries, "passage": queries}), tmp_path / "in.parquet")
    assert [row["score"] for row in rows(tmp_path / "in.parquet", Waiting())] == [2.0] * 8


def test_the_scorer_is_told_the_instruction_and_rows_of_another_are_refused(pairs):
    class Told(Known):
        instruction = None

        def _instructed(self, instruction):
            return Told(self.name, len(instruction), instruction=instruction, asked=self.asked)

    scorer = Told()
    assert [row["score"] for row in rows(pairs, scorer, instruction="find")][:2] == [8, 4]
    assert not scorer.closed
    with pytest.raises(ValueError, match="what differs: the scorer"):
        rows(pairs, scorer, instruction="find it")
