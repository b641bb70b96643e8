import json
import math
import sys

import pytest
from core.test_instructions import TOLD, Nameless, Told
from support.evaluation import CORPUS, QRELS, QUERIES, Counting, Packing, overlap

from nvrerank import AuthenticationError, InvalidArgumentError, Scorer, rerank
from nvrerank.evaluation import DataError, Task, evaluate


def row(report, pipeline):
    [found] = [one for one in report.rows if one.pipeline == pipeline]
    return found


def test_figures_are_those_of_rerank_over_the_same_candidates(make_set):
    found = {"q1": ["p1", "p6", "p2", "p5"], "q2": ["p4", "p7", "p3"], "q3": ["p3", "p4"]}
    folder = make_set()
    lines = [f"{q} Q0 {p} {place} {-place} t" for q, ids in found.items() for place, p in enumerate(ids, 1)]
    (folder / "some.trec").write_text("\n".join(lines), encoding="utf-8")
    report = evaluate(folder, retrievers=[f"run:{folder}/some.trec"], scorers=[Counting()], metrics="R@1,RR")
    first, reciprocal = [], []
    for query, ids in found.items():
        order = [
            ids[one.index] for one in rerank(Counting(), QUERIES[query], [CORPUS[p].strip() for p in ids])
        ]
        good = [place for place, p in enumerate(order, 1) if QRELS[query].get(p)]
        first.append((good[0] == 1) / sum(grade > 0 for grade in QRELS[query].values()))
        reciprocal.append(1 / good[0])
    before, after = report.rows
    assert (before.scorer, after.scorer) == (None, "counting")
    assert after.average["R@1"].value == pytest.approx(sum(first) / 3)
    assert after.average["RR"].value == pytest.approx(sum(reciprocal) / 3)
    assert before.average["RR"].value == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)
    assert after.average["RR"].gain == pytest.approx(after.average["RR"].value - before.average["RR"].value)
    assert after.average["RR"].low <= after.average["RR"].gain <= after.average["RR"].high


@pytest.mark.parametrize("fuse", ["rrf", "zscore"])
def test_a_fused_row_has_the_figures_of_reranks_own_fusion(make_set, tmp_path, fuse):
    scorer = Counting()
    report = evaluate(make_set(), scorers=[scorer], fuse=[fuse], metrics="RR", out=tmp_path / "out")
    runs = tmp_path / "out" / "runs" / "toy"
    found: dict[str, dict[str, float]] = {}
    for line in (runs / "bm25.trec").read_text(encoding="utf-8").splitlines():
        query, _, passage, _, score, _ = line.split()
        found.setdefault(query, {})[passage] = float(score)
    reciprocal = []
    for query, scores in found.items():
        texts = [CORPUS[one].strip() for one in scores]
        order = rerank(Counting(), QUERIES[query], texts, fuse=fuse, retrieval_scores=list(scores.values()))
        good = [n for n, one in enumerate(order, 1) if QRELS[query].get(list(scores)[one.index])]
        reciprocal.append(1 / good[0])
    fused = row(report, f"bm25 + counting, {fuse}")
    assert fused.average["RR"].value == pytest.approx(sum(reciprocal) / len(QUERIES))
    assert len(scorer.seen) == len(set(scorer.seen)), "fusing scores nothing again"
    assert [path for path in runs.iterdir() if fuse in path.name]


def test_a_worse_scorer_has_worse_figures(make_set):
    """The control."""

    class Backwards(Counting):
        def score(self, query, passages):
            return [-score for score in super().score(query, passages)]

    report = evaluate(make_set(), scorers={"good": Counting(), "bad": Backwards()}, metrics="nDCG@10")
    good, bad = (row(report, f"bm25 + {label}").average["nDCG@10"] for label in ("good", "bad"))
    assert bad.value < good.value
    assert bad.gain < 0


def test_blanks_are_not_scored_and_a_pair_is_scored_once_whoever_found_it(make_set):
    folder = make_set()
    (folder / "all.trec").write_text(
        "".join(f"{q} Q0 p{n} {n} {-n} t\n" for q in ("q1", "q2", "q3") for n in range(1, 8)),
        encoding="utf-8",
    )
    scorer = Counting()
    report = evaluate(folder, retrievers=["bm25", f"run:{folder}/all.trec"], scorers=[scorer])
    assert len(scorer.seen) == len(set(scorer.seen)) == 3 * 5  # seven passages, one blank, two the same
    assert len(report.rows) == 4


