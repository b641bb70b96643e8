import numpy as np
import pytest
from scipy import stats

from nvrerank.evaluation.bootstrap import Stratum, interval, strata


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


def test_the_same_question_in_several_languages_is_drawn_once():
    values = dict(enumerate(gains(count=50).tolist()))
    named = {str(key): value for key, value in values.items()}
    [together] = strata([named, named, named])
    assert together.gains == pytest.approx(list(values.values()))
    apart = strata([named, {f"other {key}": value for key, value in named.items()}], weight=0.5)
    assert [part.weight for part in apart] == [0.25, 0.25]
    wide, narrow = interval([together]), interval(apart)
    assert wide[1] - wide[0] > 0.7 * (narrow[1] - narrow[0]) * 2  # as if there were twice as many questions


@pytest.mark.parametrize(
    ("parts", "resamples"), [([], 10), ([Stratum(1.0, [])], 10), ([Stratum(1.0, [1.0])], 0)]
)
def test_nothing_to_draw_is_refused(parts, resamples):
    with pytest.raises(ValueError, match="at least one query"):
        interval(parts, resamples=resamples)
