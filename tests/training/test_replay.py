"""The replay: what is stored is what can be drawn, equally likely, and batches say what SB3's would."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from rlbatch.config import RunConfig
from rlbatch.training.clock import Clock
from rlbatch.training.frame_replay import LARGE_OBSERVATION, FrameReplay, make_replay
from rlbatch.training.replay import Batch, StackedReplay
from rlbatch.training.replay_draws import ReplayDraws
from rlbatch.training.stack import Stack

GAMMAS = [0.9, 0.5]


def config(**values: Any) -> RunConfig:
    known = {"total_timesteps": 400, "learning_starts": 0, "batch_size": 64, "train_freq": 1, "gradient_steps": 40}
    return RunConfig.build(env_id="Probe/Probe-v0", algo="dqn", **{**known, **values})


both_kinds = pytest.mark.parametrize("kind", [StackedReplay, FrameReplay])


class Recorded:
    """Random episodes of R runs in E environments, put into a replay and remembered step by step.

    An observation is (number of its vector step, run and environment); the last one of an episode that ended is half a
    step later than the one before it.
    """

    def __init__(
        self, kind: type[StackedReplay], steps: int, n_envs: int, positions: int, n_steps: int = 1, often: float = 0.15
    ) -> None:
        rng = np.random.default_rng(steps)
        shape = (len(GAMMAS), n_envs)
        self.replay = kind(len(GAMMAS), n_envs, positions, 2, 1, GAMMAS, n_steps=n_steps, dtype=torch.float64)
        self.steps, self.n_envs, self.positions, self.n_steps = steps, n_envs, positions, n_steps
        self.rewards = rng.normal(size=(steps, *shape))
        self.terminated = rng.random((steps, *shape)) < often
        self.over = self.terminated | (rng.random((steps, *shape)) < often)
        where = 10.0 * np.arange(len(GAMMAS))[:, None] + np.arange(n_envs)
        for step in range(steps):
            obs = np.stack((np.full(shape, float(step)), where), axis=2)
            nexts = np.stack((np.where(self.over[step], step + 0.5, step + 1.0), where), axis=2)
            actions = np.full((*shape, 1), step % 7)
            self.replay.add(obs, actions, self.rewards[step], nexts, self.terminated[step], self.over[step])

    def leads_to(self, run: int, env: int, step: int) -> float:
        """The step of the observation after a transition."""
        return step + (0.5 if self.over[step, run, env] else 1.0)

    def all_of(self, run: int) -> Batch:
        """Every stored transition of one run, as a batch (1, slots, ...)."""
        slots = self.positions * self.n_envs
        stored = min(self.steps, self.positions) * self.n_envs
        return self.replay.batch(run * slots + torch.arange(stored)[None], slice(run, run + 1))

    def chain(self, run: int, env: int, step: int) -> tuple[float, float, float]:
        """Slowly: the n-step return from a step, the last observation's step, and the discount of its value."""
        total, gamma, last = 0.0, GAMMAS[run], step
        for k in range(self.n_steps):
            last = step + k
            total += gamma**k * self.rewards[last, run, env]
            if self.over[last, run, env] or last == self.steps - 1:
                break
        ended = self.terminated[last, run, env]
        return total, self.leads_to(run, env, last), 0.0 if ended else gamma ** (last - step + 1)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("at", ["first", "before", "full", "after", "long after"])
def test_exactly_what_is_stored_is_drawn(n_envs: int, at: str) -> None:
    shared = {"n_envs": n_envs, "buffer_size": 20 * n_envs, "total_timesteps": 150 * n_envs}
    configs = [config(seed=seed, **shared) for seed in (0, 9)]
    clock, draws = Clock(configs[0]), ReplayDraws(configs)
    step = {"first": 1, "before": 12, "full": 20, "after": 27, "long after": 143}[at]
    drawn = torch.cat([draws.at((step - 1) * 40 + update).rows for update in range(40)], dim=1)
    stored = {step_ % 20 for step_ in range(max(step - 20, 0), step)}
    slots = {position * n_envs + env for position in stored for env in range(n_envs)}
    for run in range(2):
        assert {int(row) - run * 20 * n_envs for row in drawn[run]} == slots
    assert [clock.step_of_update((step - 1) * 40 + update) for update in (0, 39)] == [step, step]


