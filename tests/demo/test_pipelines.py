import pytest

from demo.corpus import TopicPassage
from demo.pipelines import Hit, with_langchain, with_llamaindex
from demo.scoring import Clock, RememberingScorer
from nvrerank import Scorer

PASSAGES = [TopicPassage(f"{one}#1", one, f"{one}\n{one * size}") for size, one in enumerate("abcd", 1)]
RETRIEVED = {"query": [(0, 0.8), (2, 0.6), (1, 0.4), (3, 0.2)]}


class ByLength(Scorer):
    def __init__(self):
        self.calls = []

    def score(self, query, passages):
        self.calls.append((query, list(passages)))
        return [float(len(passage)) for passage in passages]


@pytest.fixture
def by_length():
    return ByLength()


@pytest.fixture
def scorer(by_length):
    return RememberingScorer(by_length, Clock())


def test_the_chain_gives_the_retrieved_order_and_the_reranked_one(scorer):
    answer = with_langchain(PASSAGES, RETRIEVED, scorer)("query")
    assert answer.before == [Hit("a#1", 0.8), Hit("c#1", 0.6), Hit("b#1", 0.4), Hit("d#1", 0.2)]
    assert answer.after == [Hit("d#1", 6.0), Hit("c#1", 5.0), Hit("b#1", 4.0), Hit("a#1", 3.0)]


def test_both_frameworks_rank_the_same_and_each_pair_is_scored_once(scorer, by_length):
    answer = with_langchain(PASSAGES, RETRIEVED, scorer)("query")
    assert with_llamaindex(PASSAGES, RETRIEVED, scorer)("query") == answer.after
    assert by_length.calls == [("query", [PASSAGES[place].text for place, _ in RETRIEVED["query"]])]
    assert (scorer.scored, scorer.remembered) == (4, 4)


def test_the_scorer_keeps_its_name_behind_the_memory(scorer):
    assert scorer.name == "ByLength"
