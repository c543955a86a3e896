"""Score scales: listed, measured, or of one experiment only; and the marks on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlbatch.analysis.scales import Ceiling, Scale, marks_of, scale_of, threshold_of

MEASURED = [{"env_id": "mine:Line-v0", "env_kwargs": {}, "random_mean": -40.0, "random_se": 1.0, "random_n": 100}]


def scale(env_id: str = "mine:Line-v0", *, best: float | None = -10.0, experiments: int = 1, **kwargs: Any) -> Scale:
    ceiling = None if best is None else Ceiling(best, episodes=25)
    return scale_of(env_id, kwargs, MEASURED, best=ceiling, experiments=experiments)


def test_a_listed_environment_has_its_listed_scale() -> None:
    assert scale("CartPole-v1")[:3] == (22.184, 500.0, True)
    assert scale("CartPole-v1", experiments=3).note == ""


def test_another_one_ends_at_its_best_evaluations_and_says_so() -> None:
    assert scale()[:3] == (-40.0, -10.0, False)
    assert scale(best=-29.9).high == -29.9
    assert "this experiment only" in scale().note
    assert "1 the best three evaluations in a row of any run" in scale().note
    assert scale().score(np.array([-40.0, -25.0, -10.0])).tolist() == [0.0, 0.5, 1.0]
    assert scale().difference(np.array([15.0])).tolist() == [0.5]


@pytest.mark.parametrize(
    ("told", "low"),
    [
        (scale(experiments=2), -40.0),
        (scale(best=-40.0), -40.0),
        (scale(best=-30.0), -40.0),  # 5 standard errors of 25 episodes, of which one has a deviation of 10
        (scale(best=None), -40.0),
        (scale("mine:Other-v0"), None),
        (scale(size=3), None),
    ],
)
def test_where_there_is_no_scale_nothing_is_normalised(told: Scale, low: float | None) -> None:
    assert (told.low, told.high, told.range) == (low, None, None)
    assert "no scale" in told.note
    assert np.isnan(told.score(np.zeros(2))).all()
    assert np.isnan(told.difference(np.zeros(2))).all()


def test_marks_are_parts_of_the_range_and_the_threshold() -> None:
    marks = marks_of("CartPole-v1", scale("CartPole-v1"))
    assert list(marks) == ["25%", "50%", "75%", "90%", "threshold"]
    assert marks["50%"] == pytest.approx((22.184 + 500) / 2)
    assert marks["threshold"] == 475.0
    assert marks_of("mine:Line-v0", scale(experiments=2)) == {}
    assert "threshold" not in marks_of("Pendulum-v1", scale("Pendulum-v1"))


def test_thresholds_are_known_without_making_an_environment() -> None:
    assert threshold_of("module.that.is.not.there:CartPole-v1") == 475.0
    assert threshold_of("no:Such-v0") is None
