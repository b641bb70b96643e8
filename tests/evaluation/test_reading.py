import json
import random

import pytest

from nvrerank.evaluation import DataError, Task, read_set


def test_titles_stand_in_front_and_queries_without_anything_relevant_are_left_out(make_set):
    corpus = '{"_id": "a", "title": "Cats", "text": "They purr."}\n\n{"_id": 2, "title": "", "text": "x"}\n'
    queries = '\ufeff{"_id": "q", "text": "cats?", "metadata": {}}\n{"_id": "r", "text": "dogs?"}'
    qrels = "query-id\tcorpus-id\tscore\r\nq\ta\t1\r\nq\t2\t0\r\nr\t2\t0\r\n"
    files = {"corpus.jsonl": corpus, "queries.jsonl": queries, "qrels/test.tsv": qrels}
    [task] = read_set(make_set("cats", broken=files))
    assert dict(task.passages) == {"a": "Cats They purr.", "2": "x"}
    assert dict(task.queries) == {"q": "cats?"}
    assert task.relevant["q"] == {"a": 1, "2": 0}
    assert (task.label, task.languages, task.of, task.known) == ("cats", None, 1, {"q", "r"})


BROKEN = {
    "broken JSON": ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": ', "corpus.jsonl:2: not JSON"),
    "no object": ("corpus.jsonl", '["a"]', "corpus.jsonl:1: not a JSON object"),
    "deep": ("corpus.jsonl", "[" * 100_000, "corpus.jsonl:1: not JSON"),
    "no id": ("queries.jsonl", '{"text": "x"}', "queries.jsonl:1: '_id' is missing"),
    "id with a space": ("corpus.jsonl", '{"_id": "a b", "text": ""}', "'a b' is empty or holds white space"),
    "no text": ("corpus.jsonl", '{"_id": "a"}', "corpus.jsonl:1: 'text' is missing"),
    "text is a number": ("corpus.jsonl", '{"_id": "a", "text": 7}', "'text' is 7, not a string"),
    "duplicate passage": (
        "corpus.jsonl",
        '{"_id": "p1", "text": "x"}\n' * 2,
        "corpus.jsonl:2: the id 'p1' is",
    ),
    "duplicate query": (
        "queries.jsonl",
        '{"_id": "q1", "text": "x"}\n' * 2,
        "queries.jsonl:2: the id 'q1' is",
    ),
    "blank query": ("queries.jsonl", '{"_id": "q1", "text": " "}', "queries.jsonl:1: query 'q1' is blank"),
    "not UTF-8": ("corpus.jsonl", b'{"_id": "a", "text": "x"}\n{"_id": "\xe9"}', "corpus.jsonl:2: not UTF-8"),
    "no passages": ("corpus.jsonl", "\n", "corpus.jsonl is empty"),
    "no queries": ("queries.jsonl", "", "queries.jsonl is empty"),
    "no judgements": ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "test.tsv is empty"),
    "nothing relevant": ("qrels/test.tsv", "q1\tp1\t0\n", "test.tsv is empty: nothing is relevant"),
    "unknown passage": ("qrels/test.tsv", "q1\tp1\t1\nq1\tzz\t1", "test.tsv:2: the passage 'zz' is not in"),
    "unknown query": (
        "qrels/test.tsv",
        "zz\tp1\t1",
        "test.tsv:1: the query 'zz' is not in the set's queries",
    ),
    "no number": ("qrels/test.tsv", "q1\tp1\tone", "test.tsv:1: the score 'one' is not a whole number"),
    "half": ("qrels/test.tsv", "q1\tp1\t0.5", "test.tsv:1: the score '0.5' is not a whole number"),
    "a huge number": (
        "qrels/test.tsv",
        "q1\tp1\t1\nq2\tp3\t1099511627776",
        "test.tsv:2: the score is 1099511",
    ),
    "a number far below": (
        "qrels/test.tsv",
        "q1\tp1\t-1099511627776",
        "a grade is a whole number up to 1,000",
    ),
    "two columns": ("qrels/test.tsv", "q1\tp1", "test.tsv:1: a judgement has three columns"),
    "judged twice": ("qrels/test.tsv", "q1\tp1\t1\nq1\tp1\t0", "test.tsv:2: query 'q1' and passage 'p1' are"),
}