@both_kinds
@pytest.mark.parametrize("often", [0.0, 0.15, 1.0])
@pytest.mark.parametrize(("n_envs", "positions"), [(1, 16), (3, 7), (2, 1)])
def test_every_place_holds_the_transition_that_was_last_put_there(
    kind: type[StackedReplay], often: float, n_envs: int, positions: int
) -> None:
    for steps in (1, max(positions - 1, 1), positions, positions + 1, positions + 2, 9 * positions + 3):
        recorded = Recorded(kind, steps, n_envs, positions, often=often)
        kept = range(max(steps - positions, 0), steps)
        for run in range(len(GAMMAS)):
            batch = recorded.all_of(run)
            obs = batch.observations[0].tolist()
            assert sorted(obs) == sorted([float(s), 10.0 * run + e] for s in kept for e in range(n_envs))
            nexts = [[recorded.leads_to(run, int(where) % 10, int(s)), where] for s, where in obs]
            assert batch.next_observations[0].tolist() == nexts
            assert batch.actions[0, :, 0].tolist() == [s % 7 for s, _ in obs]
            envs = [int(where) % 10 for _, where in obs]
            rewards = [recorded.rewards[int(s), run, e] for (s, _), e in zip(obs, envs, strict=True)]
            assert batch.rewards[0].tolist() == rewards


@both_kinds
def test_only_termination_ends_the_value_and_truncation_keeps_it(kind: type[StackedReplay]) -> None:
    recorded = Recorded(kind, 60, 3, 60)
    truncated = recorded.over & ~recorded.terminated
    assert truncated.any()
    assert recorded.terminated.any()
    for run, gamma in enumerate(GAMMAS):
        discounts = recorded.all_of(run).discounts.view(60, 3).numpy()
        assert np.array_equal(discounts, np.where(recorded.terminated[:, run], 0.0, gamma))
        assert (discounts[truncated[:, run]] == gamma).all()


@both_kinds
@pytest.mark.parametrize("n_steps", [2, 3, 10])
@pytest.mark.parametrize(("n_envs", "steps"), [(1, 11), (1, 77), (3, 20), (3, 53)])
def test_n_step_returns_follow_the_episode_and_no_further(
    kind: type[StackedReplay], n_steps: int, n_envs: int, steps: int
) -> None:
    recorded = Recorded(kind, steps, n_envs, 20, n_steps)
    for run in range(len(GAMMAS)):
        batch = recorded.all_of(run)
        for i, (step, where) in enumerate(batch.observations[0].tolist()):
            env = int(where) % 10
            total, last, discount = recorded.chain(run, env, int(step))
            assert batch.rewards[0, i].item() == pytest.approx(total, abs=1e-12)
            assert batch.next_observations[0, i].tolist() == [last, where]
            assert batch.discounts[0, i].item() == pytest.approx(discount, abs=1e-12)
            assert batch.actions[0, i, 0].item() == step % 7


@pytest.mark.parametrize(
    ("values", "transitions"),
    [
        ({"buffer_size": 100}, 100),
        ({"buffer_size": 10_000}, 400),
        ({"buffer_size": 100, "n_envs": 3}, 99),
        ({"buffer_size": 10_000, "n_envs": 3}, 402),
    ],
)
def test_memory_is_what_the_run_can_fill(values: dict[str, Any], transitions: int) -> None:
    one = config(**values)
    stack = Stack([one, one], lambda run, report: None)
    stack.close()
    assert Clock(one).positions * one.n_envs == transitions
    assert stack._replay._rows.shape == (2 * transitions, 1 + 1 + 1 + 2)


def test_large_observations_are_stored_once() -> None:
    assert make_replay(LARGE_OBSERVATION - 1) is StackedReplay
    assert make_replay(LARGE_OBSERVATION) is FrameReplay

    def memory(kind: type[StackedReplay]) -> int:
        tensors = [value for value in vars(kind(2, 3, 50, 100, 1, GAMMAS)).values() if isinstance(value, torch.Tensor)]
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
        return sum(storages.values())

    assert memory(FrameReplay) < 0.6 * memory(StackedReplay)


@pytest.mark.parametrize("n_envs", [1, 3])
def test_draws_are_uniform(n_envs: int) -> None:
    shared = {"n_envs": n_envs, "buffer_size": 50 * n_envs, "total_timesteps": 100 * n_envs, "gradient_steps": 100}
    draws = ReplayDraws([config(seed=seed, **shared) for seed in (0, 4)])
    drawn = torch.cat([draws.at(80 * 100 + update).rows for update in range(100)], dim=1).numpy()
    for run in range(2):
        counts = np.bincount(drawn[run] - run * 50 * n_envs, minlength=50 * n_envs)
        assert stats.chisquare(counts).pvalue > 1e-5
        assert abs(np.corrcoef(drawn[run, :-1], drawn[run, 1:])[0, 1]) < 5 / np.sqrt(drawn.shape[1])
    assert abs(np.corrcoef(drawn)[0, 1]) < 5 / np.sqrt(drawn.shape[1])


