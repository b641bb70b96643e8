import asyncio
import os

os.environ["MPLBACKEND"] = "Agg"

import matplotlib as mpl
import pytest

from nvrerank import Ranked, Ranking, Scorer, show


class WordsInCommon(Scorer):
    """Counts words in common; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def score(self, query, passages):
        self.asked.append(list(passages))
        words = set(query.lower().split())
        return [float(len(words & set(passage.lower().rstrip(".!").split()))) for passage in passages]


@pytest.fixture
def scorer():
    return WordsInCommon()


@pytest.fixture
def ranking():
    """Four of five passages: one rose, one fell, one was cut, one is blank; one was dropped."""
    ranked = [
        Ranked(3, 2.5, truncated=True, window=(6, 12)),
        Ranked(1, 1.0),
        Ranked(0, -0.5, truncated=False),
        Ranked(4, None),
    ]
    passages = ["first", "second", "dropped", "about window here", " "]
    return Ranking(ranked, "which window?", passages, [0.9, 0.8, 0.7, 0.6, None])


@pytest.fixture(params=["highlight", "ahighlight"])
def highlight(request):
    if request.param == "highlight":
        return show.highlight
    return lambda *args, **options: asyncio.run(show.ahighlight(*args, **options))


@pytest.fixture(params=["best_sentences", "abest_sentences"])
def best_sentences(request):
    if request.param == "best_sentences":
        return show.best_sentences
    return lambda *args, **options: asyncio.run(show.abest_sentences(*args, **options))


@pytest.fixture
def settings_stay():
    """No plot changes a setting of matplotlib; its figures are closed after the test."""
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    mpl.pyplot.close("all")