def test_the_set_may_be_made_by_hand_and_be_several(make_set):
    task = Task("mine", {"q": "cat"}, {"a": "dog", "b": "cat"}, {"q": {"b": 1}})
    report = evaluate([task, make_set()], scorers=[Counting()])
    assert [one.name for one in report.sets] == ["mine", "toy"]
    figures = row(report, "bm25 + counting")
    mean = (figures.sets["mine"]["R@5"].value + figures.sets["toy"]["R@5"].value) / 2
    assert figures.average["R@5"].value == pytest.approx(mean)


def test_a_second_call_scores_nothing_and_says_the_same(make_set, tmp_path):
    folder, out = make_set(), tmp_path / "out"
    first = evaluate(folder, scorers=[Counting()], out=out)
    again = Counting()
    assert evaluate(folder, scorers=[again], out=out) == first
    assert again.seen == []
    assert json.loads((out / "report.json").read_text()) == json.loads(first.to_json())
    assert (out / "report.md").read_text() == first.to_markdown() + "\n"


def test_more_candidates_cost_only_the_new_pairs(make_set, tmp_path):
    folder, out = make_set(), tmp_path / "out"
    few, more, whole = Counting(), Counting(), Counting()
    evaluate(folder, scorers=[few], top_k=1, out=out)
    evaluate(folder, scorers=[more], top_k=40, metrics="RR", out=out)
    evaluate(folder, scorers=[whole], top_k=40)
    assert few.seen
    assert more.seen
    assert sorted(few.seen + more.seen) == sorted(whole.seen)


def test_saved_runs_can_be_read_back_as_retrievers(make_set, tmp_path):
    out = tmp_path / "out"
    report = evaluate(make_set(), scorers=[Counting()], out=out)
    run = f"run:{out}/runs/{{set}}/bm25_+_counting.trec"
    again = evaluate(make_set(), retrievers=[run])
    assert again.rows[0].sets["toy"]["nDCG@10"].value == report.rows[1].sets["toy"]["nDCG@10"].value


def test_a_failing_query_is_named_and_not_averaged_away(make_set, tmp_path):
    folder, out = make_set(), tmp_path / "out"
    other = Task("mine", {"q": "cat"}, {"a": "dog", "b": "cat"}, {"q": {"b": 1}})
    report = evaluate([folder, other], scorers=[Counting(fails=["capital of france"])], out=out)
    [failure] = report.failures
    assert (failure.task, failure.query) == ("toy", "q2")
    assert "RequestRejectedError: passages[0]: too long for me (passage p3)" in failure.error
    failed = row(report, "bm25 + counting")
    assert failed.average == {}
    assert list(failed.sets) == ["mine"]
    assert row(report, "bm25").sets.keys() == {"toy", "mine"}
    mended = Counting()
    whole = evaluate([folder, other], scorers=[mended], out=out)
    assert {query for query, _ in mended.seen} == {"capital of france"}
    assert whole == evaluate([folder, other], scorers=[Counting()])


def test_a_run_file_of_a_set_that_fails_now_does_not_stay(make_set, tmp_path):
    folder, out = make_set(), tmp_path / "out"
    evaluate(folder, scorers=[Counting()], top_k=1, out=out)
    assert (out / "runs/toy/bm25_+_counting.trec").exists()
    evaluate(folder, scorers=[Counting(fails=["capital of france"])], out=out)
    assert not (out / "runs/toy/bm25_+_counting.trec").exists()


def test_a_scorer_that_packs_gets_several_queries_at_once_and_loses_only_the_one_that_fails():
    queries = {f"q{number}": f"cat {number}" for number in range(20)}
    passages = {"a": "cat", "b": "dog"}
    task = Task("many", queries, passages, {query: {"a": 1} for query in queries})
    scorer = Packing(fails=["cat 9"])
    report = evaluate(task, scorers=[scorer])
    assert scorer.calls == [8, 8, *[1] * 8, 4]
    assert [failure.query for failure in report.failures] == ["q9"]
    assert {query for query, _ in scorer.seen} == set(queries.values()) - {"cat 9"}


def test_after_five_failures_in_a_row_the_rest_is_not_tried():
    queries = {f"q{number}": f"cat {number}" for number in range(20)}
    task = Task("many", queries, {"a": "cat"}, {query: {"a": 1} for query in queries})
    report = evaluate(task, scorers=[Counting(fails=queries.values())])
    assert [failure.query for failure in report.failures] == ["q0", "q1", "q2", "q3", "q4", None]
    assert report.failures[-1].error == "15 more queries not tried after 5 failures in a row"


