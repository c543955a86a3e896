"""One stack in which runs fail in every way: each costs itself, and the others end as if it had not been there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from here import train_here
from launch.kills import compare

import rlbatch
from rlbatch.launch import Outcome, crew, process
from rlbatch.training.randomness import episode_seed

FAILING = {
    2: ("raise", 98, "env_error", "the probe was told to fail"),
    3: ("nan observation", 93, "env_error", "is not finite"),
    4: ("memory", 95, "out_of_memory", "MemoryError"),
    5: ("kill", 95, "crashed", "its process was killed by SIGKILL"),
    6: ("hang", 95, "hung", "its process made no progress and was ended"),
}
"""Seed -> how and at which step its environment misbehaves, and what is recorded.

The order keeps the test short: memory is short first, and of the two halves one holds all that end a process.
"""
FINE = (0, 1)
_EPISODE = 9
"""In which they misbehave; an episode has ten steps, and the first update is made after 64."""


def train(name: str, seeds: Sequence[int]) -> tuple[dict[int, Outcome], list[int]]:
    """Trains these seeds from a file, as one stack; returns how each stands, and which were told to have ended."""
    ways = {str(episode_seed(seed, "episode", _EPISODE)): [how, at] for seed, (how, at, *_) in FAILING.items()}
    content = {
        "name": name,
        "envs": "Probe/Troubled-v0",
        "env_kwargs": {"ways": ways},
        "seeds": list(seeds),
        **{"total_timesteps": 300, "learning_starts": 64, "batch_size": 32, "net_arch": [8]},
        **{"n_evaluations": 2, "n_eval_episodes": 2, "log_points": 5},
    }
    file = Path(f"{name}.yaml")
    file.write_text(yaml.safe_dump(content))
    ended: list[int] = []

    def hear(message: dict[str, Any]) -> None:
        if message["type"] == "finished":
            ended.append(seeds[message["run"]])

    outcomes = rlbatch.run(file, modules=["probes"], jobs=2, stack_width=8, calibration=False, report=hear)
    return {outcome.planned.config.seed: outcome for outcome in outcomes}, ended


def test_runs_that_fail_in_every_way_cost_themselves_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_STALL_S", 15.0)
    monkeypatch.setattr(process, "_memory_kills", lambda: 0)  # of whatever else the machine runs
    mixed, ended = train("mixed", sorted((*FAILING, *FINE)))
    with monkeypatch.context() as patch:
        train_here(patch)
        calm, _ = train("calm", FINE)
    assert sorted(ended) == sorted(mixed)
    for seed, (_, at, outcome, reason) in FAILING.items():
        result = mixed[seed].result
        assert (result["outcome"], reason in result["reason"]) == (outcome, True), result
        assert outcome not in ("crashed", "hung") or result["reason"] == reason
        assert mixed[seed].folder.error_path.exists()
        assert outcome != "env_error" or result["timesteps"] == at - 1
    for seed in FINE:
        assert mixed[seed].result["outcome"] == "ok"
        assert mixed[seed].folder.record()["run_id"] == calm[seed].folder.record()["run_id"]
        same = compare(calm[seed].folder, mixed[seed].folder)
        assert all(same.values()), same
    # the stack until memory is short, then what is left in halves; the second one again in parts
    attempts = {seed: mixed[seed].result["attempts"] for seed in mixed}
    assert attempts == {0: 2, 1: 2, 2: 2, 3: 1, 4: 3, 5: 4, 6: 4}
    assert not (tmp_path / "results" / "mixed" / "_checkpoints").exists()
