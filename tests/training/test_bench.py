"""bench: the arithmetic of an update, what is made of measured seconds, and that both sides really train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import probes  # noqa: F401 - registers the environments
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rlbatch.config import RunConfig
from rlbatch.errors import InputError
from rlbatch.rows import Row
from rlbatch.training import bench, bench_sides
from rlbatch.training.bench_sides import Reference, Stacked, Stretch
from rlbatch.training.flop import dqn_flop, flop_per_update, peak_flops, sac_flop
from rlbatch.training.replay_draws import ReplayDraws

SMALL: dict[str, Any] = {"learning_starts": 64, "batch_size": 16, "net_arch": (8,), "n_eval_episodes": 2, "n_envs": 1}
SMALL |= {"train_freq": 1, "gradient_steps": 1, "buffer_size": 1000, "total_timesteps": 5000}


def dqn(env_id: str = "CartPole-v1", **values: Any) -> RunConfig:
    return RunConfig.build(env_id=env_id, algo="dqn", exploration_initial_eps=0.05, **{**SMALL, **values})


def sac(env_id: str = "Pendulum-v1", **values: Any) -> RunConfig:
    return RunConfig.build(env_id=env_id, algo="sac", **{**SMALL, **values})


class Records:
    """Keeps the rows that a stack writes: (run, kind)."""

    def __init__(self) -> None:
        self.stacks: list[list[tuple[int, str]]] = []
        self.closed = 0

    @contextmanager
    def __call__(self, configs: Sequence[RunConfig]) -> Iterator[Any]:
        rows: list[tuple[int, str]] = []
        self.stacks.append(rows)
        yield lambda run, row: rows.append((run, row.kind))
        self.closed += 1


def measure(config: RunConfig, *widths: int, **values: Any) -> tuple[list[bench.Case], Records]:
    records = Records()
    plan = {"configs": [config], "widths": widths, "devices": ["cpu"], "seconds": 0.04, "repeats": 2} | values
    return list(bench.measure(bench.Plan(**plan), records)), records


@pytest.fixture(autouse=True)
def _known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one takes a second."""
    monkeypatch.setattr(bench, "peak_flops", lambda device: 2e9)


def test_flop_of_a_dqn_by_hand() -> None:
    # 2·3 and 3·1: forward 9 + 9, weights 9, the input of the second layer 3; times 2 · B
    assert dqn_flop((2, 3, 1), 1) == 2 * 30
    assert dqn_flop((2, 3, 1), 16) == 32 * 30
    assert dqn_flop((4, 64, 64, 2), 256) == 9_043_968


def test_flop_of_a_sac_by_hand() -> None:
    # actor 2·3, 3·2: forward 12 + 12, weights 12, input of the second layer 6; critic 3·3, 3·1: target 12, forward 12,
    # weights 12, input of the second 3, forward 12, both inputs 12: 63, twice
    assert sac_flop((2, 3, 2), (3, 3, 1), 1) == 2 * (42 + 126)
    assert sac_flop((2, 3, 2), (3, 3, 1), 32) == 64 * 168


@pytest.mark.parametrize("config", [dqn(net_arch=(16, 32)), sac(net_arch=(16, 32)), dqn(net_arch=())])
def test_the_engine_multiplies_the_matrices_that_are_counted(config: RunConfig) -> None:
    with closing(Stacked([config], lambda run, row: None, "cpu", 0, ())) as stacked, torch.inference_mode():
        stack, draws = stacked._stack, ReplayDraws([config])
        with FlopCounterMode(display=False) as counter:
            stack.agents.update(stack._replay, draws.at(0).rows, 0, 0.0)
    assert counter.get_total_flops() == flop_per_update(config)


def test_the_peak_is_positive() -> None:
    assert peak_flops("cpu", seconds=0.0) > 0


