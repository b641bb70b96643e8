"""What scores are worth, and what is shown to the small model that is asked."""

from __future__ import annotations

import json
import math
import random

import pytest

from bench.local.quality import LabelledSet
from bench.local.train_cross_encoder import NEGATIVES, listwise_examples
from nvrerank.evaluation import Task
from training.corpora import TrainingRow


def test_ndcg_counts_relevant_passages_that_retrieval_missed():
    def asked(relevant):
        task = Task("set", {"q": "q"}, {one: one for one in "abcd"}, {"q": dict.fromkeys(relevant, 1)})
        return LabelledSet(task, {"q": ["a", "b", "c"]})

    assert asked("b").ndcgs([[1.0, 3.0, 2.0]]) == [1]
    assert asked("b").ndcgs([[3.0, 2.0, 1.0]]) == [pytest.approx(1 / math.log2(3))]
    assert asked("bd").ndcgs([[1.0, 3.0, 2.0]]) == [pytest.approx(1 / (1 + 1 / math.log2(3)))]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "eval" / "set"
    (folder / "qrels").mkdir(parents=True)
    words = ["iron", "rust", "sea", "shore", "class", "loop", "kernel", "banana"]
    corpus = [{"_id": word, "text": f"a text on {word}"} for word in words]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    queries = [{"_id": f"q-{word}", "text": f"what is a text on {word}"} for word in words]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    lines = ["query-id\tcorpus-id\tscore", *(f"q-{word}\t{word}\t1" for word in words)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines))
    return tmp_path


def test_questions_are_the_same_each_time_and_their_candidates_are_labelled(data):
    one, again = (LabelledSet.read(data / "eval" / "set", sample=4, depth=3) for _ in range(2))
    assert one == again
    assert len(one.workload().groups) == 4
    for (query, texts), ids in zip(one.workload().groups, one.candidates.values(), strict=True):
        assert len(ids) == 3
        assert query.removeprefix("what is ") in texts
        assert texts == [one.task.passages[key] for key in ids]


def test_a_positive_comes_first_and_no_negative_holds_the_answer():
    rows = [
        TrainingRow(
            f"what is number {number} of the shore",
            f"number {number} is {number} of the long shore",
            "",
            str(number),
            "selqa",
        )
        for number in range(100, 160)
    ]
    found = listwise_examples(rows, 80, random.Random(0))
    assert found
    for query, texts in found:
        answer = query.split()[3]
        assert len(texts) == NEGATIVES + 1
        assert answer in texts[0]
        assert not any(answer in text for text in texts[1:])
