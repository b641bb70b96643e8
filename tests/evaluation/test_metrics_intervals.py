import numpy as np
import pytest
from scipy import stats

from nvrerank.evaluation.metrics import Stratum, interval, stratum


def gains(count=400, mean=0.05, seed=0):
    return np.random.default_rng(seed).normal(mean, 0.3, size=count)


def test_it_is_the_normal_interval_where_the_mean_is_normal():
    values = gains()
    low, high = interval([Stratum(1.0, values.tolist())], resamples=40_000)
    half = 1.959964 * values.std() / len(values) ** 0.5
    assert (low, high) == (
        pytest.approx(values.mean() - half, abs=0.001),
        pytest.approx(values.mean() + half, abs=0.001),
    )


def test_it_agrees_with_scipys():
    values = gains(count=60) ** 3  # skewed
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="percentile", rng=1
    ).confidence_interval
    assert interval([Stratum(1.0, values.tolist())], resamples=40_000) == pytest.approx(
        tuple(theirs), abs=0.002
    )


def test_sets_are_drawn_each_by_itself_and_weighed():
    one, other = gains(count=100), gains(count=25, seed=1)
    low, high = interval([Stratum(0.5, one.tolist()), Stratum(0.5, other.tolist())], resamples=40_000)
    half = 1.959964 * (0.25 * one.var() / 100 + 0.25 * other.var() / 25) ** 0.5
    middle = (one.mean() + other.mean()) / 2
    assert (low, high) == (pytest.approx(middle - half, abs=0.004), pytest.approx(middle + half, abs=0.004))


def test_pairing_is_what_makes_a_small_gain_visible():
    """The control: the same figures unpaired have an interval that holds 0."""
    before = np.random.default_rng(2).random(200)
    after = before + 0.02 + np.random.default_rng(3).normal(0, 0.02, 200)
    paired = interval([Stratum(1.0, (after - before).tolist())])
    unpaired = interval([Stratum(1.0, after.tolist()), Stratum(-1.0, before.tolist())])
    assert paired[0] > 0
    assert unpaired[0] < 0 < unpaired[1]


def test_no_difference_has_no_width_and_draws_are_repeatable():
    assert interval([Stratum(1.0, [0.0] * 9)]) == (0.0, 0.0)
    part = [Stratum(1.0, gains().tolist())]
    assert interval(part, resamples=500, seed=1) == interval(part, resamples=500, seed=1)
    assert interval(part, resamples=500, seed=1) != interval(part, resamples=500, seed=2)


def by_query(values, prefix="q"):
    return {f"{prefix}{number}": value for number, value in enumerate(values)}


def width(ends):
    return ends[1] - ends[0]


def test_the_same_question_in_several_languages_is_drawn_once():
    values = gains(count=50).tolist()
    together = stratum([by_query(values)] * 3)
    assert together.gains == pytest.approx(values)
    apart = stratum([by_query(values), by_query(values, "other")])
    ratio = width(interval([together])) / width(interval([apart]))
    assert ratio == pytest.approx(2**0.5, rel=0.03), "as if there were twice as many questions"


def test_questions_that_only_some_pairs_of_languages_have_are_drawn_once_too():
    """Against the bootstrap itself: questions drawn, each task's mean taken anew over those that it has."""
    random = np.random.default_rng(4)
    hard = random.normal(0.1, 0.3, 200)  # a question is hard in each language
    held = random.random((6, 200)) < 0.7
    values = hard + random.normal(0, 0.1, (6, 200))
    tasks = [{f"q{place}": values[task, place] for place in np.flatnonzero(held[task])} for task in range(6)]
    drawn = random.integers(0, 200, size=(10_000, 200))
    counts = np.stack([np.bincount(one, minlength=200) for one in drawn])
    means = (counts @ (values * held).T) / (counts @ held.T)
    theirs = np.quantile(means.mean(axis=1), [0.025, 0.975])
    ours = interval([stratum(tasks)])
    assert ours == pytest.approx(tuple(theirs), abs=0.003)
    each = [Stratum(1 / 6, list(task.values())) for task in tasks]
    assert width(interval(each)) < 0.7 * width(ours), "the control: as if the languages were independent"


def test_tasks_that_share_no_question_are_as_independent_as_sets():
    one, other = gains(count=100).tolist(), gains(count=25, seed=1).tolist()
    shared = interval([stratum([by_query(one), by_query(other, "other")])], resamples=40_000)
    apart = interval([Stratum(0.5, one), Stratum(0.5, other)], resamples=40_000)
    assert shared == pytest.approx(apart, abs=0.004)


@pytest.mark.parametrize(
    ("parts", "resamples"), [([], 10), ([Stratum(1.0, [])], 10), ([Stratum(1.0, [1.0])], 0)]
)
def test_nothing_to_draw_is_refused(parts, resamples):
    with pytest.raises(ValueError, match="at least one query"):
        interval(parts, resamples=resamples)