@pytest.mark.parametrize("answer", [[math.nan], [], ["high"]])
def test_a_score_that_is_no_number_is_a_failure(answer):
    class Odd(Scorer):
        def score(self, query, passages):
            return answer

    task = Task("one", {"q": "cat"}, {"a": "cat"}, {"q": {"a": 1}})
    [failure] = evaluate(task, scorers=[Odd()]).failures
    assert failure.error.startswith("BadResponseError: Odd returned")


@pytest.mark.parametrize("error", [RuntimeError, KeyError, MemoryError, TimeoutError, TypeError])
def test_whatever_a_scorer_raises_is_told_with_its_query_in_one_line_and_the_others_are_scored(error):
    class Breaks(Counting):
        def score(self, query, passages):
            if query == "cat 1":
                raise error("out of\nmemory")
            return super().score(query, passages)

    queries = {f"q{number}": f"cat {number}" for number in range(3)}
    task = Task("many", queries, {"a": "cat"}, {query: {"a": 1} for query in queries})
    scorer = Breaks()
    [failure] = evaluate(task, scorers=[scorer]).failures
    assert failure.query == "q1"
    assert failure.error.startswith(f"{error.__name__}: ")
    assert "\n" not in failure.error
    assert [query for query, _ in scorer.seen] == ["cat 0", "cat 2"]


def test_a_score_that_cannot_be_kept_is_no_failure_of_the_scorer(make_set, tmp_path):
    scores = tmp_path / "out" / "scores"
    scores.parent.mkdir()
    scores.write_text("a file where the folder should be")
    scorer = Counting()
    with pytest.raises(OSError, match="scores"):
        evaluate(make_set(), scorers=[scorer], out=tmp_path / "out")
    assert {query for query, _ in scorer.seen} == {QUERIES["q1"]}


def test_more_tokens_than_the_model_reads_are_refused_at_once(make_set):
    with pytest.raises(ValueError, match="max_length 513 is more than the 512 tokens"):
        evaluate(make_set(), scorers=["bundled"], max_length=513)


def test_what_every_query_would_meet_ends_it_at_once(make_set):
    class NoKey(Scorer):
        def score(self, query, passages):
            raise AuthenticationError("wrong key")

    with pytest.raises(AuthenticationError, match="wrong key"):
        evaluate(make_set(), scorers=[NoKey()])


