"""Calibration: how measured time is divided, that a real run is measured, and that it waits for nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rlbatch.config import RunConfig
from rlbatch.errors import InputError
from rlbatch.training import bench_sides, calibration
from rlbatch.training.bench_sides import Stretch
from rlbatch.training.calibration import block_of, measure_cost
from rlbatch.training.stack_evaluation import StackEvaluator

SMALL: dict[str, Any] = {"batch_size": 16, "net_arch": (8,), "total_timesteps": 100_000, "n_eval_episodes": 10}


def dqn(env_id: str = "CartPole-v1", **values: Any) -> RunConfig:
    return RunConfig.build(env_id=env_id, algo="dqn", **{**SMALL, **values})


def sac(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="Pendulum-v1", algo="sac", **{**SMALL, **values})


def test_what_is_not_an_update_is_an_env_step() -> None:
    block = block_of(Stretch(100, 50, 2.0, {"update": 9.9}, cpu=2.0, update_cpu=0.5))
    assert block == pytest.approx(((2.0 - 0.5) / 100, 0.5 / 50))


def test_time_for_which_others_had_the_core_is_not_counted() -> None:
    block = block_of(Stretch(100, 50, 6.0, {"update": 4.5}, cpu=2.0, update_cpu=0.5, queued=4.0))
    assert block == pytest.approx(((2.0 - 0.5) / 100, 0.5 / 50))


def test_time_for_which_the_environment_waits_is_its_own() -> None:
    block = block_of(Stretch(100, 50, 6.0, {"update": 0.5}, cpu=2.0, update_cpu=0.5, queued=1.0))
    assert block == pytest.approx(((5.0 - 0.5) / 100, 0.5 / 50))


def test_waiting_that_is_told_late_does_not_make_less_than_the_processor_time() -> None:
    block = block_of(Stretch(100, 50, 2.0, {"update": 0.5}, cpu=1.5, update_cpu=0.5, queued=1.9))
    assert block == pytest.approx(((1.5 - 0.5) / 100, 0.5 / 50))


def test_on_a_gpu_the_share_comes_from_the_stretch_that_waits() -> None:
    waiting = Stretch(10, 5, 8.0, {"update": 6.0}, cpu=8.0, update_cpu=0.1)
    block = block_of(Stretch(100, 50, 2.0, {"update": 0.1}, cpu=2.0, update_cpu=0.1), waiting)
    assert block == pytest.approx((2.0 * 0.25 / 100, 2.0 * 0.75 / 50))


BURSTS = dqn(train_freq=4, gradient_steps=3, n_envs=2)


@pytest.mark.parametrize("config", [dqn(), sac(), BURSTS], ids=["dqn", "sac", "bursts"])
def test_both_costs_of_a_run_are_measured(config: RunConfig) -> None:
    told = measure_cost(config, "cpu", 0.1)
    for name in ("t_env", "t_update"):
        low, high = told[f"{name}_range"]
        assert 0 < low <= told[name] <= high < 1
    assert 1 <= told["blocks"] <= 5
    assert math.isclose(told["updates"] / told["env_steps"], config.gradient_steps / config.train_freq / config.n_envs)
    assert 0 <= told["queued_share"] < 1


def test_the_median_of_the_blocks_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Told:
        def __init__(self, *_: Any) -> None:
            self.cpu = iter([9.0, 1.0, 7.0, 2.0, 3.0, 4.0])  # the first stretch only warms up

        def warm_up(self, **asked: Any) -> None:
            assert asked == {"steps": 1, "evaluates": False}

        def train(self, seconds: float) -> Stretch:
            cpu = next(self.cpu)
            return Stretch(10, 5, 2 * cpu, cpu=cpu, update_cpu=cpu / 2, queued=cpu)

        def close(self) -> None:
            pass

    monkeypatch.setattr(calibration, "Stacked", Told)
    told = measure_cost(dqn(), "cpu", 60.0)
    assert (told["t_env"], told["t_env_range"]) == (0.15, [0.05, 0.35])
    assert (told["t_update"], told["t_update_range"]) == (0.3, [0.1, 0.7])
    counts = {name: told[name] for name in ("blocks", "env_steps", "updates", "queued_share")}
    assert counts == {"blocks": 5, "env_steps": 50, "updates": 25, "queued_share": 0.5}


def test_nothing_is_evaluated_and_little_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StackEvaluator, "__call__", lambda *_: pytest.fail("was evaluated"))
    made: list[RunConfig] = []
    init = bench_sides.Stacked.__init__

    def note(self: Any, runs: Any, *rest: Any) -> None:
        made.extend(runs)
        init(self, runs, *rest)

    monkeypatch.setattr(bench_sides.Stacked, "__init__", note)
    measure_cost(dqn(learning_starts=50_000, buffer_size=10**6, learning_rate=5.0, seed=7), "cpu", 0.01)
    (short,) = made
    assert (short.learning_starts, short.buffer_size, short.learning_rate, short.seed) == (500, 10_000, 1e-4, 0)
    assert short.exploration_initial_eps == short.exploration_final_eps


def test_a_run_whose_environment_fails_has_no_cost() -> None:
    with pytest.raises(InputError, match=r"ended while it was measured: env_error"):
        measure_cost(dqn("Probe/Broken-v0", env_kwargs={"at": 130}), "cpu", 0.1)
