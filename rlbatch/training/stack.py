"""What is a stack in training? The runs' environments, agents and replay, advanced one vector step at a time.

Every tensor has the run axis first. On a CPU a run's numbers do not depend on its company: alone, first, middle or last
in a stack of any width, the same bits. A run that fails or diverges ends alone. Its place in the stack stays, its
environments stand still, and nothing more is told of it, so that shapes and the others' numbers do not change.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from rlbatch.config import RunConfig
from rlbatch.environments import describe
from rlbatch.rows import Emit, grid_points
from rlbatch.training.clock import Clock
from rlbatch.training.dqn import Dqn
from rlbatch.training.endings import evidence_of, outcome_of, reason_of
from rlbatch.training.env_workers import EnvWorkers
from rlbatch.training.envs import EnvironmentFailure, resets_exactly
from rlbatch.training.episodes import Episodes
from rlbatch.training.frame_replay import make_replay
from rlbatch.training.instances import Instances
from rlbatch.training.padding import padded_rows
from rlbatch.training.replay_draws import ReplayDraws
from rlbatch.training.sac import Sac
from rlbatch.training.stack_evaluation import MakeInstances, StackEvaluator
from rlbatch.training.stack_rows import StackRows
from rlbatch.training.stacking import Actions
from rlbatch.training.state import Segment, State, named, of_part, select

_LOOK_EVERY = 10
"""Vector steps between looks for values that are not finite: not those of the rows, whose number changes no outcome."""


def make_agents(configs: Sequence[RunConfig], device: str) -> Dqn | Sac:
    """Returns the agents of a stack, as they are before training."""
    environment = describe(configs[0].env_id, configs[0].env_kwargs)
    size, actions = spaces.flatdim(environment.observation_space), environment.action_space
    if isinstance(actions, spaces.Discrete):
        return Dqn(configs, size, actions, device=device)
    return Sac(configs, size, cast("spaces.Box", actions), device=device)


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
        self.live = list(range(runs))
        self.clock = Clock(first)
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._rows = StackRows(configs, resume_exact=_resets_exactly(first), device=device)
        self._taken, self._updates = 0, 0
        self._bad: dict[str, NDArray[np.bool_]] = {}
        self.agents = make_agents(configs, device)
        self._replay = make_replay(size)(
            runs,
            first.n_envs,
            self.clock.positions,
            size,
            self.agents.action_size,
            [config.gamma for config in configs],
            n_steps=first.n_steps,
            device=device,
        )
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
        return self._taken // self._shape[1]

    @functools.cached_property
    def _run_ids(self) -> tuple[str, ...]:
        return tuple(config.run_id for config in self._configs)

    @property
    def timesteps(self) -> int:
        """Env steps that each run has taken, of its budget."""
        return min(self._taken, self._configs[0].total_timesteps)

    def begin(self) -> None:
        """Starts the first episodes and evaluates the agents before training."""
        everywhere = range(len(self._envs.rewards))
        for index in everywhere:
            self._episodes.renew(index)
        self._end_failed()
        self._envs.reset(self._instances())
        self._end_failed()
        for index in everywhere:
            self._episodes.renew(index)
        self.evaluate(0)

    def state(self) -> State:
        """Returns the state of the live runs between two vector steps, without their replays."""
        arrays = {f"bad/{where}": which for where, which in self._bad.items()}
        arrays |= named("agents", self.agents.state()) | named("rows", self._rows.state())
        arrays |= named("episodes", self._episodes.state(self._instances()))
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
        self._taken, self._updates = state.step * envs, self.clock.updates_done(state.step)
        self._evaluations = 1 + sum(point <= self._taken for point in self._eval_points)
        self._train_points = [point for point in self._train_points if point > self._taken]
        self._eval_points = [point for point in self._eval_points if point > self._taken]
        self._bad = of_part("bad", state.arrays)
        self.agents.restore(of_part("agents", state.arrays))
        self._rows.restore(of_part("rows", state.arrays))
        for segment in replays:
            self._replay.refill(segment.first, segment.last, select(segment, self._run_ids).arrays)
        returns, exact = state.arrays["rows/returns"], self._rows.resets_exactly
        episodes = of_part("episodes", state.arrays)
        lost = self._episodes.restore(
            episodes, returns, lambda ago: self._replay.seen(self.step - ago), exact=exact, alive=self._alive
        )
        self._end_failed()
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
            self._end_diverged(~actions.finite, self.agents.output)
        self._lap("act")
        taken, which = actions.taken.reshape(-1, *actions.taken.shape[2:]), self._instances()
        self._episodes.note(taken, which)
        self._envs.step(taken, which)
        self._lap("environment")
        if self._envs.failures:
            self._end_failed()
        self._store(observations, actions)
        self._taken = step * self._shape[1]
        self._lap("store")
        self.agents.after_step(step)
        due = self.clock.updates_after(step)
        for update in range(self.clock.updates_done(step) - due, self.clock.updates_done(step)):
            drawn = self._draws.at(update)
            self.agents.update(self._replay, drawn.rows, update, self.clock.progress(step))
            self._updates = update + 1
            self._rows.note_batch(drawn.age, drawn.unique_fraction)
        if step % _LOOK_EVERY == 0 or step == self.clock.vector_steps:
            self._look_for_nonfinite()
        self._lap("update")

    def report(self, step: int) -> None:
        """Emits the rows whose grid points lie at or below the env steps taken, and evaluates where it is due."""
        self._rows.note_exploration(self.agents.exploration_rates(step))
        while self._train_points and self._train_points[0] <= self._taken:
            self.emit_train(self._train_points.pop(0))
        self._lap("logging")
        while self._eval_points and self._eval_points[0] <= self._taken:
            self.evaluate(self._eval_points.pop(0))

    def emit_train(self, point: int) -> None:
        """Emits the train rows of one grid point; a run that is about to end as diverged gets none."""
        means = self.agents.sums.take()
        self._note_nonfinite(means)
        values = self._rows.train_values(means, self._taken, self._updates)
        for run in self.live:
            if not any(bad[run] for bad in self._bad.values()):
                self._emit(run, self._rows.row(run, "train", point, self._updates, values[run]))

    def evaluate(self, point: int) -> None:
        """Evaluates every run and emits the rows of one grid point."""
        self._end_diverged(~self.agents.finite(), "parameters")
        started = time.perf_counter()
        results = self._evaluator(self._evaluations, self._act_greedily, self.live)
        self._evaluations += 1
        spent = time.perf_counter() - started
        self._rows.pause(spent)
        self.spent["evaluation"] += spent
        for run, found in results.items():
            if isinstance(found, EnvironmentFailure):
                self._end_failure(run, found)
            else:
                self._emit(run, self._rows.row(run, "eval", point, self._updates, found.values(), found))
        self._mark = time.perf_counter()

    def finish(self) -> None:
        """Ends the runs that came through."""
        for run in list(self.live):
            self._end(run, "ok", policy=self.agents.weights(run))

    def fail_all(self, error: Exception) -> None:
        """Ends every run that is left with an error that is not one run's own."""
        for run in list(self.live):
            self._end(run, outcome_of(error), reason_of(error), evidence=evidence_of(error))

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

    def _note_nonfinite(self, means: Mapping[str, NDArray[np.float64]]) -> None:
        """Remembers the runs whose measurements, (R,) by tag, are not finite."""
        for tag, where in _WATCHED.items():
            if tag in means and not np.isfinite(means[tag]).all():
                self._bad[where] = self._bad.get(where, False) | ~np.isfinite(means[tag])

    def _look_for_nonfinite(self) -> None:
        """Ends the runs whose measurements since the last look, or whose parameters, are not finite."""
        self._note_nonfinite(self.agents.sums.peek(_WATCHED))
        for where, which in self._bad.items():
            self._end_diverged(which, where)
        self._bad = {}
        self._end_diverged(~self.agents.finite(), "parameters")

    def _act_greedily(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        return self.agents.act_greedily(torch.from_numpy(observations).to(self._device))

    def _end_failed(self) -> None:
        """Ends the runs with an environment that failed."""
        for index, failure in self._envs.failures.items():
            if index // self._shape[1] in self.live:
                self._end_failure(index // self._shape[1], failure)

    def _end_failure(self, run: int, failure: EnvironmentFailure) -> None:
        """Ends a run whose environment failed; after its weights went bad that is a divergence."""
        where = None
        if not self.agents.finite()[run]:
            where = "parameters"
        elif failure.nonfinite:
            where = failure.where
        diverged = where == "parameters"
        self._end(
            run,
            "diverged" if diverged else "env_error",
            _not_finite(where, self._taken) if diverged else reason_of(failure),
            where=where,
            evidence=evidence_of(failure),
        )

    def _end_diverged(self, which: NDArray[np.bool_], where: str) -> None:
        """Ends the given runs, (R,) bool, as diverged."""
        for run in [run for run in self.live if which[run]]:
            self._end(run, "diverged", _not_finite(where, self._taken), where=where)

    def _end(self, run: int, outcome: str, reason: str = "", *, where: str | None = None, **known: Any) -> None:
        nonfinite = None if where is None else {"timesteps": self._taken, "where": where}
        self.live.remove(run)
        self._emit(run, self._rows.ending(run, outcome, reason, self._taken, self._updates, nonfinite, **known))

    def _lap(self, activity: str) -> None:
        now = time.perf_counter()
        self.spent[activity] += now - self._mark
        self._mark = now


_WATCHED = {
    "update/q_mean": "q",
    "update/loss": "loss",
    "update/critic_loss": "loss",
    "update/actor_loss": "loss",
    "update/ent_coef_loss": "loss",
}
"""Tag -> what is said not to be finite where its mean is not."""


def _resets_exactly(config: RunConfig) -> bool:
    """Tells whether a reset restores the environment; one that fails here will fail in its own run, with evidence."""
    try:
        return resets_exactly(config)
    except EnvironmentFailure:
        return False


def _not_finite(where: str | None, timesteps: int) -> str:
    return f"{where} not finite at env step {timesteps}"
