"""Plots: what their axes hold, and that nothing collides, warns or changes."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from nvrerank import Ranked, Ranking
from nvrerank.show import plot_rank_flow, plot_scores, plot_sweep, threshold_sweep
from nvrerank.show.axes import BLUE, GREY, ORANGE

pytestmark = pytest.mark.usefixtures("settings_stay")

ALL = [
    lambda ranking, ax: plot_rank_flow(ranking, ax=ax),
    lambda ranking, ax: plot_scores(ranking, threshold=0, ax=ax),
    lambda ranking, ax: plot_sweep(threshold_sweep([1, 2, 3], [0, 1, 1]), ax=ax),
]


def lines(ax):
    return [(list(line.get_xdata()), list(line.get_ydata()), to_hex(line.get_color())) for line in ax.lines]


def shuffled(count, text="Some passage of a usual length that says a few things about its subject"):
    order = sorted(range(count), key=lambda index: index * 7919 % 41)
    ranked = [Ranked(index, float(-place)) for place, index in enumerate(order)]
    return Ranking(ranked, "q", [f"{index} {text}" for index in range(count)])


def test_each_passage_is_a_line_from_its_old_place_to_its_new_one(ranking):
    ax = plot_rank_flow(ranking)
    assert lines(ax)[:4] == [
        ([0, 1], [4, 1], BLUE.lower()),
        ([0, 1], [2, 2], GREY.lower()),
        ([0, 1], [1, 3], ORANGE.lower()),
        ([0, 1], [5, 4], BLUE.lower()),
    ]
    assert lines(ax)[4:] == [([0], [3], GREY.lower())], "the one that was dropped"
    assert [text.get_text() for text in ax.texts] == ["about window here", "second", "first", ""]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the best is on top"


def test_labels_stand_in_place_of_the_texts(ranking):
    ax = plot_rank_flow(ranking, labels=list("abcde"))
    assert [text.get_text() for text in ax.texts] == ["d", "b", "a", "e"]


@pytest.mark.parametrize("count", [1, 2, 10, 40])
@pytest.mark.parametrize("size", [None, (5, 3), (12, 8)])
def test_no_label_collides_with_another_or_leaves_the_figure(count, size):
    ax = plot_rank_flow(shuffled(count), ax=None if size is None else plt.figure(figsize=size).add_subplot())
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in ax.texts]
    ticks = [text.get_window_extent(renderer) for text in ax.get_yticklabels()]
    assert boxes
    for group in (boxes, ticks):
        assert not [pair for pair in itertools.combinations(group, 2) if pair[0].overlaps(pair[1])]
    assert all(box.x1 <= ax.figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize(("count", "rows"), [(100, 10), (500, 5), (500, 40)])
@pytest.mark.parametrize("size", [None, (9, 6)])
def test_each_of_a_few_passages_out_of_many_has_its_name_beside_it(count, rows, size):
    ranking = shuffled(count)
    ax = plot_rank_flow(
        ranking, rows=rows, ax=None if size is None else plt.figure(figsize=size).add_subplot()
    )
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent(ax.figure.canvas.get_renderer()) for text in ax.texts]
    assert [text.get_text().split()[0] for text in ax.texts] == [str(one.index) for one in ranking[:rows]]
    assert not [pair for pair in itertools.pairwise(boxes) if pair[0].overlaps(pair[1])]
    assert all(ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1 for box in boxes)
    names = {tuple(line.get_ydata()) for line in ax.lines if list(line.get_xdata()) == [1, 1.04]}
    beside = {(place, text.get_position()[1]) for place, text in enumerate(ax.texts, 1)}
    assert names == {(place, at) for place, at in beside if place != at}


@pytest.mark.parametrize(
    "text",
    ["東京は日本の首都です", "نص عربي", "🙂🙂🙂🙂", "costs $5 or $x_{", "a\nb\tc\0", "\\frac{", "कृपया", ""],
)
def test_no_text_raises_or_warns(text):
    ax = plot_rank_flow(Ranking([Ranked(0, 1.0)], "q", [text]))
    ax.figure.canvas.draw()
    assert len(ax.texts) == 1


def test_letters_that_no_font_has_give_way_to_the_passage_s_number():
    ax = plot_rank_flow(Ranking([Ranked(1, 1.0)], "q", ["", "\U0001f9ff" * 20]))
    assert ax.texts[0].get_text() in {"passage 1", "\U0001f9ff" * 20}


def test_the_histogram_holds_each_score_once_and_says_how_many_stay():
    scores = [Ranked(index, score) for index, score in enumerate([3.0, 1.0, 0.5, 0.5, -2.0, None])]
    ax = plot_scores(scores, threshold=0.5)
    assert sum(patch.get_height() for patch in ax.patches) == 5
    assert [text.get_text() for text in ax.get_legend().get_texts()][:3] == [
        "4 of 6 stay",
        "2 do not",
        "threshold 0.5",
    ]
    stay = sum(patch.get_height() for patch in ax.patches if to_hex(patch.get_facecolor()) == BLUE.lower())
    assert stay == 4


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=60), st.floats(-21, 21) | st.integers(0, 59))
def test_no_bar_lies_on_both_sides_of_the_threshold_and_none_loses_a_score(scores, threshold):
    if isinstance(threshold, int):
        threshold = scores[threshold % len(scores)]
    bars = [patch for patch in plot_scores(scores, threshold=threshold).patches if patch.get_height()]
    plt.close()
    assert sum(bar.get_height() for bar in bars) == len(scores)
    if min(scores) < threshold <= max(scores) and max(scores) - min(scores) > 1e-6:
        sides = {(bar.get_x() + bar.get_width() / 2 > threshold, to_hex(bar.get_facecolor())) for bar in bars}
        assert sides == {(True, BLUE.lower()), (False, GREY.lower())}
        assert not [
            bar for bar in bars if bar.get_x() < threshold - 1e-9 < bar.get_x() + bar.get_width() - 2e-9
        ]


@pytest.mark.parametrize("scores", [[1.0, 1.0 - 2**-53], [5.0] * 3, [1e9, 1e9], [5e-324, 0.0]])
def test_scores_too_close_to_be_told_apart_are_one_bar_that_is_seen(scores):
    [bar] = plot_scores(scores, threshold=scores[0]).patches[:1]
    assert sum(patch.get_height() for patch in plt.gca().patches) == len(scores)
    left, right = plt.gca().get_xlim()
    assert bar.get_width() > (right - left) / 10


def test_a_sweep_over_one_score_is_seen():
    ax = plot_sweep(threshold_sweep([1, 1], [1, 0]))
    assert [line.get_marker() for line in ax.lines[:3]] == ["o"] * 3
    assert plot_sweep(threshold_sweep([1, 2], [1, 0])).lines[0].get_marker() == "None"


def test_without_a_threshold_all_scores_are_drawn_alike():
    ax = plot_scores([1.0, 2.0, 3.0])
    assert sum(patch.get_height() for patch in ax.patches) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["3 scores"]


def test_scores_that_are_not_there_can_not_be_drawn():
    with pytest.raises(ValueError, match="there is no score to draw"):
        plot_scores([Ranked(0, None)])


def test_the_sweep_is_drawn_with_its_best_threshold():
    sweep = threshold_sweep([1, 2, 3, 4], [0, 1, 0, 1])
    ax = plot_sweep(sweep)
    drawn = {line.get_label(): line for line in ax.lines}
    assert list(drawn["precision"].get_ydata()) == [point.precision for point in sweep.points]
    assert list(drawn["recall"].get_ydata()) == [point.recall for point in sweep.points]
    assert list(drawn["F1"].get_ydata()) == [point.f1 for point in sweep.points]
    assert list(drawn["F1 0.80 at 2"].get_xdata()) == [2, 2]
    assert "F1 0.67 at 3.5" in {line.get_label() for line in plot_sweep(sweep, threshold=3.5).lines}


@pytest.mark.parametrize("draw", ALL)
def test_the_callers_axes_are_drawn_on_and_no_figure_is_made(draw, ranking):
    figure, axes = plt.subplots(1, 2)
    plt.sca(axes[0])
    assert draw(ranking, axes[1]) is axes[1]
    assert plt.get_fignums() == [figure.number]
    assert plt.gca() is axes[0]


@pytest.mark.parametrize("draw", ALL)
def test_without_axes_one_figure_is_made(draw, ranking):
    ax = draw(ranking, None)
    assert plt.get_fignums() == [ax.figure.number]


def test_a_wrong_number_of_labels_is_an_error(ranking):
    with pytest.raises(ValueError, match="labels must name each passage: 1 for 5"):
        plot_rank_flow(ranking, labels=["a"])
