import json

import pytest
from support.evaluation import CORPUS, Counting

from nvrerank.evaluation import Task, evaluate


@pytest.fixture
def report(make_set):
    folder = make_set(languages=("en", "de", "zh"))
    # one text misleads, the more so the questions in its own language
    mislead = {**CORPUS, "p7": "zh zh number capital of france capital of germany which dog chased a cat"}
    lines = [json.dumps({"_id": key, "text": text}) for key, text in mislead.items()]
    (folder / "corpus.zh.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return evaluate([folder, make_set("plain")], scorers=[Counting()], metrics="RR,R@1")


def test_a_set_counts_as_the_mean_over_pairs_of_different_languages(report):
    [languages, plain] = report.sets
    assert len(languages.pairs) == 9
    assert languages.averaged == ("de-en", "de-zh", "en-de", "en-zh", "zh-de", "zh-en")
    assert plain.pairs == ()
    for row in report.rows:
        pairs = row.pairs["toy"]
        for metric in ("RR", "R@1"):
            different = [pairs[pair][metric] for pair in languages.averaged]
            assert row.sets["toy"][metric].value == pytest.approx(sum(different) / 6)
        assert row.pairs.keys() == {"toy"}


def test_the_mean_over_all_pairs_would_be_another_figure(report):
    """The control: within a language the query's own mark is a word in common."""
    row = report.rows[1]
    everything = sum(values["RR"] for values in row.pairs["toy"].values()) / 9
    assert row.sets["toy"]["RR"].value != pytest.approx(everything, abs=1e-6)


def test_the_matrix_has_query_languages_down_and_passage_languages_across(report):
    text = report.to_markdown()
    title = "RR of bm25 + counting on toy, query language by passage language:"
    lines = text.split(title)[1].strip().splitlines()
    assert lines[0] == "| query | de | en | zh | mean |"
    assert lines[2].startswith("| de |")
    pairs = {pair: values["RR"] for pair, values in report.rows[1].pairs["toy"].items()}
    cells = lines[2].strip("| ").split(" | ")
    assert cells[3:] == [f"{pairs['de-zh']:.3f}", f"{(pairs['de-en'] + pairs['de-zh']) / 2:.3f}"]
    cells = lines[5].strip("| ").split(" | ")
    assert cells[::4] == ["mean", f"{report.rows[1].sets['toy']['RR'].value:.3f}"]
    assert cells[1] == f"{(pairs['en-de'] + pairs['zh-de']) / 2:.3f}"
    assert "the mean over 6 pairs of different languages" in text


def test_a_languages_name_may_hold_a_hyphen(make_set):
    report = evaluate(make_set(languages=("en", "pt-BR")), scorers=[Counting()])
    assert report.sets[0].averaged == ("en-pt-BR", "pt-BR-en")
    lines = report.to_markdown().split("query language by passage language:")[1].strip().splitlines()
    assert lines[0] == "| query | en | pt-BR | mean |"
    values = report.rows[0].pairs["toy"]
    own, other = (f"{values[f'pt-BR-{one}']['R@5']:.3f}" for one in ("pt-BR", "en"))
    assert lines[3] == f"| pt-BR | {other} | {own} | {other} |"
    assert "the mean over 2 pairs of different languages" in report.to_text()


def test_a_set_in_one_language_of_several_is_the_mean_of_what_there_is(make_set):
    folder = make_set(languages=("en", "de"))
    report = evaluate(folder, query_languages=["de"], passage_languages=["de"])
    assert report.sets[0].averaged == ("de-de",)
    assert "query language by" not in report.to_text()


def test_pairs_whose_questions_differ_count_the_same_each():
    def task(languages, queries, good):
        relevant = {query: {"a" if query in good else "b": 1} for query in queries}
        texts = dict.fromkeys(queries, "cat dog")
        return Task("apart", texts, {"a": "cat dog", "b": "cat bird fish"}, relevant, languages)

    many = task(("en", "de"), ["q1", "q2", "q3", "q4"], ["q1", "q2", "q3", "q4"])
    few = task(("de", "en"), ["r1"], [])
    report = evaluate([many, few], scorers=[Counting()], metrics="R@1")
    figure = report.rows[1].sets["apart"]["R@1"]
    assert figure.value == pytest.approx(0.5)
    assert report.rows[1].average["R@1"] == figure
    matrix = report.to_markdown().split("query language by passage language:")[1].strip().splitlines()
    assert matrix[:3] == [
        "| query | de | en | mean |",
        "| --- | ---: | ---: | ---: |",
        "| en | 1.000 |  | 1.000 |",
    ]
