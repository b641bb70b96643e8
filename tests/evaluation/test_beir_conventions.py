"""Figures are BEIR's own: trec_eval's metrics, the query's own passage dropped, each judged query counted."""

import pytest
import pytrec_eval
from support.evaluation import Counting

from nvrerank.evaluation import Task, evaluate

PRO = {
    "roof-pro": "the town should mend every leaking roof in the valley",
    "ship-pro": "a captain should own the ship and its sails",
    "iron-pro": "paint iron bridges because rust eats iron",
}
CON = {
    "roof-con": "the town has no money to mend a leaking roof",
    "ship-con": "who owns the ship takes risks with its sails",
    "iron-con": "paint harms the river more than rust harms iron bridges",
}
FIRST = "queries whose own passage, by its id, is dropped from the candidates, as in BEIR"
KEPT = "queries whose own passage, by its id, is kept, for it is judged relevant"
JUDGED = {f"{key}-pro": {f"{key}-con": 1} for key in ("roof", "ship", "iron")}
ARGUANA = Task("arguana", PRO, {**PRO, **CON}, JUDGED)
METRICS = {"R@1": "recall_1", "nDCG@10": "ndcg_cut_10", "AP@100": "map_cut_100", "P@3": "P_3"}


def as_beir(qrels, results):
    """What BEIR computes: identical ids popped, then the mean over all that trec_eval answers for."""
    kept = {query: {p: s for p, s in found.items() if p != query} for query, found in results.items()}
    measures = {"recall.1", "ndcg_cut.10", "map_cut.100", "P.3"}
    values = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(kept)
    return {
        ours: sum(one[theirs] for one in values.values()) / len(values) for ours, theirs in METRICS.items()
    }


def run_file(folder, found):
    path = folder / "some.trec"
    lines = [f"{q} Q0 {p} 1 {score} t" for q, order in found.items() for p, score in order.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return f"run:{path}"


def figures(row):
    return {name: figure.value for name, figure in row.average.items()}


def places(passages):
    return {passage: float(-place) for place, passage in enumerate(passages)}


def test_the_querys_own_passage_is_dropped_and_its_number_said():
    report = evaluate(ARGUANA, metrics="R@1", scorers=[Counting()])
    assert [row.average["R@1"].value for row in report.rows] == [1.0, 1.0]
    assert report.sets[0].remarks == {FIRST: 3}
    assert f"arguana: {FIRST}: 3" in report.to_text()


def test_it_stays_if_that_is_asked_for():
    """The control: the query itself is found first."""
    report = evaluate(ARGUANA, metrics="R@1", scorers=[Counting()], ignore_identical_ids=False)
    assert [row.average["R@1"].value for row in report.rows] == [0.0, 0.0]
    assert report.sets[0].remarks == {}


def test_the_depth_is_full_after_it_was_dropped_and_it_is_never_scored(tmp_path):
    scorer = Counting()
    found = {query: places([query, *CON, *(one for one in PRO if one != query)]) for query in PRO}
    evaluate(ARGUANA, retrievers=run_file(tmp_path, found), top_k=3, scorers=[scorer], out=tmp_path / "out")
    assert sorted(scorer.seen) == sorted((text, con) for text in PRO.values() for con in CON.values())
    for run in (tmp_path / "out" / "runs").rglob("*.trec"):
        rows = [line.split()[:3] for line in run.read_text(encoding="utf-8").splitlines()]
        assert len(rows) == 9
        assert all(query != passage for query, _, passage in rows)


def test_one_that_was_found_below_the_depth_is_not_counted(tmp_path):
    found = {query: places([*CON, *PRO]) for query in PRO}
    for depth, remarks in ((2, {}), (6, {FIRST: 3})):
        report = evaluate(ARGUANA, retrievers=run_file(tmp_path, found), top_k=depth)
        assert report.sets[0].remarks == remarks


def test_figures_of_a_run_file_are_those_of_beir(tmp_path):
    queries = {**PRO, "zero": "a query judged 0 only", "below": "a query judged below 0 only"}
    judged = {
        "roof-pro": {"roof-con": 2, "gone": 1, "ship-con": -1},
        "ship-pro": {"iron-con": 1, "ship-con": 0},
        "iron-pro": {"iron-con": 1},
        "zero": {"roof-con": 0},
        "below": {"ship-con": -1},
    }
    task = Task("odd", queries, {**PRO, **CON}, judged)
    found = {query: places([query, *CON, *PRO] if query in PRO else CON) for query in queries}
    report = evaluate(task, retrievers=run_file(tmp_path, found), metrics=METRICS)
    assert figures(report.rows[0]) == pytest.approx(as_beir(judged, found))
    assert report.sets[0].remarks == {
        FIRST: 3,
        "judged passages that are not in the corpus, never found, as in BEIR": 1,
        "queries to which nothing is relevant, 0 by each metric, as in BEIR": 2,
    }
    without = {query: grades for query, grades in judged.items() if max(grades.values()) > 0}
    assert figures(report.rows[0]) != pytest.approx(as_beir(without, found)), "the control"


def test_an_own_passage_that_is_judged_relevant_is_no_query_and_stays():
    """Ids that are the same by chance, or because texts and translations are numbered alike."""
    task = Task(
        "tatoeba", {"1": "cat", "2": "dog"}, {"1": "cat cat", "2": "dog x"}, {"1": {"1": 1}, "2": {"2": 1}}
    )
    report = evaluate(task, metrics="R@1")
    assert report.rows[0].average["R@1"].value == 1.0
    assert report.sets[0].remarks == {KEPT: 2}


def test_remarks_of_several_languages_are_those_of_the_worst_pair(make_set):
    folder = make_set(languages=("en", "de"), broken={"qrels/test.tsv": "q1\tp1\t1\nq1\tzz\t1\nq7\tp1\t1"})
    assert evaluate(folder).sets[0].remarks == {
        "judgements of queries that are not there, left out": 1,
        "judged passages that are not in the corpus, never found, as in BEIR": 1,
    }
