"""What a command that trains hears, written by hand: runs, messages about them, and a clock."""

from __future__ import annotations

from typing import Any

from rlbatch.config import RunConfig


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def runs(seeds: int = 2, batches: tuple[int, ...] = (32,), **settings: Any) -> list[RunConfig]:
    common = {"env_id": "X-v0", "algo": "dqn", "total_timesteps": 1000} | settings
    return [RunConfig.build(**common, batch_size=batch, seed=seed) for batch in batches for seed in range(seeds)]


def tick(timesteps: int, *numbers: int) -> dict[str, Any]:
    return {"type": "tick", "runs": list(numbers), "timesteps": timesteps}


def evaluated(run: int, timesteps: int, value: float | None) -> dict[str, Any]:
    return {"type": "eval", "run": run, "timesteps": timesteps, "updates": 1, "seconds": 1.0, "return": value}


def finished(run: int, **result: Any) -> dict[str, Any]:
    whole = {"outcome": "ok", "reason": "", "timesteps": 1000, "final": {"return_mean": 7.0}} | result
    return {"type": "finished", "run": run, "result": whole}
