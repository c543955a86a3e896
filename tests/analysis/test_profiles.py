"""Performance profiles and their intervals: by hand, and over environments."""

from __future__ import annotations

import numpy as np
import pytest

from rlbatch.analysis.intervals import wilson
from rlbatch.analysis.profiles import performance_profile

RNG = np.random.default_rng(7)
THREE = [RNG.normal(0.8, 0.1, size=10), RNG.normal(0.5, 0.2, size=10), RNG.normal(1.1, 0.1, size=10)]


def test_a_profile_by_hand_and_its_interval_in_one_environment_is_wilsons() -> None:
    found = performance_profile([[0.1, 0.5, 0.9, 1.0]], [0.0, 0.5, 1.0])
    assert found.share.tolist() == [1.0, 0.5, 0.0]
    for i, successes in enumerate((4, 2, 0)):
        assert (found.low[i], found.high[i]) == pytest.approx(wilson(successes, 4)[1:])


def test_a_profile_over_environments_is_surer_than_over_one() -> None:
    one = performance_profile(THREE[:1], [0.8])
    three = performance_profile(THREE, [0.8])
    assert three.share[0] == pytest.approx(np.mean([(s > 0.8).mean() for s in THREE]))
    assert three.high[0] - three.low[0] < one.high[0] - one.low[0]


def test_scores_that_tell_less_make_the_band_wider() -> None:
    scores = [[0.1, 0.4, 0.6, 0.9]]
    plain = performance_profile(scores, [0.5])
    assert performance_profile(scores, [0.5], effective_sizes=[4.0]).low.tolist() == plain.low.tolist()
    assert performance_profile(scores, [0.5], effective_sizes=[2.0]).low[0] < plain.low[0]
