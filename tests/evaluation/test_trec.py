import ir_measures
import pytest

from nvrerank.data_file import DataFile
from nvrerank.evaluation import DataError, Task
from nvrerank.evaluation.metrics import measured, metrics
from nvrerank.evaluation.trec import read_run, write_run

ABSENT = "rows of some.trec whose query or passage is not there, left out"
TASK = Task(
    "toy",
    {"q1": "one", "q2": "two"},
    {one: f"text {one}" for one in "abcd"},
    {"q1": {"a": 1}, "q2": {"b": 1}},
    known=frozenset({"q1", "q2", "q3"}),
)


def run_of(tmp_path, text):
    path = tmp_path / "some.trec"
    path.write_text(text, encoding="utf-8")
    return path


def test_passages_come_by_score_and_equal_ones_by_the_files_rank(tmp_path):
    path = run_of(
        tmp_path, "q1 Q0 a 3 1.5 t\nq1 Q0 b 2 1.5 t\nq1 Q0 c 1 -2e1 t\nq1\tQ0\td\t9\t7\tt\n\nq3 Q0 a 1 1 t\n"
    )
    found = read_run(file := DataFile(path), TASK)
    assert file.remarks == {"queries that some.trec ranks otherwise than by score, read by score": 1}
    assert {query: list(one.items()) for query, one in found.items()} == {
        "q1": [("d", 7.0), ("b", 1.5), ("a", 1.5), ("c", -20.0)],
        "q2": [],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 Q0 zz 2 1 t", "some.trec:1: the passage 'zz' is not in the corpus of toy"),
        ("q9 Q0 a 1 1 t", "some.trec:1: the query 'q9' is not in toy"),
        ("q1 Q0 a 1 nan t", "some.trec:1: the score 'nan' is not a finite number"),
        ("q1 Q0 a 1 inf t", "some.trec:1: the score 'inf' is not a finite number"),
        ("q1 Q0 a 1 high t", "some.trec:1: rank '1' or score 'high' is not a number"),
        ("q1 Q0 a first 1 t", "some.trec:1: rank 'first' or score '1' is not a number"),
        ("q1 a 1", "some.trec:1: a line of a run has six columns"),
        (
            "q1 Q0 a 1 1 t\nq1 Q0 a 2 0 t",
            "some.trec:2: query 'q1' and passage 'a' are there twice, with different",
        ),
        ("\n", "the run is empty"),
    ],
)
def test_a_broken_line_or_unknown_id_is_named_by_its_number(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        read_run(DataFile(run_of(tmp_path, text)), TASK)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what", "message"),
    [
        (
            "q1 Q0 a 1 1 t\nq1 Q0 zz 2 1 t",
            ABSENT,
            "some.trec:2: the passage 'zz' is not in the corpus of toy",
        ),
        ("q1 Q0 a 1 1 t\nq9 Q0 a 2 1 t", ABSENT, "some.trec:2: the query 'q9' is not in toy"),
        ("q1 Q0 a 1 1 t\nq1 Q0 a 1 1 t", "lines that are there twice, read once", "some.trec:2: query 'q1'"),
    ],
)
def test_a_line_that_can_be_passed_over_is_counted_and_refused_if_that_is_asked_for(
    tmp_path, text, what, message
):
    path = run_of(tmp_path, text)
    assert read_run(file := DataFile(path), TASK) == {"q1": {"a": 1.0}, "q2": {}}
    assert file.remarks == {what: 1}
    with pytest.raises(DataError) as caught:
        read_run(DataFile(path, strict=True), TASK)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", ["q1 Q0 a 1 2.5", "q1 Q0 a 1.0 2.5 my tag", "\ufeffq1\tQ0\ta\t1\t2.5\tt\r\n\r\n"]
)
def test_a_run_may_lack_its_tag_or_have_one_of_words_and_come_from_anywhere(tmp_path, text):
    assert read_run(DataFile(run_of(tmp_path, text)), TASK)["q1"] == {"a": 2.5}


def test_a_missing_run_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.trec can't be read"):
        read_run(DataFile(tmp_path / "none.trec"), TASK)


def test_a_saved_run_says_the_same_to_other_tools_also_where_scores_are_equal(tmp_path):
    orders = {"q1": {"d": 1.0, "a": 1.0, "c": 1.0 - 1e-12, "b": None}, "q2": {"c": None, "b": None}}
    path = tmp_path / "runs" / "toy.trec"
    write_run(path, orders, "a tag")
    again = read_run(DataFile(path), TASK)
    assert [list(order) for order in again.values()] == [list(order) for order in orders.values()]
    wanted = metrics("RR,P@1,nDCG@10")
    qrels = {query: dict(grades) for query, grades in TASK.relevant.items()}
    theirs = {
        (str(one.measure), one.query_id): one.value
        for one in ir_measures.iter_calc(list(wanted), qrels, list(ir_measures.read_trec_run(str(path))))
    }
    ours = measured(TASK.relevant, orders, wanted)
    assert theirs == {
        (name, query): value for name, values in ours.items() for query, value in values.items()
    }
    assert ours["RR"] == {"q1": 0.5, "q2": 0.5}


@pytest.mark.parametrize("scores", [(1.0, -1e300, -2e300), (1e300, 1.0, None), (-3.4028235e38, None, None)])
def test_a_run_of_scores_beyond_single_precision_can_be_read_back(tmp_path, scores):
    orders = {"q1": dict(zip("cab", scores, strict=True))}
    write_run(tmp_path / "toy.trec", orders, "t")
    assert list(read_run(DataFile(tmp_path / "toy.trec"), TASK)["q1"]) == ["c", "a", "b"]


def test_scores_as_they_were_would_not_say_in_which_order_equal_ones_stood():
    """The control: other tools see the same order in both."""

    def seen(run):
        return ir_measures.calc_aggregate([ir_measures.RR], {"q1": {"a": 1}}, {"q1": run})[ir_measures.RR]

    assert seen({"d": 1.0, "a": 1.0}) == seen({"a": 1.0, "d": 1.0})
