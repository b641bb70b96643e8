import gzip
import json
import random

import pytest

from nvrerank.evaluation import DataError, Task, read_set


def test_titles_stand_in_front_and_a_query_judged_0_only_is_asked_as_in_beir(make_set):
    corpus = '{"_id": "a", "title": "Cats", "text": "They purr."}\n\n{"_id": 2, "title": "", "text": "x"}\n'
    queries = '\ufeff{"_id": "q", "text": "cats?", "metadata": {}}\n{"_id": "r", "text": "dogs?"}'
    qrels = "query-id\tcorpus-id\tscore\r\nq\ta\t1\r\nq\t2\t0\r\nr\t2\t0\r\n"
    files = {"corpus.jsonl": corpus, "queries.jsonl": queries, "qrels/test.tsv": qrels}
    [task] = read_set(make_set("cats", broken=files))
    assert dict(task.passages) == {"a": "Cats They purr.", "2": "x"}
    assert dict(task.queries) == {"q": "cats?", "r": "dogs?"}
    assert task.relevant == {"q": {"a": 1, "2": 0}, "r": {"2": 0}}
    assert (task.label, task.languages, task.of, task.known) == ("cats", None, 2, {"q", "r"})
    assert task.remarks == {}


BROKEN = {
    "broken JSON": ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": ', "corpus.jsonl:2: not JSON"),
    "no object": ("corpus.jsonl", '["a"]', "corpus.jsonl:1: not a JSON object"),
    "deep": ("corpus.jsonl", "[" * 100_000, "corpus.jsonl:1: not JSON"),
    "no id": ("queries.jsonl", '{"text": "x"}', "queries.jsonl:1: '_id' is missing"),
    "id with a space": ("corpus.jsonl", '{"_id": "a b", "text": ""}', "'a b' is empty or holds white space"),
    "no text": ("corpus.jsonl", '{"_id": "a"}', "corpus.jsonl:1: 'text' is missing"),
    "text is a number": ("corpus.jsonl", '{"_id": "a", "text": 7}', "'text' is 7, not a string"),
    "two texts of an id": (
        "corpus.jsonl",
        '{"_id": "p1", "text": "x"}\n{"_id": "p1", "text": "y"}\n',
        "corpus.jsonl:2: the id 'p1' is there twice, with different texts",
    ),
    "only blank queries": ("queries.jsonl", '{"_id": "q1", "text": " "}', "queries.jsonl is empty"),
    "not UTF-8": ("corpus.jsonl", b'{"_id": "a", "text": "x"}\n{"_id": "\xe9"}', "corpus.jsonl:2: not UTF-8"),
    "no passages": ("corpus.jsonl", "\n", "corpus.jsonl is empty"),
    "no queries": ("queries.jsonl", "", "queries.jsonl is empty"),
    "no judgements": ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "test.tsv is empty"),
    "nothing relevant": ("qrels/test.tsv", "q1\tp1\t0\n", "nothing is relevant to any query"),
    "another corpus": ("qrels/test.tsv", "q1\tzz\t1", "no relevant passage is in the corpus, such as 'zz'"),
    "other queries": ("qrels/test.tsv", "zz\tp1\t1", "test.tsv is empty: no query of the set is judged"),
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
    "five columns": ("qrels/test.tsv", "q1\t0\tp1\t1\tx", "the first line names them: query-id, corpus-id"),
    "three columns, then four": ("qrels/test.tsv", "q1\tp1\t1\nq1\t0\tp2\t1", "test.tsv:2: a judgement has"),
    "not a number at all": ("qrels/test.tsv", "q1\tp1\tnan", "the score 'nan' is not a whole number"),
    "judged twice": ("qrels/test.tsv", "q1\tp1\t1\nq1\tp1\t0", "are there twice, with different scores"),
    "gzip cut off": ("corpus.jsonl", gzip.compress(b'{"_id": "p1", "text": "x"}')[:-9], "can't be read"),
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


JUDGED = {"q1": {"p1": 1, "p2": 0}, "q2": {"p3": 2}}
COLUMNS = {
    "BEIR": "query-id\tcorpus-id\tscore\nq1\tp1\t1\nq1\tp2\t0\nq2\tp3\t2",
    "other names": "qid\tdocid\trel\nq1\tp1\t1\nq1\tp2\t0\nq2\tp3\t2",
    "another order": "corpus-id\tscore\tquery-id\np1\t1\tq1\np2\t0\tq1\np3\t2\tq2",
    "further columns": "query-id\tcorpus-id\tscore\tby\nq1\tp1\t1\tme\nq1\tp2\t0\tme\nq2\tp3\t2\tyou",
    "three": "q1\tp1\t1\nq1\tp2\t0\nq2\tp3\t2",
    "three with spaces": "q1 p1 1\nq1 p2 0\nq2 p3 2",
    "TREC": "q1 0 p1 1\nq1 0 p2 0\nq2 0 p3 2",
    "TREC with tabs": "q1\t0\tp1\t1\nq1\t0\tp2\t0\nq2\t0\tp3\t2",
    "TREC with names": "topic\titer\tdocument\tjudgment\nq1\t0\tp1\t1\nq1\t0\tp2\t0\nq2\t0\tp3\t2",
    "tabs at the end": "q1\tp1\t1\t\nq1\tp2\t0\t\t\nq2\tp3\t2",
    "half numbers": "q1\tp1\t1.0\nq1\tp2\t0.0\nq2\tp3\t2.0",
    "Windows": "\ufeffquery-id\tcorpus-id\tscore\r\n\r\nq1\tp1\t1\r\nq1\tp2\t0\r\nq2\tp3\t2\r\n",
}