@pytest.mark.parametrize("config", [dqn(), sac()], ids=["dqn", "sac"])
def test_both_sides_train_and_every_number_is_there(config: RunConfig) -> None:
    cases, records = measure(config, 1, 2)
    assert [(case.device, case.batch_size, case.width) for case in cases] == [("cpu", 16, 1), ("cpu", 16, 2)]
    for case, rows in zip(cases, records.stacks, strict=True):
        assert case.updates == case.env_steps > 0
        assert case.sb3_updates == case.sb3_env_steps > 0
        assert case.env_steps % case.width == 0
        assert case.times_sb3_range[0] <= case.times_sb3 <= case.times_sb3_range[1]
        low, high = case.times_sb3_with_evaluation_range
        assert low <= case.times_sb3_with_evaluation <= high
        assert set(case.microseconds) == {"act", "environment", "store", "update", "logging", "evaluation"}
        numbers = [v for v in asdict(case).values() if isinstance(v, int | float)]
        assert all(np.isfinite(v) and v > 0 for v in [*numbers, *case.microseconds.values()])
        for run in range(case.width):  # the evaluation before training and one at the end; a row for each repeat
            assert rows.count((run, "eval")) >= 2
            assert rows.count((run, "train")) == 2
    assert records.closed == 2


def test_stretches_hold_whole_phases_of_training() -> None:
    (case,), _ = measure(dqn(n_envs=2, train_freq=4, gradient_steps=3), 2)
    assert case.updates / case.env_steps == case.sb3_updates / case.sb3_env_steps == 3 / 8
    assert case.updates_per_s == pytest.approx(case.env_steps_per_s * 3 / 8, rel=1e-3)


def test_stable_baselines_learns_and_warms_up_outside_the_stretches() -> None:
    with closing(Reference(dqn(), "cpu")) as reference:
        assert (reference._model.num_timesteps, reference._model._n_updates) == (65 + 50, 51)
        before = [p.clone() for p in reference._model.policy.parameters()]
        stretch = reference.train(0.02)
        assert any(not torch.equal(a, b) for a, b in zip(before, reference._model.policy.parameters(), strict=True))
        assert reference._model._n_updates == 51 + stretch.updates
        assert type(reference._model.env.envs[0].unwrapped).__name__ == "CartPoleEnv"
        names = str(reference._model.env.envs[0])
    assert "Guarded" not in names
    assert "PassiveEnvChecker" not in names


def test_the_stack_learns_and_explores_as_it_is_told() -> None:
    with closing(Stacked([dqn(), dqn(seed=1)], lambda run, row: None, "cpu", 0, ())) as stacked:
        stacked.warm_up()
        before = stacked._stack.agents.weights(1)
        stretch = stacked.train(0.02)
        after = stacked._stack.agents.weights(1)
        assert stacked._stack.agents.exploration_rates(stacked._step) == pytest.approx(0.05)
    assert stretch.updates == stretch.env_steps > 0
    assert any((before[name] != after[name]).any() for name in before)
    assert sum(stretch.spent.values()) <= stretch.seconds


def test_a_stack_on_a_gpu_waits_after_each_activity_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Stacked([dqn()], lambda run, row: None, "cpu", 0, ())) as stacked:
        stacked.warm_up()
        clock, waits = bench_sides.now, []
        monkeypatch.setattr(bench_sides, "now", lambda device: waits.append(device) or clock(device))
        stacked.train(0.0)
        plain = len(waits)
        stacked.train(0.0, waits=True)
        assert (plain, len(waits) - plain) == (2, 2 + 5)
        stacked.train(0.0)
        assert len(waits) == 3 * 2 + 5


def faked(monkeypatch: pytest.MonkeyPatch, **stack: Any) -> None:
    """Replaces both sides by what takes known seconds: 2 ms and 1 ms per env step, evaluation 4 ms and 0.5 ms."""
    theirs = iter([Stretch(100, 100, 0.2), Stretch(100, 100, 0.3), Stretch(100, 100, 0.1)])
    names = ("act", "environment", "store", "update", "logging")
    ours = Stretch(200, 200, 0.2, dict(zip(names, (0.01, 0.02, 0.03, 0.1, 0.04), strict=True)))
    slow = Stretch(100, 100, 0.2, dict(zip(names, (0.02, 0.02, 0.02, 0.05, 0.09), strict=True)))
    known: dict[str, Any] = {
        "warm_up": lambda: None,
        "train": lambda seconds, waits=False: slow if waits else ours,
        "write_rows": lambda: 0.5,
        "evaluate": lambda seconds: Stretch(1000, 0, 0.5),
        "eval_episodes": 10,
        "close": lambda: None,
    }
    reference: dict[str, Any] = {
        "train": lambda seconds: next(theirs),
        "evaluate": lambda seconds: Stretch(500, 0, 2.0),
        "close": lambda: None,
    }
    monkeypatch.setattr(bench, "Stacked", lambda *_: SimpleNamespace(**known | stack))
    monkeypatch.setattr(bench, "Reference", lambda _, device: SimpleNamespace(**reference, device=device))


