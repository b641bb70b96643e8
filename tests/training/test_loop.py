"""What a step learns from, and how fast, worked out by hand."""

from dataclasses import replace

import pytest
import torch

from training.groups import SOFT_TAUGHT, Group
from training.loop import TAUGHT, TAUGHT_FROM, backward, taught_ones
from training.pace import Pace


def test_the_pointwise_term_alone_moves_what_all_scores_of_a_query_share(model, pairs):
    one = Group(pairs[:4], [2.0, 1.0, 0.0, 0.0])
    backward(model, [one])
    assert model.head.bias.grad.abs() < 1e-6  # the listwise loss does not see it
    backward(model, [one], pointwise=0.3)
    assert model.head.bias.grad < -0.01  # scores are near 0, far below what stands for one half


def test_what_teachers_judge_is_learned_from_them_more_than_from_the_row(model, pairs):
    def gradient(group):
        model.zero_grad()
        backward(model, [group])
        return model.mix_up.weight.grad.clone()

    told = [0.0, 20.0, 0.0, 0.0]  # the second passage answers, they say
    listwise, soft = (gradient(Group(pairs[:4], told, share)) for share in (0.0, 1.0))
    trusted, usual = gradient(Group(pairs[:4], told, SOFT_TAUGHT)), gradient(Group(pairs[:4], told))
    assert torch.allclose(trusted, 0.25 * listwise + 0.75 * soft, atol=1e-5)
    assert torch.allclose(usual, 0.9 * listwise + 0.1 * soft, atol=1e-5)
    assert not torch.allclose(trusted, usual, atol=1e-3)


def test_the_pointwise_term_counts_less_where_several_candidates_may_be_right(model, pairs):
    def gradient(share):
        model.zero_grad()
        backward(model, [Group(pairs[:4], [0.0] * 4, pointwise=share)], pointwise=0.3)
        return float(model.head.bias.grad)

    assert gradient(0.4) == pytest.approx(0.4 * gradient(1.0), rel=1e-3)


def test_teachers_questions_come_in_late_and_are_so_many():
    assert not any(taught_ones(TAUGHT_FROM - 1, 0, 3000))
    assert sum(taught_ones(TAUGHT_FROM, 0, 3000)) / 3000 == pytest.approx(TAUGHT, abs=0.03)


def test_the_learning_rate_rises_stays_and_falls():
    pace = Pace(steps=1000, decay_from=500)
    assert [round(pace.rate(step), 3) for step in (0, 99, 400, 750, 999)] == [0.01, 1, 1, 0.5, 0.02]
    assert [round(replace(pace, factor=3).rate(step), 3) for step in (0, 400, 999)] == [0.03, 3, 0.06]


def test_the_learning_rate_falls_by_the_clock_where_time_is_what_ends_a_run():
    pace = Pace(steps=10**6, decay_from=10**6, seconds=600)
    assert [round(pace.rate(500, passed), 3) for passed in (0, 300, 450, 599)] == [1, 1, 0.5, 0.02]
    assert replace(pace, steps=1000, decay_from=500).rate(900, 0) == pytest.approx(0.2)  # whichever is less
