"""Learning-rate schedules by hand-computed points."""

from __future__ import annotations

from typing import Any

import pytest

from rlbatch.config import RunConfig
from rlbatch.training.schedules import learning_rate


def rate(progress: float, **values: Any) -> float:
    return learning_rate(RunConfig.build(env_id="X-v0", algo="dqn", learning_rate=0.8, **values), progress)


@pytest.mark.parametrize(
    ("schedule", "warmup", "points"),
    [
        ("constant", 0.0, {0: 0.8, 0.5: 0.8, 1: 0.8}),
        ("linear", 0.0, {0: 0.8, 0.25: 0.6, 1: 0.0}),
        ("cosine", 0.0, {0: 0.8, 0.5: 0.4, 1: 0.0}),
        ("constant", 0.2, {0: 0.0, 0.1: 0.4, 0.2: 0.8, 1: 0.8}),
        ("linear", 0.5, {0.25: 0.8 * 0.75 * 0.5, 0.5: 0.4}),
    ],
)
def test_schedules_pass_through_their_points(schedule: str, warmup: float, points: dict[float, float]) -> None:
    for progress, expected in points.items():
        assert rate(progress, lr_schedule=schedule, lr_warmup=warmup) == pytest.approx(expected, abs=1e-12)


def test_progress_beyond_the_budget_is_clamped() -> None:
    assert rate(1.28, lr_schedule="linear") == 0.0
    assert rate(-0.1, lr_schedule="linear") == 0.8
