"""What do the runs of a stack report? Their rows and endings, from what the loop notes step by step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from rlbatch.config import RunConfig
from rlbatch.rows import TRAIN_TAGS, Ending, Row
from rlbatch.training.evaluation import Evaluation
from rlbatch.training.interval import interval_values
from rlbatch.training.state import Arrays

Floats = NDArray[np.float64]


class StackRows:
    """Collects what happens between two rows.

    Args:
        configs: the R runs, in the stack's order.
        resume_exact: whether a reset with a seed restores the environment.
        device: torch's name of it.
    """

    def __init__(self, configs: Sequence[RunConfig], *, resume_exact: bool, device: str = "cpu") -> None:
        runs, envs = len(configs), configs[0].n_envs
        self.resets_exactly = resume_exact
        self._inexact = np.full(runs, not resume_exact)
        self._configs, self._device = configs, device
        self._tags = TRAIN_TAGS[configs[0].algo]
        self._started = time.perf_counter()
        self._paused = 0.0
        self._returns = np.zeros((runs, envs))
        self._lengths = np.zeros((runs, envs), np.int64)
        self._episodes: list[list[tuple[float, int]]] = [[] for _ in configs]
        self._age, self._unique, self._batches = np.zeros(runs), np.zeros(runs), 0
        self._exploration, self._explored = np.zeros(runs), 0
        self._last = (0, 0, 0.0)
        self._process = psutil.Process()

    def note_step(self, rewards: Floats, over: NDArray[np.bool_]) -> None:
        """Takes the rewards (R, E) of a vector step, and which episodes ended with it, (R, E)."""
        self._returns += rewards
        self._lengths += 1
        if not over.any():
            return
        for run, env in zip(*np.nonzero(over), strict=True):
            self._episodes[run].append((float(self._returns[run, env]), int(self._lengths[run, env])))
        self._returns[over] = 0.0
        self._lengths[over] = 0

    def note_batch(self, age: Floats, unique_fraction: Floats) -> None:
        """Takes the mean age (env steps) and the distinct share of each run's batch, (R,)."""
        self._age += age
        self._unique += unique_fraction
        self._batches += 1

    def note_exploration(self, rates: Floats | float | None) -> None:
        """Takes epsilon of each run after a vector step, (R,), or one number that is that of all."""
        if rates is not None:
            self._exploration += rates
            self._explored += 1

    def pause(self, seconds: float) -> None:
        """Leaves seconds that an evaluation took out of the costs of training."""
        self._paused += seconds

    def train_values(self, means: Mapping[str, Floats], timesteps: int, updates: int) -> list[dict[str, float | None]]:
        """Returns every run's values over the interval since the last call.

        Args:
            means: of what the updates measured, (R,) by tag.
            timesteps: env steps that each run has taken.
            updates: that each run has made.
        """
        steps_before, updates_before, clock_before = self._last
        clock = time.perf_counter() - self._started - self._paused
        self._last = (timesteps, updates, clock)
        interval = (timesteps - steps_before, updates - updates_before, max(clock - clock_before, 1e-9))
        measured = dict(means)
        if self._batches:
            measured["batch/age_mean"] = self._age / self._batches
            measured["batch/unique_fraction"] = self._unique / self._batches
        if self._explored:
            measured["rollout/exploration_rate"] = self._exploration / self._explored
        shared = self._memory()
        values = [self._values_of(run, measured, interval) | shared for run in range(len(self._configs))]
        runs = len(self._configs)
        self._age, self._unique, self._batches = np.zeros(runs), np.zeros(runs), 0
        self._exploration, self._explored = np.zeros(runs), 0
        return values

    def row(
        self,
        run: int,
        kind: str,
        timesteps: int,
        updates: int,
        values: Mapping[str, float | None],
        evaluation: Evaluation | None = None,
    ) -> Row:
        """Returns a run's row of a grid point."""
        samples, seconds = updates * self._configs[run].batch_size, round(time.perf_counter() - self._started, 3)
        if evaluation is None:
            return Row(kind, timesteps, updates, samples, seconds, values)
        episodes = (evaluation.returns, evaluation.lengths, evaluation.cut_episodes)
        return Row(kind, timesteps, updates, samples, seconds, values, *episodes)

    def ending(
        self,
        run: int,
        outcome: str,
        reason: str,
        timesteps: int,
        updates: int,
        first_nonfinite: Mapping[str, Any] | None,
        policy: Mapping[str, NDArray[Any]] | None = None,
        evidence: str = "",
    ) -> Ending:
        """Returns a run's ending."""
        return Ending(
            outcome=outcome,
            reason=reason,
            timesteps=timesteps,
            updates=updates,
            samples=updates * self._configs[run].batch_size,
            seconds=time.perf_counter() - self._started,
            first_nonfinite=first_nonfinite,
            policy=policy,
            evidence=evidence,
            resume_exact=not self._inexact[run],
        )

    def state(self) -> Arrays:
        """Returns what was noted since the last rows, and the clocks, (R, ...) each."""
        runs, counts = len(self._configs), np.array([len(episodes) for episodes in self._episodes])
        episodes = np.zeros((runs, int(counts.max()), 2))
        for run, ended in enumerate(self._episodes):
            episodes[run, : len(ended)] = np.reshape(ended, (-1, 2))
        shared = {"batches": self._batches, "explored": self._explored, "paused": self._paused, "last": self._last}
        shared["seconds"] = time.perf_counter() - self._started
        return {
            **{name: np.array([value] * runs) for name, value in shared.items()},
            **{"returns": self._returns, "lengths": self._lengths, "episodes": episodes, "counts": counts},
            **{"age": self._age, "unique": self._unique, "exploration": self._exploration, "inexact": self._inexact},
        }

    def restore(self, state: Arrays) -> None:
        """Takes over what `state` returned; the clocks go on from where they stood."""
        self._returns, self._lengths = state["returns"], state["lengths"]
        self._episodes = [
            [(float(total), int(length)) for total, length in ended[:count]]
            for ended, count in zip(state["episodes"], state["counts"], strict=True)
        ]
        self._age, self._unique, self._exploration = state["age"], state["unique"], state["exploration"]
        self._batches, self._explored = int(state["batches"][0]), int(state["explored"][0])
        self._paused, self._started = float(state["paused"][0]), time.perf_counter() - float(state["seconds"][0])
        steps, updates, clock = state["last"][0]
        self._last = (int(steps), int(updates), float(clock))
        self._inexact = self._inexact | state["inexact"]

    def lose(self, which: NDArray[np.bool_]) -> None:
        """Leaves out the episodes of some environments, (R, E), that could not be brought back: no exact resume."""
        self._returns[which] = 0.0
        self._lengths[which] = 0
        self._inexact = self._inexact | which.any(axis=1)

    def _values_of(
        self, run: int, measured: Mapping[str, Floats], interval: tuple[int, int, float]
    ) -> dict[str, float | None]:
        steps, updated, spent = interval
        episodes, self._episodes[run] = self._episodes[run], []
        values: dict[str, float | None] = dict.fromkeys(self._tags)
        values |= {tag: float(means[run]) for tag, means in measured.items()}
        return values | interval_values(episodes, steps, updated, self._configs[run].batch_size, spent)

    def _memory(self) -> dict[str, float | None]:
        on_gpu = self._device != "cpu"
        return {
            "cost/process_memory_mb": self._process.memory_info().rss / 2**20,
            "cost/gpu_memory_mb": torch.cuda.max_memory_allocated(self._device) / 2**20 if on_gpu else None,
        }