def test_nothing_is_scored_before_all_data_are_checked(make_set, tmp_path):
    scorer = Counting()
    bad_run = tmp_path / "bad.trec"
    bad_run.write_text("q1 Q0 nobody 1 1 t\n", encoding="utf-8")
    good, bad = make_set(), make_set("bad", broken={"qrels/test.tsv": "q1\tp1\t1\nq1\tzz\t1"})
    with pytest.raises(DataError, match="'zz' is not in the corpus"):
        evaluate([good, bad], scorers=[scorer], strict=True)
    with pytest.raises(DataError, match="judged passage 'zz' is not in the corpus"):
        evaluate(
            Task("mine", {"q": "x"}, {"p": "x"}, {"q": {"p": 1, "zz": 1}}), scorers=[scorer], strict=True
        )
    with pytest.raises(DataError, match="'nobody' is not in the corpus"):
        evaluate(good, retrievers=["bm25", f"run:{bad_run}"], scorers=[scorer])
    with pytest.raises(ValueError, match="unknown to ir-measures"):
        evaluate(good, scorers=[scorer], metrics="bogus")
    mine = Task("mine", {"q": "cat"}, {"a": "cat"}, {"q": {"a": 1}})
    with pytest.raises(ValueError, match="mine: Accuracy@5 can't be computed"):
        evaluate(mine, scorers=[scorer], metrics="Accuracy@5")
    assert scorer.seen == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"retrievers": []}, "at least one retriever"),
        ({"retrievers": ["bm25", "bm25"]}, "retriever 'bm25' is there twice"),
        ({"scorers": [Counting(), Counting()]}, "scorer 'counting' is there twice"),
        ({"fuse": ["sum"]}, "fuse must be"),
        ({"fuse": ["rrf", "rrf"]}, "fusion 'rrf' is there twice"),
        ({"top_k": 0}, "top_k must be 1 or more"),
        ({"resamples": 0}, "resamples must be 1 or more"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_scored(make_set, arguments, message):
    scorer = Counting()
    with pytest.raises(ValueError, match=message):
        evaluate(make_set(), **{"scorers": [scorer], **arguments})
    assert scorer.seen == []


def test_sets_of_the_same_name_or_none_are_refused(make_set):
    with pytest.raises(ValueError, match="data set 'toy' is there twice"):
        evaluate([make_set(), make_set()])
    with pytest.raises(ValueError, match="at least one data set"):
        evaluate([])


def test_names_that_would_share_a_file_are_refused_before_one_replaces_the_other(make_set):
    scorer, other = Counting(), Counting()
    with pytest.raises(ValueError, match="'a b' and 'a_B' would both be saved as a_B"):
        evaluate([make_set("a b"), make_set("a_B")], scorers=[scorer])
    with pytest.raises(ValueError, match=r"'bm25 \+ m/1' and 'bm25 \+ m_1' would both be saved"):
        evaluate(make_set(), scorers={"m/1": scorer, "m_1": other})
    with pytest.raises(ValueError, match=r"'bm25 \+ m, rrf' and 'bm25 \+ m rrf' would both be saved"):
        evaluate(make_set(), scorers={"m": scorer, "m rrf": other}, fuse=["rrf"])
    assert scorer.seen == other.seen == []


def test_a_name_of_dots_stays_within_the_folder(tmp_path):
    evaluate(Task("..", {"q": "cat"}, {"a": "cat"}, {"q": {"a": 1}}), out=tmp_path / "out")
    assert [path.parent.parent.name for path in tmp_path.rglob("*.trec")] == ["runs"]


def test_one_run_file_for_several_sets_is_refused(make_set, tmp_path):
    with pytest.raises(DataError, match=r"write \{set\} where their names differ, such as toy"):
        evaluate([make_set(), make_set("other")], retrievers=[f"run:{tmp_path}/x.trec"])


def test_a_scorer_is_a_string_a_mapping_or_a_scorer(make_set):
    with pytest.raises(TypeError, match="a scorer is a string, a mapping or a Scorer, not function"):
        evaluate(make_set(), scorers=[overlap])


def test_an_output_that_is_a_file_is_refused(make_set, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="can't be the folder of results"):
        evaluate(make_set(), out=tmp_path / "file")


@pytest.mark.parametrize(("module", "extra"), [("bm25s", "eval"), ("sentence_transformers", "embedding")])
def test_a_missing_package_is_named_with_its_extra(make_set, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'nvrerank\[{extra}\]'"):
        evaluate(make_set(), retrievers=["bm25" if extra == "eval" else "embedding:some/model"])


def test_one_retriever_and_one_scorer_may_stand_alone(make_set):
    report = evaluate(make_set(), retrievers="bm25", scorers=Counting())
    assert report == evaluate(make_set(), retrievers=["bm25"], scorers=[Counting()])
    with pytest.raises(ValueError, match="'bm52': a retriever is"):
        evaluate(make_set(), retrievers="bm52")
    with pytest.raises(ValueError, match="'embeded': a scorer is"):
        evaluate(make_set(), scorers="embeded")


def test_a_large_corpus_has_a_bar_while_it_is_searched(make_set, capsys):
    passages = {f"p{number}": f"cat {number}" for number in range(10_000)}
    folder = make_set(corpus=passages, queries={"q": "cat 7"}, qrels={"q": {"p7": 1}})
    evaluate(folder, progress=True)
    err = capsys.readouterr().err
    assert "0/10000 [" in err
    assert "searching:" in err
    evaluate(folder)
    assert capsys.readouterr().err == ""


def test_the_bar_counts_pairs_and_tells_the_time_left(make_set, capsys):
    scorer = Counting()
    evaluate(make_set(), scorers=[scorer], progress=True)
    err = capsys.readouterr().err
    assert f"{len(scorer.seen)}/{len(scorer.seen)}" in err
    assert "<" in err  # done<left
    evaluate(make_set("quiet"), scorers=[Counting()])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", [Told, Nameless])
def test_each_scorer_is_told_the_instruction_and_its_scores_are_kept_by_it(make_set, tmp_path, kind):
    folder, scorer = make_set(), kind()
    reports = [
        evaluate(folder, scorers={"one": scorer}, out=tmp_path / "out", instruction=told)
        for told in (TOLD, None, TOLD, "another", None)
    ]
    assert list(dict.fromkeys(scorer.asked)) == [TOLD, None, "another"]
    assert len(scorer.asked) == 9, "three queries, each instruction once"
    assert reports[0].rows == reports[2].rows


def test_a_scorer_without_a_place_for_an_instruction_refuses_before_anything_is_read(tmp_path):
    for scorer in (Counting(), "bundled"):
        with pytest.raises(InvalidArgumentError, match="no place for an instruction"):
            evaluate(tmp_path / "none", scorers=[scorer], instruction=TOLD)
