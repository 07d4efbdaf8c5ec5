"""Ranks, their uncertainty, tests."""

from __future__ import annotations

import numpy as np
import pytest

from slidebox.scoring import ranking, statistics


def test_ties_share_a_rank_and_nan_is_last():
    assert ranking.ranks(np.array([0.5, 0.9, np.nan, 0.9]), True).tolist() == [3, 1, 4, 1]
    assert ranking.ranks(np.array([0.5, 0.9]), False).tolist() == [1, 2]


def test_probability_of_being_first_is_shared_by_ties():
    rank = np.array([[1, 1], [1, 2]])
    assert ranking.first_probability(rank).tolist() == [0.75, 0.25]


def test_sign_flips_are_exact_for_few_groups():
    assert ranking.sign_flip_p(np.array([1.0, 1.0, 1.0, 1.0, 1.0])) == pytest.approx(2 / 32)
    assert ranking.sign_flip_p(np.zeros(5)) == 1.0
    many = np.random.default_rng(0).normal(1.0, 0.2, 40)
    assert ranking.sign_flip_p(many) == pytest.approx(1 / 10001)


def test_holm_agrees_with_its_definition():
    assert ranking.holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])


def test_sign_flips_keep_their_level():
    rng = np.random.default_rng(1)
    p = [ranking.sign_flip_p(rng.normal(size=9)) for _ in range(300)]
    assert np.mean(np.array(p) < 0.05) < 0.09


def test_intervals_resample_groups_not_images():
    groups = ["a"] * 50 + ["b"] * 50 + ["c"] * 50
    values = np.repeat([0.2, 0.5, 0.8], 50)
    _, weights = statistics.group_weights(groups, 2000, 0)
    low, high = statistics.interval(statistics.averages(values, groups, "image", weights), 0.95)
    assert high - low > 0.4
    shuffled = np.random.default_rng(0).permutation(150)
    again = statistics.averages(values[shuffled], [groups[k] for k in shuffled], "image", weights)
    assert statistics.interval(again, 0.95) == pytest.approx((low, high))
