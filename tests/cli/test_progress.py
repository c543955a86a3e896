"""Progress: what is told while runs train."""

from __future__ import annotations

from typing import Any

import pytest

from rlbatch.cli import progress as module
from rlbatch.cli.output import duration, number, plural, size
from rlbatch.cli.progress import progress
from rlbatch.config import RunConfig


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def runs(count: int = 2) -> list[RunConfig]:
    return [RunConfig.build(env_id="X-v0", algo="dqn", total_timesteps=1000, seed=s) for s in range(count)]


def finished(run: int, **result: Any) -> dict[str, Any]:
    return {
        "type": "finished",
        "run": run,
        "result": {"outcome": "ok", "reason": "", "final": {"return_mean": 7.0}} | result,
    }


def test_pace_counts_what_all_runs_have_left(clock: Clock) -> None:
    pace = module._Pace(runs())
    pace.hear({"type": "tick", "run": 0, "timesteps": 100})
    clock.now = 2.0
    pace.hear({"type": "train", "run": 0, "timesteps": 400})
    assert (pace.taken, pace.left) == (400, 1600)
    assert pace.text() == "150 steps/s, 11 s left in all"
    pace.hear(finished(0))
    assert (pace.taken, pace.left) == (1000, 1000)
    pace.hear({"type": "tick", "run": 0, "timesteps": 5})
    assert pace.taken == 1000


def test_lines_tell_starts_and_ends_and_little_between(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(runs(), quiet=False) as show:
        show({"type": "device", "device": "cpu"})
        show({"type": "started", "run": 1})
        for step in range(0, 1000, 100):
            clock.now += 3.0
            show({"type": "eval", "run": 1, "timesteps": step, "return": 1.5})
        show(finished(1, outcome="diverged", reason="loss\x1b[2J not finite"))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "X-v0 batch 32 seed 1: started"
    assert 2 <= sum("/1,000 steps, return 1.5" in line for line in lines) <= 3
    assert lines[-1] == "X-v0 batch 32 seed 1: diverged (loss\\x1b[2J not finite), return 7"


def test_a_terminal_gets_a_bar_with_return_and_speed(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(runs(), quiet=False) as show:
        show({"type": "started", "run": 0})
        show({"type": "tick", "run": 0, "timesteps": 1})
        clock.now = 5.0
        show({"type": "eval", "run": 0, "timesteps": 500, "return": 321.25})
    err = capsys.readouterr().err
    assert "X-v0 batch 32 seed 0 [1/2]" in err
    assert "25%" in err
    assert "return 321.2" in err


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(runs(), quiet=True) as show:
        show({"type": "started", "run": 0})
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "-"),
        (500.0, "500"),
        (71.34, "71.3"),
        (0.00125, "0.00125"),
        (1234567, "1,234,567"),
        ("never", "never"),
        (-1233.5, "-1,233.5"),
    ],
)
def test_numbers_are_short(value: Any, told: str) -> None:
    assert number(value) == told


def test_sizes_durations_and_plurals_read_well() -> None:
    assert [size(n) for n in (12, 52_000, 2_600_000, 1.5e12)] == ["12 B", "52.0 kB", "2.6 MB", "1.5 TB"]
    assert [duration(s) for s in (48, 200, 7500)] == ["48 s", "3 min 20 s", "2 h 05 min"]
    assert [plural(n, "run") for n in (1, 1200)] == ["1 run", "1,200 runs"]
