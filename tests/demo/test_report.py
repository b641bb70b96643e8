import pytest

from demo import report
from demo.evaluation import Figures
from demo.pipelines import Answer, Hit
from demo.questions import Question
from demo.scoring import Clock, RememberingScorer
from nvrerank import Scorer


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [(4, 1, "↑3"), (1, 3, "↓2"), (2, 2, "="), (9, 2, "↑7 new"), (6, 5, "↑1 new"), (5, 6, "↓1"), (9, 7, "↑2")],
)
def test_movement_in_words(before, after, words):
    assert report.movement(before, after) == words


def test_an_example_shows_both_orders_with_both_scores_and_ticks():
    hits = [Hit("first#1", 0.9), Hit("second#2", 0.8)]
    answer = Answer(before=hits, after=[Hit("second#2", 3.5), Hit("first#1", -1.25)])
    texts = {"first#1": "first\nThe first text.", "second#2": "second\n" + "words " * 50}
    lines = list(report.example("Why", Question("what?", frozenset({"second"})), answer, texts))
    assert lines[1] == "Why: what?"
    assert [line.split()[:6] for line in (lines[3], lines[4])] == [
        ["1", "0.9000", "-1.25", "first#1", "The", "first"],
        ["2", "0.8000", "3.50", "✓", "second#2", "words"],
    ]
    assert [line.split()[:5] for line in (lines[6], lines[7])] == [
        ["1", "↑1", "0.8000", "3.50", "✓"],
        ["2", "↓1", "0.9000", "-1.25", "first#1"],
    ]
    assert max(map(len, lines)) == report.WIDTH


def test_the_summary_counts_questions_that_moved():
    before = Figures({"R@1": 0.5, "Recall@5": 0.25}, [0.5, 0.5, 0.5, 1.0], [2, 4, 0, 1])
    after = Figures({"R@1": 0.75, "Recall@5": 1.0}, [1.0, 0.75, 0.25, 1.0], [1, 1, 12, 1])
    lines = list(report.summary(before, after))
    assert lines[1].split() == ["All", "4", "questions", "R@1", "Recall@5"]
    assert lines[3].split() == ["reranked", "0.750", "1.000"]
    assert "nDCG@10 gains +0.125 (95 % interval -0.1" in lines[-2]
    assert "2 answered better, 1 worse, 1 as before" in lines[-1]
    assert max(map(len, lines)) <= report.WIDTH


def test_the_picture_counts_where_the_first_right_topic_stands():
    before, after = Figures({}, [], [2, 4, 0, 1]), Figures({}, [], [1, 1, 12, 1])
    rows = {line[:28].strip(): line[28:].split() for line in list(report.picture(before, after))[2:]}
    assert rows["1"] == [report.BAR * 8, "1", report.BAR * 24, "3"]
    assert rows["4 to 5"] == [report.BAR * 8, "1", "0"]
    assert rows["11 to 20"] == ["0", report.BAR * 8, "1"]
    assert rows["none"] == [report.BAR * 8, "1", "0"]


def test_the_examples_are_the_best_the_middle_and_the_worst():
    before, after = Figures({}, [0.5, 0.5, 0.5], []), Figures({}, [0.4, 0.9, 0.5], [])
    assert report.telling(before, after) == [
        ("The greatest gain", 1),
        ("The middle one", 2),
        ("The greatest loss", 0),
    ]
    assert report.telling(before, before)[-1] == ("The smallest gain", 2)


def test_the_times_say_how_many_pairs_were_scored_a_second():
    class One(Scorer):
        def score(self, query, passages):
            return [1.0 for _ in passages]

    clock = Clock()
    scorer = RememberingScorer(One(), clock)
    scorer.score("q", ["a", "b"])
    scorer.score("q", ["a", "b"])
    clock.seconds["reranking"] = 0.5
    text = "\n".join(report.times(clock, scorer))
    assert "2 pairs, 4 a second" in text
