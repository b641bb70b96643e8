import json
import re
from dataclasses import replace

import pytest
from support.evaluation import Counting

from nvrerank.evaluation import FailedQuery, Figure, PipelineRow, Report, SetInfo, Task, evaluate

FIGURE = Figure(0.7364, 0.05, 0.021, 0.0799, 30)
REPORT = Report(
    metrics=("R@5", "nDCG@10"),
    sets=(SetInfo("nq", 100, 3452, 2681468), SetInfo("fi|qa", 648, 648, 57638)),
    rows=(
        PipelineRow(
            "bm25",
            None,
            {"R@5": Figure(0.4467), "nDCG@10": Figure(0.4)},
            {"nq": {"R@5": Figure(0.5)}, "fi|qa": {"R@5": Figure(0.1)}},
            {},
        ),
        PipelineRow(
            "bm25",
            "m",
            {"R@5": FIGURE, "nDCG@10": FIGURE},
            {"nq": {"R@5": FIGURE}, "fi|qa": {"R@5": FIGURE}},
            {},
        ),
        PipelineRow(
            "bm25",
            "bad",
            {},
            {"nq": {"R@5": FIGURE}},
            {},
            (FailedQuery("fi|qa", "q7", "TimeoutError: slow"),),
        ),
    ),
    top_k=40,
    resamples=10_000,
    seed=0,
)


def test_the_table_is_laid_out_as_model_cards_have_it():
    lines = REPORT.to_markdown().splitlines()
    assert (
        lines[0]
        == "| pipeline | average Recall@5 | gain (95 %) | nq | fi\\|qa | average nDCG@10 | gain (95 %) |"
    )
    assert lines[2] == "| bm25 | 0.447 |  | 0.500 | 0.100 | 0.400 |  |"
    gain = "+0.050 (+0.021 to +0.080)"
    assert lines[3] == f"| bm25 + m | 0.736 | {gain} | 0.736 | 0.736 | 0.736 | {gain} |"


def test_a_row_with_a_failure_is_marked_and_has_no_average():
    lines = REPORT.to_markdown().splitlines()
    assert lines[4] == "| bm25 + bad (!) | failed |  | 0.736 | failed | failed |  |"
    assert lines[-1] == "- (!) fi|qa, query q7: TimeoutError: slow"


def test_sizes_of_samples_are_said():
    text = REPORT.to_text()
    assert "nq: 100 of 3,452 queries, 2,681,468 passages" in text
    assert "fi|qa: 648 queries, 57,638 passages" in text
    assert "the first 40 of each retriever; gains with paired bootstrap intervals (10,000 draws)" in text


def test_an_interval_of_fewer_than_30_queries_says_so():
    assert "n = " not in REPORT.to_text()
    assert "n: fewer" not in REPORT.to_text()
    few = {"R@5": replace(FIGURE, queries=29)}
    report = replace(REPORT, rows=(replace(REPORT.rows[1], average=few),))
    assert "+0.050 (+0.021 to +0.080, n = 29)" in report.to_text()
    assert "n: fewer than 30 queries, on which such an interval is too narrow" in report.to_markdown()


def test_what_is_to_be_known_of_a_set_stands_below_the_table_and_in_the_json():
    report = replace(REPORT, sets=(replace(REPORT.sets[0], remarks={"odd lines": 1234}), REPORT.sets[1]))
    assert report.remarks == ["nq: odd lines: 1,234"]
    assert "\n- nq: odd lines: 1,234\n" in report.to_markdown()
    assert json.loads(report.to_json())["sets"][0]["remarks"] == {"odd lines": 1234}


def test_text_has_its_columns_below_each_other():
    lines = REPORT.to_text().splitlines()[:4]
    assert lines[0].index("average Recall@5") + len("average Recall@5") == lines[1].index("0.447") + len(
        "0.447"
    )
    assert not any(line.endswith(" ") for line in lines)


def test_json_holds_everything_as_fractions():
    data = json.loads(REPORT.to_json())
    assert [row["pipeline"] for row in data["rows"]] == ["bm25", "bm25 + m", "bm25 + bad"]
    assert data["rows"][1]["average"]["R@5"] == {
        "value": 0.7364,
        "gain": 0.05,
        "low": 0.021,
        "high": 0.0799,
        "queries": 30,
    }
    assert data["rows"][2]["failures"] == [{"task": "fi|qa", "query": "q7", "error": "TimeoutError: slow"}]
    assert data["sets"][0]["of"] == 3452


@pytest.mark.parametrize("scorers", [[], [Counting()]])
def test_one_set_needs_no_average(scorers):
    task = Task("mine", {"q": "cat"}, {"a": "dog", "b": "cat"}, {"q": {"b": 1}})
    head, *_ = evaluate(task, scorers=scorers, metrics="R@1").to_text().splitlines()
    assert re.split(r"  +", head) == ["pipeline", "mine Recall@1", "gain (95 %)"]
