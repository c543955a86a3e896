"""How far runs in training are: what counts, how fast they go, and how long they will take."""

from __future__ import annotations

import pytest
from cli.messages import Clock, evaluated, finished, runs, tick

from rlbatch.cli import tally as module
from rlbatch.cli.tally import Tally


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_speed_is_that_of_all_runs_and_time_is_that_of_what_they_have_left(clock: Clock) -> None:
    state = Tally(runs(3), left=range(3))
    state.hear(tick(0, 0, 1))
    clock.now = 50.0
    state.hear(tick(100, 0, 1))
    clock.now = 50.4
    state.hear(tick(200, 0, 1))
    assert (state.speed_text(), state.time_text()) == ("", "")
    clock.now = 52.0
    state.hear(tick(400, 0, 1))
    assert state.fraction([0, 1, 2]) == 800 / 3000
    assert state.speed_text() == "300 steps/s"
    assert state.time_text() == "7 s left"
    state.hear(finished(0))
    assert state.fraction([0]) == 1.0
    assert state.speed_text() == "600 steps/s"
    state.hear(tick(5, 0))
    assert state.fraction([0]) == 1.0


def test_speed_is_that_of_the_last_minute(clock: Clock) -> None:
    state = Tally(runs(1, total_timesteps=1_000_000))
    for second in range(100):
        clock.now = float(second)
        state.hear(tick(1000 * (second + 1), 0))
    assert state.speed_text() == "1,000 steps/s"
    for second in range(100, 200):
        clock.now = float(second)
        state.hear(tick(100_000 + 10 * (second - 99), 0))
    assert state.speed_text() == "10 steps/s"


def test_a_run_that_fails_early_leaves_nothing_to_do_and_is_not_faster_for_it(clock: Clock) -> None:
    state = Tally(runs(1))
    state.hear(tick(100, 0))
    clock.now = 2.0
    state.hear(finished(0, outcome="diverged", timesteps=300))
    assert state.speed_text() == "100 steps/s"
    assert (state.fraction([0]), state.time_text()) == (1.0, "")
    assert state.failures_text() == "1 diverged"


def test_time_is_the_most_it_can_be_until_all_runs_have_begun(clock: Clock) -> None:
    state = Tally(runs())
    state.hear(tick(100, 0))
    clock.now = 1.0
    state.hear(tick(200, 0))
    assert state.time_text() == "at most 18 s left"
    state.hear({"type": "started", "run": 1})
    assert state.time_text() == "18 s left"


def test_a_later_evaluation_replaces_an_earlier_one() -> None:
    state = Tally(runs())
    for value in (5.0, 9.0):
        state.hear(evaluated(0, 10, value))
    assert state.arms()[0].returns == [9.0]
    state.hear({"type": "train", "run": 0, "timesteps": 20, "return": None})
    assert state.arms()[0].returns == [9.0]
    state.hear(evaluated(0, 30, None))
    assert state.arms()[0].returns == []