def test_rows_and_evaluations_cost_what_their_rates_say(monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch)
    config = dqn(total_timesteps=10_000, log_points=10, n_evaluations=4, n_eval_episodes=2)
    (case,), _ = measure(config, 2, repeats=3)
    # a row of both runs takes 0.5 s and comes every 1000 env steps of a run: 0.25 ms per env step on top of 1 ms
    assert case.env_steps_per_s == pytest.approx(1 / 1.25e-3)
    assert case.sb3_env_steps_per_s == pytest.approx(1 / 2e-3)
    assert (case.times_sb3, case.times_sb3_range) == (1.6, (0.8, 2.4))
    # episodes of at most 500 env steps, 5 evaluations of 2: 0.5 env steps of evaluation per env step
    assert (case.eval_length, case.eval_steps_per_env_step) == (500, 0.5)
    assert case.times_sb3_with_evaluation == pytest.approx((2 + 2) / (1.25 + 0.25), rel=1e-3)
    assert case.microseconds["logging"] == pytest.approx(200 + 250)
    assert case.microseconds["update"] == pytest.approx(500)
    assert case.microseconds["evaluation"] == pytest.approx(500)
    assert case.peak_share == pytest.approx(flop_per_update(config) * 600 / 0.3 / 2e9, rel=1e-3)
    assert (case.env_steps, case.updates, case.sb3_env_steps, case.sb3_updates) == (600, 600, 300, 300)


def test_without_a_step_limit_the_episodes_of_the_evaluation_count(monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch)
    monkeypatch.setattr(bench, "_limit", lambda config: None)
    (case,), _ = measure(dqn(total_timesteps=10_000, n_evaluations=4, n_eval_episodes=2), 2, repeats=3)
    assert (case.eval_length, case.eval_steps_per_env_step) == (100, 0.1)


def test_on_a_gpu_activities_come_from_the_stretch_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch)
    config = dqn()
    (case,), _ = measure(config, 2, repeats=3, devices=["cuda:0"])
    assert case.device == "cuda:0"
    assert case.microseconds["update"] == pytest.approx(500)
    assert case.microseconds["act"] == pytest.approx(200)
    assert case.peak_share == pytest.approx(flop_per_update(config) * 100 / 0.05 / 2e9, rel=1e-3)
    assert case.env_steps == 600


def test_what_is_too_wide_for_the_memory_is_told_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def full() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise torch.cuda.OutOfMemoryError

    faked(monkeypatch, warm_up=full)
    found, _ = measure(dqn(), 2, 1)
    assert [type(one) for one in found] == [bench.TooWide, bench.Case]
    assert asdict(found[0]) == {"device": "cpu", "batch_size": 16, "width": 2}


def test_an_error_of_another_kind_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> None:
        raise RuntimeError("a bug")

    faked(monkeypatch, warm_up=wrong)
    with pytest.raises(RuntimeError, match="a bug"):
        measure(dqn(), 2)


def test_an_environment_that_breaks_is_bad_input() -> None:
    config = dqn("Probe/Broken-v0", env_kwargs={"at": 116})  # the first step after warming up: it is always taken
    with (
        pytest.raises(InputError, match=r"Probe/Broken-v0: a run of it ended while it was measured: env_error") as told,
        closing(Stacked([config], lambda run, row: None, "cpu", 0, ())) as stacked,
    ):
        stacked.warm_up()
        stacked.train(0.1)
    assert "told to fail" in told.value.what


def test_episodes_of_stable_baselines_end_where_the_environment_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_sides, "EPISODE_CAP", 30)
    with closing(Reference(dqn("Probe/Endless-v0"), "cpu")) as reference:
        assert reference.evaluate(0.0).env_steps == 2 * 30


def test_what_the_stack_writes_are_rows() -> None:
    rows: list[Row] = []
    with closing(Stacked([dqn()], lambda run, row: rows.append(row), "cpu", 0, ())) as stacked:
        stacked.warm_up()
        stacked.write_rows()
        played = stacked.evaluate(0.0)
    assert [row.kind for row in rows] == ["eval", "train", "eval"]
    assert rows[1].values["update/loss"] is not None
    assert (rows[1].timesteps, rows[1].updates) == (115, 51)
    assert (played.env_steps, stacked.eval_episodes) == (sum(rows[2].lengths), 2)