@pytest.mark.parametrize("text", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_judgements_are_read_in_every_layout_that_people_have(make_set, text, packed):
    data = text.encode()
    [task] = read_set(make_set(broken={"qrels/test.tsv": gzip.compress(data) if packed else data}))
    assert task.relevant == JUDGED


def test_every_file_may_be_gzipped_in_one_language_or_several(make_set):
    for languages in (("",), ("en", "de")):
        folder = make_set(f"set{len(languages)}", languages=languages)
        plain = read_set(folder)
        for path in [*folder.glob("*.jsonl"), *folder.glob("qrels/*")]:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        assert read_set(folder) == plain


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"_id": 7, "text": "x"}, "x"),
        ({"id": "7", "text": "x"}, "x"),
        ({"_id": "7", "title": "T", "text": "x"}, "T x"),
        ({"_id": "7", "title": None, "text": "x"}, "x"),
        ({"_id": "7", "title": "T"}, "T"),
        ({"_id": "7", "title": "T", "text": None}, "T"),
        ({"_id": "7", "title": "", "text": ""}, ""),
        ({"_id": "7", "text": None}, ""),
    ],
)
def test_a_passage_may_lack_title_or_text_and_its_id_may_be_a_number(make_set, record, text):
    lines = json.dumps(record) + '\n{"_id": "p1", "text": "one"}'
    [task] = read_set(make_set(qrels={"q1": {"p1": 1}}, broken={"corpus.jsonl": lines}))
    assert task.passages == {"7": text, "p1": "one"}


ODD = {
    "qrels name an absent passage": ("qrels/test.tsv", "q1\tp1\t1\nq1\tzz\t1", {}, "2: the passage 'zz'"),
    "qrels name an absent query": (
        "qrels/test.tsv",
        "zz\tp1\t1\nq1\tp1\t1",
        {"judgements of queries that are not there, left out": 1},
        "1: the query 'zz' is not in the set's queries",
    ),
    "a judgement twice": (
        "qrels/test.tsv",
        "q1\tp1\t1\nq1\tp1\t1\nq1\tp1\t1.0",
        {"lines that are there twice, read once": 2},
        "2: query 'q1' and passage 'p1' are there twice",
    ),
    "a passage twice": (
        "corpus.jsonl",
        '{"_id": "p1", "text": "x"}\n' * 2,
        {"lines that are there twice, read once": 1},
        "2: the id 'p1' is there twice",
    ),
    "a blank query": (
        "queries.jsonl",
        '{"_id": "q1", "text": "x"}\n{"_id": "q9", "text": " "}\n{"_id": "q8", "text": null}',
        {"blank queries, left out": 2},
        "2: query 'q9' is blank",
    ),
}


@pytest.mark.parametrize(("file", "text", "remarks", "message"), ODD.values(), ids=ODD)
def test_what_is_odd_is_passed_over_and_counted_and_refused_if_that_is_asked_for(
    make_set, file, text, remarks, message
):
    folder = make_set(qrels={"q1": {"p1": 1}}, broken={file: text})
    [task] = read_set(folder)
    assert list(task.queries) == ["q1"]
    assert task.remarks == remarks
    with pytest.raises(DataError) as caught:
        read_set(folder, strict=True)
    assert f"{folder / file}:{message}" in str(caught.value)


def test_a_judged_passage_that_is_not_there_stays_among_the_judgements(make_set):
    [task] = read_set(make_set(broken={"qrels/test.tsv": "q1\tp1\t1\nq1\tzz\t1"}))
    assert (task.relevant, task.absent) == ({"q1": {"p1": 1, "zz": 1}}, [("q1", "zz")])


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
    with pytest.raises(DataError, match="nothing is relevant to any query"):
        Task("mine", {"q": "x"}, {"p": "x"}, {"q": {"p": 0}})
    with pytest.raises(DataError, match="query 'r' has no judgement"):
        Task("mine", {"q": "x", "r": "y"}, {"p": "x"}, {"q": {"p": 1}})
    with pytest.raises(DataError, match="no relevant passage is in the corpus, such as 'z'"):
        Task("mine", {"q": "x"}, {"p": "x"}, {"q": {"p": 0, "z": 1}})


IMPOSSIBLE = {
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


@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_could_not_be_scored_measured_or_saved_is_refused_in_a_task(changes, message):
    given = {"name": "mine", "queries": {"q": "x"}, "passages": {"p": "x"}, "relevant": {"q": {"p": 1}}}
    assert Task(**given).label == "mine"
    with pytest.raises(DataError, match=message):
        Task(**{**given, **changes})


def test_lone_surrogates_are_made_safe_at_the_door(make_set):
    lines = json.dumps({"_id": "p", "text": "a\ud800b"})
    [task] = read_set(make_set(qrels={"q1": {"p": 1}}, broken={"corpus.jsonl": lines}))
    assert task.passages["p"] == "a\ufffdb"
