"""What do checkpoints cost, beside a replay of one million transitions? Measures it and prints it.

python tests/training/checkpoint_cost.py --env HalfCheetah-v5 --algo sac --runs 1
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlbatch.config import RunConfig
from rlbatch.training.checkpoint import INTERVAL_S, Checkpoints
from rlbatch.training.stack import Stack

STORED = 1_000_000
SETTINGS: dict[str, Any] = {"buffer_size": STORED, "total_timesteps": 2 * STORED, "learning_starts": 100}
SETTINGS |= {"batch_size": 64, "n_evaluations": 1, "n_eval_episodes": 1, "log_points": 1}


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def filled(env_id: str, algo: str, runs: int) -> Stack:
    """A stack whose replays are full, as after a million env steps, of transitions that are noise."""
    stack = Stack([RunConfig.build(env_id=env_id, algo=algo, seed=seed, **SETTINGS) for seed in range(runs)], _ignore)
    stack.begin()
    rows = stack._replay._rows
    rows.copy_(torch.rand_like(rows[:1000]).repeat(len(rows) // 1000, 1))
    stack._replay._steps = stack._at.env_steps = STORED
    return stack


def train(stack: Stack, seconds: float) -> float:
    """Trains for so long; returns the seconds of a vector step."""
    began, first = time.perf_counter(), stack.step
    while time.perf_counter() - began < seconds:
        stack.advance(stack.step + 1)
    return (time.perf_counter() - began) / (stack.step - first)


def per_step(stack: Stack, checkpoints: Checkpoints) -> float:
    """Returns the seconds that a vector step spends on being ready for a checkpoint."""
    episodes, which = stack._episodes, list(stack.live)
    actions = np.zeros_like(episodes._actions[0])  # type: ignore[index]
    began = time.perf_counter()
    for _ in range(10_000):
        episodes._began[:] = episodes._noted
        episodes.note(actions, which)
        checkpoints.offer(stack, stopping=False)
    return (time.perf_counter() - began) / 10_000


def main() -> None:
    """Measures one case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--algo", default="sac")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=INTERVAL_S)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode(), tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        stack = filled(given.env, given.algo, given.runs)
        checkpoints = Checkpoints(Path(folder) / "kept", device="cpu", mark=lambda run_id: {}, note=tell)
        train(stack, 2.0)
        began = time.perf_counter()
        checkpoints._write(stack)
        spent, size = time.perf_counter() - began, sum(part["size"] for part in checkpoints._parts) / 1e6
        tell(f"{given.env} {given.algo}, {given.runs} runs: all at once {spent:.2f} s, {size:.0f} MB")
        for _ in range(2):
            step = train(stack, given.seconds)
            began = time.perf_counter()
            checkpoints._write(stack)
            spent, size = time.perf_counter() - began, checkpoints._parts[-1]["size"] / 1e6
            share = spent / given.seconds
            tell(f"after {given.seconds:.0f} s: {spent:.3f} s, {size:.1f} MB new; {share:.3%} of training")
        ready = per_step(stack, checkpoints)
        tell(f"a vector step: {step * 1e6:.0f} us, of which {ready * 1e6:.2f} us to be ready: {ready / step:.2%}")
        stack.close()


def _ignore(*_: object) -> None:
    pass


if __name__ == "__main__":
    main()
