"""What is a stack in training? The runs' environments, agents and replay, advanced one vector step at a time.

Every tensor has the run axis first. On a CPU a run's numbers do not depend on its company: alone, first, middle or last
in a stack of any width, the same bits. A run that fails or diverges ends alone. Its place in the stack stays, its
environments stand still, and nothing more is told of it, so that shapes and the others' numbers do not change.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from rlbatch.config import RunConfig
from rlbatch.environments import describe
from rlbatch.rows import Emit, grid_points
from rlbatch.training.agents import make_agents
from rlbatch.training.clock import Clock
from rlbatch.training.env_workers import EnvWorkers
from rlbatch.training.envs import EnvironmentFailure, resets_exactly
from rlbatch.training.episodes import Episodes
from rlbatch.training.frame_replay import make_replay
from rlbatch.training.instances import Instances
from rlbatch.training.padding import padded_rows
from rlbatch.training.replay import StackedReplay
from rlbatch.training.replay_draws import ReplayDraws
from rlbatch.training.stack_endings import Position, StackEndings
from rlbatch.training.stack_evaluation import MakeInstances, StackEvaluator
from rlbatch.training.stack_rows import StackRows
from rlbatch.training.stacking import Actions
from rlbatch.training.state import Segment, State, named, of_part, select

_LOOK_EVERY = 10
"""Vector steps between looks for values that are not finite: not those of the rows, whose number changes no outcome."""


class Stack:
    """R runs in training.

    Args:
        configs: the runs, in the stack's order.
        emit: takes the reports of a run.
        device: torch's name of it.
        env_workers: processes that step the environments; 0 steps them here.
        modules: what these processes must import.
        alive: called at every step of an evaluation, and of an episode that is brought back.

    Attributes:
        live: the runs that have not ended.
        spent: seconds by activity: act, environment, store, update, evaluation, logging.
        clock: the runs' common clocks.
        agents: their networks.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        emit: Emit,
        *,
        device: str = "cpu",
        env_workers: int = 0,
        modules: Sequence[str] = (),
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        first, runs = configs[0], len(configs)
        size = spaces.flatdim(describe(first.env_id, first.env_kwargs).observation_space)
        self._configs, self._emit, self._device, self._alive = configs, emit, device, alive
        self._shape = (runs, first.n_envs)
        self.clock = Clock(first)
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._rows = StackRows(configs, resume_exact=_resets_exactly(first), device=device)
        self.agents = make_agents(configs, device)
        self._at = Position()
        self._endings = StackEndings(configs, self.agents, self._rows, emit, self._at)
        self.live = self._endings.live
        self._replay = _replay_of(configs, self.clock.positions, size, self.agents.action_size, device)
        self._draws = ReplayDraws(configs, device)
        self._seen = np.zeros((runs, padded_rows(first.n_envs, first.activation_fn), size), np.float32)
        self._seen_rows = torch.from_numpy(self._seen)
        self._train_points = list(grid_points(first.total_timesteps, first.log_points))
        self._eval_points = list(grid_points(first.total_timesteps, first.n_evaluations))
        self._evaluations = 0
        self._mark = time.perf_counter()
        workers = min(env_workers, runs * first.n_envs)
        self._workers = EnvWorkers(workers, runs, modules) if workers else None
        make: MakeInstances = partial(Instances if self._workers is None else self._workers.make, first)
        self._envs = make(runs * first.n_envs, auto_reset=True)
        self._episodes = Episodes(self._envs, [config.seed for config in configs])
        self._evaluator = StackEvaluator(configs, make, reuse=self._rows.resets_exactly, alive=alive)

    @property
    def step(self) -> int:
        """Vector steps that were taken."""
        return self._at.env_steps // self._shape[1]

    @functools.cached_property
    def _run_ids(self) -> tuple[str, ...]:
        return tuple(config.run_id for config in self._configs)

    @property
    def timesteps(self) -> int:
        """Env steps that each run has taken, of its budget."""
        return min(self._at.env_steps, self._configs[0].total_timesteps)

    def begin(self) -> None:
        """Starts the first episodes and evaluates the agents before training."""
        everywhere = range(len(self._envs.rewards))
        for index in everywhere:
            self._episodes.renew(index)
        self._endings.fail(self._envs.failures)
        self._envs.reset(self._instances())
        self._endings.fail(self._envs.failures)
        for index in everywhere:
            self._episodes.renew(index)
        self.evaluate(0)

    def state(self) -> State:
        """Returns the state of the live runs between two vector steps, without their replays."""
        arrays = named("agents", self.agents.state()) | named("rows", self._rows.state())
        arrays |= named("bad", self._endings.state()) | named("episodes", self._episodes.state(self._instances()))
        return select(State(self._run_ids, self.step, arrays), [self._run_ids[run] for run in self.live])

    @property
    def oldest(self) -> int:
        """Vector steps before the oldest one that the replays still hold."""
        return self.step - self.clock.stored(self.step)

    def stored(self, first: int, last: int) -> Segment:
        """Returns what the replays of the live runs hold of the vector steps first + 1 to last."""
        whole = Segment(self._run_ids, first, last, self._replay.stored(first, last))
        return select(whole, [self._run_ids[run] for run in self.live])

    def restore(self, state: State, replays: Iterable[Segment]) -> list[str]:
        """Goes on, instead of `begin`, where other stacks stood that held these runs.

        Args:
            state: their state.
            replays: what their replays held, the oldest transitions first.

        Returns:
            The ids of runs with an environment that could not be brought back and began a new episode.
        """
        state, envs = select(state, self._run_ids), self._shape[1]
        self._at.env_steps, self._at.updates = state.step * envs, self.clock.updates_done(state.step)
        self._evaluations = 1 + sum(point <= self._at.env_steps for point in self._eval_points)
        self._train_points = [point for point in self._train_points if point > self._at.env_steps]
        self._eval_points = [point for point in self._eval_points if point > self._at.env_steps]
        self._endings.restore(of_part("bad", state.arrays))
        self.agents.restore(of_part("agents", state.arrays))
        self._rows.restore(of_part("rows", state.arrays))
        for segment in replays:
            self._replay.refill(segment.first, segment.last, select(segment, self._run_ids).arrays)
        returns, exact = state.arrays["rows/returns"], self._rows.resets_exactly
        episodes = of_part("episodes", state.arrays)
        lost = self._episodes.restore(
            episodes, returns, lambda ago: self._replay.seen(self.step - ago), exact=exact, alive=self._alive
        )
        self._endings.fail(self._envs.failures)
        self._rows.lose(lost)
        self._replay.cut(lost)
        return [self._run_ids[run] for run in np.flatnonzero(lost.any(axis=1))]

    def advance(self, step: int) -> None:
        """Takes one vector step with every run, counted from 1, and makes the updates that are due after it."""
        self._mark = time.perf_counter()
        observations = self._seen[:, : self._shape[1]]
        observations[...] = self._envs.observations.reshape(observations.shape)
        actions = self.agents.act(self._seen_rows.to(self._device), step)
        if actions.finite is not None and not actions.finite.all():
            self._endings.diverge(~actions.finite, self.agents.output)
        self._lap("act")
        taken, which = actions.taken.reshape(-1, *actions.taken.shape[2:]), self._instances()
        self._episodes.note(taken, which)
        self._envs.step(taken, which)
        self._lap("environment")
        if self._envs.failures:
            self._endings.fail(self._envs.failures)
        self._store(observations, actions)
        self._at.env_steps = step * self._shape[1]
        self._lap("store")
        self.agents.after_step(step)
        due = self.clock.updates_after(step)
        for update in range(self.clock.updates_done(step) - due, self.clock.updates_done(step)):
            drawn = self._draws.at(update)
            self.agents.update(self._replay, drawn.rows, update, self.clock.progress(step))
            self._at.updates = update + 1
            self._rows.note_batch(drawn.age, drawn.unique_fraction)
        if step % _LOOK_EVERY == 0 or step == self.clock.vector_steps:
            self._endings.look_for_nonfinite()
        self._lap("update")

    def report(self, step: int) -> None:
        """Emits the rows whose grid points lie at or below the env steps taken, and evaluates where it is due."""
        self._rows.note_exploration(self.agents.exploration_rates(step))
        while self._train_points and self._train_points[0] <= self._at.env_steps:
            self.emit_train(self._train_points.pop(0))
        self._lap("logging")
        while self._eval_points and self._eval_points[0] <= self._at.env_steps:
            self.evaluate(self._eval_points.pop(0))

    def emit_train(self, point: int) -> None:
        """Emits the train rows of one grid point; a run that is about to end as diverged gets none."""
        means = self.agents.sums.take()
        self._endings.note(means)
        values = self._rows.train_values(means, self._at.env_steps, self._at.updates)
        for run in self.live:
            if not self._endings.is_noted(run):
                self._emit(run, self._rows.row(run, "train", point, self._at.updates, values[run]))

    def evaluate(self, point: int) -> None:
        """Evaluates every run and emits the rows of one grid point."""
        self._endings.diverge_by_parameters()
        started = time.perf_counter()
        results = self._evaluator(self._evaluations, self._act_greedily, self.live)
        self._evaluations += 1
        spent = time.perf_counter() - started
        self._rows.pause(spent)
        self.spent["evaluation"] += spent
        for run, found in results.items():
            if isinstance(found, EnvironmentFailure):
                self._endings.fail_one(run, found)
            else:
                self._emit(run, self._rows.row(run, "eval", point, self._at.updates, found.values(), found))
        self._mark = time.perf_counter()

    def finish(self) -> None:
        """Ends the runs that came through."""
        self._endings.finish()

    def fail_all(self, error: Exception) -> None:
        """Ends every run that is left with an error that is not one run's own."""
        self._endings.fail_all(error)

    def close(self) -> None:
        """Closes all environments."""
        self._envs.close()
        self._evaluator.close()
        if self._workers is not None:
            self._workers.close()

    def _instances(self) -> list[int]:
        """Returns the environments of the live runs."""
        envs = self._shape[1]
        return list(self.live) if envs == 1 else [run * envs + env for run in self.live for env in range(envs)]

    def _store(self, observations: NDArray[np.float32], actions: Actions) -> None:
        """Puts the transitions of a vector step into the replay; the next episodes get new seeds."""
        envs, shape = self._envs, self._shape
        rewards, terminated = envs.rewards.reshape(shape), envs.terminated.reshape(shape)
        over = terminated | envs.truncated.reshape(shape)
        self._rows.note_step(rewards, over)
        self._replay.add(
            observations,
            actions.stored,
            rewards,
            envs.next_observations.reshape(observations.shape),
            terminated,
            over,
        )
        if over.any():
            for index in np.flatnonzero(over):
                self._episodes.renew(int(index))

    def _act_greedily(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        return self.agents.act_greedily(torch.from_numpy(observations).to(self._device))

    def _lap(self, activity: str) -> None:
        now = time.perf_counter()
        self.spent[activity] += now - self._mark
        self._mark = now


def _replay_of(
    configs: Sequence[RunConfig], positions: int, observation_size: int, action_size: int, device: str
) -> StackedReplay:
    """Returns a replay for transitions of these sizes, with room for so many vector steps."""
    gammas, first = [config.gamma for config in configs], configs[0]
    make = partial(make_replay(observation_size), n_steps=first.n_steps, device=device)
    return make(len(configs), first.n_envs, positions, observation_size, action_size, gammas)


def _resets_exactly(config: RunConfig) -> bool:
    """Tells whether a reset restores the environment; one that fails here will fail in its own run, with evidence."""
    try:
        return resets_exactly(config)
    except EnvironmentFailure:
        return False
