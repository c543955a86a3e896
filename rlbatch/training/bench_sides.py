"""What does `bench` compare? Stable-Baselines3's own training of one run, and a stack, each advanced when it is told.

Neither ends, and neither writes a row or evaluates unless it is told.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gymnasium
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from rlbatch.config import RunConfig
from rlbatch.environments import EPISODE_CAP, describe
from rlbatch.errors import InputError
from rlbatch.rows import Ending, Row
from rlbatch.training.clock import Clock
from rlbatch.training.envs import open_for
from rlbatch.training.flop import now
from rlbatch.training.sb3 import build_model
from rlbatch.training.stack import Stack

Write = Callable[[int, Row], object]
"""Takes the rows of run number `run` of a stack."""

_ACTIVITIES = ("act", "environment", "store", "update", "logging")
_WARM_STEPS = 50
"""Vector steps with updates before anything is measured."""
_ENDLESS = 10**12


@dataclass(frozen=True)
class Stretch:
    """What was done in some seconds.

    Attributes:
        env_steps: all runs together.
        updates: the same.
        seconds: wall clock.
        spent: how long each activity took of them.
        cpu: seconds of this thread's processor time.
        update_cpu: those in updates.
        queued: seconds for which this thread waited for a core that other processes had; 0 where the system does not
            tell.
    """

    env_steps: int
    updates: int
    seconds: float
    spent: Mapping[str, float] = field(default_factory=dict)
    cpu: float = 0.0
    update_cpu: float = 0.0
    queued: float = 0.0

    @property
    def cost(self) -> float:
        """Seconds per env step."""
        return self.seconds / self.env_steps


class Reference:
    """One run on Stable-Baselines3's own class: no meter, no guard, no rows."""

    def __init__(self, config: RunConfig, device: str) -> None:
        config = _endless(config)
        self.device = device
        self._episodes = config.n_eval_episodes
        self._envs = DummyVecEnv([lambda: Monitor(open_for(config))] * config.n_envs)
        self._eval_env = Monitor(_ending(config))
        self._model = build_model(config, device, self._envs)
        self._phase = config.train_freq * config.n_envs
        random, first = _warm_up(config)
        self._learn(random * config.n_envs)
        self._cost = self._learn(first * config.n_envs).cost

    def train(self, seconds: float) -> Stretch:
        """Trains for about so many seconds, whole phases of env steps and updates."""
        phases = max(round(seconds / self._cost / self._phase), 1)
        stretch = self._learn(phases * self._phase)
        self._cost = stretch.cost
        return stretch

    def evaluate(self, seconds: float) -> Stretch:
        """Evaluates again and again until the seconds are over."""
        started, steps = now(self.device), 0
        while steps == 0 or time.perf_counter() - started < seconds:
            told: Any = evaluate_policy(self._model, self._eval_env, self._episodes, return_episode_rewards=True)
            steps += sum(told[1])
        return Stretch(steps, 0, now(self.device) - started)

    def close(self) -> None:
        """Closes the environments."""
        self._envs.close()
        self._eval_env.close()

    def _learn(self, env_steps: int) -> Stretch:
        started, updates = now(self.device), self._model._n_updates
        self._model.learn(env_steps, reset_num_timesteps=False)
        return Stretch(env_steps, self._model._n_updates - updates, now(self.device) - started)


