"""Two real commands that start together in one folder: one of them trains, and no run is trained twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rlbatch.experiment import LOCK_WAIT_S, Experiment

GATE = """
import gymnasium, probes, time
from pathlib import Path
class Gate(probes.Probe):
    def __init__(self, go):
        super().__init__(length=10)
        self.go = Path(go)
    def step(self, action):
        while not self.go.exists():
            time.sleep(0.05)
        return super().step(action)
gymnasium.register("Gate-v0", entry_point=Gate)
"""
PATIENT = "import sys, rlbatch.experiment as e; e.LOCK_WAIT_S = 120.0; from rlbatch.cli import main; main.main()"
TESTS = str(Path(__file__).parents[1])


def start(*python: str) -> subprocess.Popen[str]:
    """Starts a command that trains four runs, which wait for the file go."""
    words = ["train", "--env", "gate:Gate-v0", "--env-kwargs", json.dumps({"go": str(Path("go").resolve())})]
    words += ["--batch", "32", "--seeds", "4", "--steps", "100", "--no-calibration", "--json"]
    for setting in ("learning_starts=32", "net_arch=[8]", "n_evaluations=1", "n_eval_episodes=1", "log_points=2"):
        words += ["--set", setting]
    return subprocess.Popen(
        [sys.executable, *python, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(command: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """Waits for a command; returns its exit code and the one JSON object that it said."""
    out, err = command.communicate(timeout=300)
    return command.returncode, json.loads(out or err)


def attempts() -> list[int]:
    experiment = Experiment(Path("results/gate++Gate-v0-dqn"))
    return [(experiment.path / run / "result.json").read_text().count('"attempts": 1,') for run in experiment.planned()]


def test_a_second_command_gives_up_after_a_while_and_leaves_the_first_alone(monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONPATH", TESTS, prepend=":")
    Path("gate.py").write_text(GATE)
    both = [start("-m", "rlbatch.cli") for _ in range(2)]
    began = time.monotonic()
    while all(command.poll() is None for command in both):
        assert time.monotonic() - began < 120
        time.sleep(0.05)
    assert time.monotonic() - began > LOCK_WAIT_S
    second, first = sorted(both, key=lambda command: command.poll() is None)
    code, told = ended(second)
    assert (code, told["exit_code"]) == (4, 4)
    assert told["what"].startswith(f"another rlbatch command works here (process {first.pid})")
    Path("go").touch()
    code, told = ended(first)
    assert (code, [run["new"] for run in told["runs"]]) == (0, [True] * 4)
    assert attempts() == [1] * 4


def test_a_second_command_that_gets_its_turn_finds_nothing_left_to_do(monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONPATH", TESTS, prepend=":")
    Path("gate.py").write_text(GATE)
    Path("go").touch()
    told = [ended(command) for command in [start("-c", PATIENT) for _ in range(2)]]
    assert [code for code, _ in told] == [0, 0]
    assert sorted(sum(run["new"] for run in said["runs"]) for _, said in told) == [0, 4]
    assert attempts() == [1] * 4