@pytest.mark.parametrize("n_envs", [1, 3])
def test_ages_and_distinct_transitions_are_those_of_the_drawn_rows(n_envs: int) -> None:
    shared = {"n_envs": n_envs, "buffer_size": 30 * n_envs, "total_timesteps": 90 * n_envs, "gradient_steps": 2}
    configs = [config(batch_size=size, train_freq=2, **shared) for size in (20, 33)]
    clock, draws = Clock(configs[0]), ReplayDraws(configs)
    ring: deque[int] = deque(maxlen=30)
    update = 0
    for step in range(1, clock.vector_steps + 1):
        ring.append(step)
        place = {taken % 30: taken for taken in ((s - 1) for s in ring)}
        for _ in range(clock.updates_after(step)):
            drawn = draws.at(update)
            for run, size in enumerate((20, 33)):
                slots = [int(row) - run * 30 * n_envs for row in drawn.rows[run, :size]]
                ages = [(step - 1 - place[slot // n_envs]) * n_envs for slot in slots]
                assert drawn.age[run] == pytest.approx(np.mean(ages), abs=1e-9)
                assert drawn.unique_fraction[run] == len(set(slots)) / size
            update += 1
    assert update == 90


def test_rows_that_pad_a_batch_are_the_runs_own() -> None:
    configs = [config(batch_size=size, buffer_size=25, seed=seed) for seed, size in enumerate((5, 24, 11))]
    draws = ReplayDraws(configs)
    for update in range(200):
        rows = draws.at(update).rows
        assert rows.shape == (3, 32)
        assert (rows // 25 == torch.arange(3)[:, None]).all()


@pytest.mark.parametrize("update", [0, 399, 401, 4000, 9999])
def test_a_run_draws_the_same_transitions_alone_and_in_any_stack(update: int) -> None:
    configs = [config(seed=seed, batch_size=24) for seed in range(5)]
    together = ReplayDraws(configs).at(update)
    slots = Clock(configs[0]).positions
    for run in range(5):
        alone = ReplayDraws([configs[run]]).at(update)
        assert torch.equal(alone.rows[0], together.rows[run] - run * slots)
        assert alone.age[0] == together.age[run]
        assert alone.unique_fraction[0] == together.unique_fraction[run]
    assert update == 0 or not torch.equal(together.rows[0], together.rows[1] - slots)


def test_no_two_purposes_share_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    from rlbatch.training import dqn, episodes, layout, replay_draws, sac, stack_evaluation

    asked: list[tuple[int, str]] = []

    def noted(module: Any, name: str, first: int) -> None:
        real = getattr(module, name)

        def note(*args: Any, **kwargs: Any) -> Any:
            key = args[first]
            asked.append((key[0] if isinstance(key, list) else key, args[first + 1]))
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, note)

    for module in (dqn, sac, replay_draws):
        noted(module, "Stream", 0)
    noted(layout, "stream_key", 0)
    noted(episodes, "episode_seed", 0)
    noted(stack_evaluation, "episode_seed", 0)
    for env_id, algo in (("CartPole-v1", "dqn"), ("Pendulum-v1", "sac")):
        asked.clear()
        values = {"total_timesteps": 30, "n_eval_episodes": 1, "batch_size": 8, "seed": 3}
        stack = Stack([RunConfig.build(env_id=env_id, algo=algo, **values)], lambda run, report: None)
        with torch.inference_mode():
            stack.begin()
        stack.close()
        purposes = [purpose for seed, purpose in asked if seed == 3]
        drawn = [p for p in purposes if p not in ("episode", "evaluation")]  # those are asked for number by number
        assert {"weights", "replay", "random action"} < set(drawn)
        assert {"episode", "evaluation"} < set(purposes)
        assert len(drawn) == len(set(drawn))


@pytest.mark.parametrize(("env_id", "algo"), [("CartPole-v1", "dqn"), ("Pendulum-v1", "sac")])
def test_the_batch_size_changes_no_exploration(env_id: str, algo: str) -> None:
    def actions(batch_size: int, updates: int) -> list[np.ndarray]:
        values = {"batch_size": batch_size, "learning_starts": 20, "exploration_fraction": 1.0} if algo == "dqn" else {}
        one = RunConfig.build(env_id=env_id, algo=algo, total_timesteps=300, **{"batch_size": batch_size, **values})
        stack = Stack([one], lambda run, report: None)
        stack.close()
        with torch.inference_mode():
            for update in range(updates):
                stack._draws.at(update)
            seen = torch.zeros(1, 16, 4 if algo == "dqn" else 3)
            return [stack.agents.act(seen, step).taken.copy() for step in range(1, 250)]

    small, large = actions(8, 0), actions(200, 50)
    assert all(np.array_equal(a, b) for a, b in zip(small, large, strict=True))
    assert len({a.tobytes() for a in small}) > 1