class Stacked:
    """The runs of a stack, trained in stretches."""

    def __init__(
        self, runs: Sequence[RunConfig], write: Write, device: str, env_workers: int, modules: Sequence[str]
    ) -> None:
        self._configs, self._write, self._device = [_endless(config) for config in runs], write, device
        self._step = 0
        self._lengths: list[int] = []
        with torch.inference_mode():
            self._stack = _TimedStack(
                self._configs, self._take, device=device, env_workers=env_workers, modules=modules
            )

    @property
    def eval_episodes(self) -> int:
        """Episodes of the last evaluations."""
        return len(self._lengths)

    def warm_up(self, *, steps: int = _WARM_STEPS, evaluates: bool = True) -> None:
        """Goes through the first evaluation, if it `evaluates`, the random steps and the first updates.

        Args:
            steps: vector steps with updates, at least; see `_warm_up`.
            evaluates: whether there is an evaluation.
        """
        self._stack.evaluates = evaluates
        with torch.inference_mode():
            self._stack.begin()
            self._advance(sum(_warm_up(self._configs[0], steps)))
        self._stack.evaluates = True

    def train(self, seconds: float, *, waits: bool = False) -> Stretch:
        """Trains for so many seconds, whole phases of env steps and updates; `waits`: see `_TimedStack`."""
        stack, first, before = self._stack, self._step, dict(self._stack.spent)
        stack.waits, stack.update_cpu, queued, cpu = waits, 0.0, _queued(), time.thread_time()
        with torch.inference_mode():
            started = now(self._device)
            while self._step == first or time.perf_counter() - started < seconds:
                self._advance(self._configs[0].train_freq)
            lasted = now(self._device) - started
        stack.waits = False
        spent = {name: stack.spent[name] - before.get(name, 0.0) for name in _ACTIVITIES}
        env_steps = (self._step - first) * self._configs[0].n_envs
        updates = stack.clock.updates_done(self._step) - stack.clock.updates_done(first)
        counts = (len(self._configs) * env_steps, len(self._configs) * updates)
        return Stretch(*counts, lasted, spent, time.thread_time() - cpu, stack.update_cpu, _queued() - queued)

    def write_rows(self) -> float:
        """Writes a train row of every run; returns the seconds that it took."""
        started = now(self._device)
        with torch.inference_mode():
            self._stack.emit_train(self._step * self._configs[0].n_envs)
        return now(self._device) - started

    def evaluate(self, seconds: float) -> Stretch:
        """Evaluates again and again until the seconds are over, each time with the rows that tell of it."""
        self._lengths = []
        started = now(self._device)
        with torch.inference_mode():
            while not self._lengths or time.perf_counter() - started < seconds:
                self._stack.evaluate(self._step * self._configs[0].n_envs)
        return Stretch(sum(self._lengths), 0, now(self._device) - started)

    def close(self) -> None:
        """Closes the environments."""
        self._stack.close()

    def _advance(self, steps: int) -> None:
        for _ in range(steps):
            self._step += 1
            self._stack.advance(self._step)
            self._stack.report(self._step)

    def _take(self, run: int, report: Row | Ending) -> None:
        if isinstance(report, Ending):
            what = f"a run of it ended while it was measured: {report.outcome}, {report.reason}"
            raise InputError(self._configs[0].env_id, what)
        self._lengths += report.lengths
        self._write(run, report)


class _TimedStack(Stack):
    """A stack that can wait for its device at the end of each activity, so that its time is not put on a later one.

    Attributes:
        waits: whether it does.
        evaluates: whether it evaluates when it is told.
        update_cpu: seconds of processor time that updates took.
    """

    waits = False
    evaluates = True
    update_cpu = 0.0
    _cpu_mark = 0.0

    def evaluate(self, point: int) -> None:
        """Evaluates, or does nothing."""
        if self.evaluates:
            super().evaluate(point)

    def _lap(self, activity: str) -> None:
        if self.waits:
            now(self._device)
        super()._lap(activity)
        if activity == "store":
            self._cpu_mark = time.thread_time()
        elif activity == "update":
            self.update_cpu += time.thread_time() - self._cpu_mark


def _queued() -> float:
    """Returns for how many seconds this thread has waited for a core since it began; 0 where that is not told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return 0.0


def _endless(config: RunConfig) -> RunConfig:
    """Returns the run without an end, and without grid points for rows and evaluations on the way there."""
    return replace(config, total_timesteps=_ENDLESS, log_points=1, n_evaluations=1)


def _warm_up(config: RunConfig, steps: int = _WARM_STEPS) -> tuple[int, int]:
    """Returns the vector steps up to the first updates, and those of whole phases that follow to warm up."""
    return Clock(config).step_of_update(0), -(-steps // config.train_freq) * config.train_freq


def _ending(config: RunConfig) -> gymnasium.Env[Any, Any]:
    """Returns an instance whose episodes end: where there is no limit, at that of the stack's evaluation."""
    limit = describe(config.env_id, config.env_kwargs).max_episode_steps
    return open_for(config) if limit else TimeLimit(open_for(config), EPISODE_CAP)