@pytest.mark.parametrize(("file", "content", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named_by_file_and_line(make_set, file, content, message):
    with pytest.raises(DataError) as caught:
        read_set(make_set(broken={file: content}))
    assert message in str(caught.value)


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(make_set, missing):
    folder = make_set()
    (folder / missing).unlink()
    with pytest.raises(DataError, match=missing.replace("qrels/", "")):
        read_set(folder)


def test_a_missing_folder_or_language_is_named(make_set, tmp_path):
    with pytest.raises(DataError, match="no-such is not a folder"):
        read_set(tmp_path / "no-such")
    with pytest.raises(DataError, match=r"has no queries\.fr\.jsonl, but de, en"):
        read_set(make_set(languages=("en", "de")), query_languages=["fr"])


def test_another_split_is_read_if_it_is_asked_for(make_set):
    folder = make_set(broken={"qrels/dev.tsv": "q2\tp7\t1\n"})
    [task] = read_set(folder, split="dev")
    assert list(task.queries) == ["q2"]
    with pytest.raises(DataError, match="choose the split, qrels/ has dev, test"):
        read_set(folder, split="train")


def test_a_sample_is_the_same_each_time_and_a_part_of_the_set(make_set):
    queries = {f"q{number}": f"question {number}" for number in range(50)}
    folder = make_set(queries=queries, qrels={query: {"p1": 1} for query in queries})
    [one], [again], [other] = (read_set(folder, limit_queries=10, seed=seed) for seed in (3, 3, 4))
    assert list(one.queries) == list(again.queries) == sorted(random.Random(3).sample(sorted(queries), 10))
    assert one.queries.keys() != other.queries.keys()
    assert (one.of, len(one.known)) == (50, 50)
    with pytest.raises(ValueError, match="limit_queries must be 1 or more"):
        read_set(folder, limit_queries=0)


def test_a_set_in_several_languages_is_a_task_for_each_pair(make_set):
    folder = make_set(languages=("en", "de", "fr"))
    tasks = read_set(folder, query_languages=["en", "de"], passage_languages=["fr", "en"], limit_queries=2)
    pairs = [("en", "fr"), ("en", "en"), ("de", "fr"), ("de", "en")]
    assert [task.languages for task in tasks] == pairs
    assert [task.label for task in tasks] == [f"toy.{query}-{passage}" for query, passage in pairs]
    assert [task.crosses for task in tasks] == [True, False, True, True]
    assert {tuple(task.queries) for task in tasks} == {tuple(tasks[0].queries)}
    assert all(text.startswith("de ") for text in tasks[2].queries.values())
    assert all(text.startswith("fr") for text in tasks[2].passages.values())


def test_a_pair_of_languages_may_have_judgements_of_its_own(make_set):
    folder = make_set(languages=("en", "de"), broken={"qrels/test.en-de.tsv": "q1\tp7\t1\n"})
    judged = {task.label: list(task.queries) for task in read_set(folder)}
    assert judged["toy.en-de"] == ["q1"]
    assert judged["toy.de-en"] == ["q1", "q2", "q3"]


@pytest.mark.parametrize("head", ["", "query-id\tcorpus-id\tscore\n", "query_id\tdoc_id\trel_grade\n"])
def test_the_line_that_names_the_columns_may_be_there_or_not(make_set, head):
    """Also where a query's own id begins as that line does."""
    files = {"qrels/test.tsv": f"{head}query1\tp1\t1\nquery2\tp2\t1\n"}
    [task] = read_set(make_set(queries={"query1": "cats?", "query2": "dogs?"}, broken=files))
    assert task.relevant == {"query1": {"p1": 1}, "query2": {"p2": 1}}


@pytest.mark.parametrize("alone", ["corpus", "queries"])
def test_languages_of_queries_or_passages_alone_are_refused(make_set, alone):
    folder = make_set(languages=("en", "de"))
    for language in ("en", "de"):
        (folder / f"{alone}.{language}.jsonl").rename(folder / f"{alone}.jsonl")
    with pytest.raises(
        DataError, match=f"names the language of {'queries' if alone == 'corpus' else 'corpus'}"
    ):
        read_set(folder)


def test_no_language_at_all_is_refused(make_set):
    with pytest.raises(ValueError, match="at least one language"):
        read_set(make_set(languages=("en", "de")), query_languages=[])


def test_a_task_made_by_hand_is_checked_too():
    with pytest.raises(DataError, match="mine is empty: no queries"):
        Task("mine", {}, {"p": "x"}, {})
    with pytest.raises(DataError, match="nothing is relevant to query 'q'"):
        Task("mine", {"q": "x"}, {"p": "x"}, {"q": {"p": 0}})
    with pytest.raises(DataError, match="judged passage 'z' is not in the corpus"):
        Task("mine", {"q": "x"}, {"p": "x"}, {"q": {"p": 1, "z": 1}})


ODD = {
    "no name": ({"name": ""}, "a task needs a name"),
    "an id run files can't hold": (
        {"queries": {"q 1": "x"}, "relevant": {"q 1": {"p": 1}}},
        "query id 'q 1'",
    ),
    "an id that is a number": (
        {"passages": {7: "x"}, "relevant": {"q": {7: 1}}},
        "passage id 7 is no string",
    ),
    "no text": ({"passages": {"p": "x", "r": None}}, "the text of passage 'r' is None, not a string"),
    "a blank query": ({"queries": {"q": " "}}, "query 'q' is blank"),
    "half relevant": (
        {"relevant": {"q": {"p": 0.5}}},
        "query 'q' has the grade 0.5: a grade is a whole number",
    ),
    "a word for a grade": ({"relevant": {"q": {"p": "1"}}}, "query 'q' has the grade '1'"),
    "no grade": ({"relevant": {"q": {"p": None}}}, "query 'q' has the grade None"),
    "a grade without end": ({"relevant": {"q": {"p": 2**40}}}, "has the grade 1099511627776"),
}


@pytest.mark.parametrize(("changes", "message"), ODD.values(), ids=ODD)
def test_what_could_not_be_scored_measured_or_saved_is_refused_in_a_task(changes, message):
    given = {"name": "mine", "queries": {"q": "x"}, "passages": {"p": "x"}, "relevant": {"q": {"p": 1}}}
    assert Task(**given).label == "mine"
    with pytest.raises(DataError, match=message):
        Task(**{**given, **changes})


def test_lone_surrogates_are_made_safe_at_the_door(make_set):
    lines = json.dumps({"_id": "p", "text": "a\ud800b"})
    [task] = read_set(make_set(qrels={"q1": {"p": 1}}, broken={"corpus.jsonl": lines}))
    assert task.passages["p"] == "a\ufffdb"
