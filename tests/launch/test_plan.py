"""Plans: every run in one stack, nothing static mixed, stacks as even as they can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbatch.config import SETTINGS, RunConfig
from rlbatch.launch.cost import makespan, stack_seconds
from rlbatch.launch.estimate import replay_bytes
from rlbatch.launch.plan import MAX_WIDTH, plan_stacks

STACKABLE = {
    *("seed", "batch_size", "gamma", "tau", "target_update_interval", "max_grad_norm", "target_entropy"),
    *("learning_rate", "lr_schedule", "lr_warmup", "adam_beta1", "adam_beta2", "adam_eps"),
    *("exploration_fraction", "exploration_initial_eps", "exploration_final_eps"),
}
LABELS = {"match", "lr_rule", "lr_reference_batch", "replay_ratio", "preset"}
OTHER_VALUES: dict[str, Any] = {
    "env_kwargs": {"gravity": 1.0},
    "lr_schedule": "linear",
    "ent_coef": 0.1,
    "target_entropy": -2.0,
    "net_arch": (7,),
    "activation_fn": "tanh",
    "match": "samples",
    "lr_rule": "sqrt",
    "replay_ratio": 2.0,
    "preset": "zoo",
    "env_id": "Other-v0",
    "env_backend": "other",
    "precision": "other",
    "use_sde": True,
    "layer_norm": True,
}


def dqn(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="CartPole-v1", algo="dqn", **values)


def seeds(count: int, **values: Any) -> list[RunConfig]:
    return [dqn(seed=seed, **values) for seed in range(count)]


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
@pytest.mark.parametrize("name", sorted(set(SETTINGS) - {"algo", "engine"}))
def test_runs_that_differ_in_a_setting_share_a_stack_if_a_stack_can_hold_both(name: str, device: str) -> None:
    algo = SETTINGS[name].algo or "dqn"
    run = RunConfig.build(env_id="X-v0", algo=algo)
    other = replace(run, **{name: OTHER_VALUES[name] if name in OTHER_VALUES else getattr(run, name) + 1})
    together = name in STACKABLE | LABELS and (name != "batch_size" or device.startswith("cuda"))
    assert plan_stacks([run, other], device=device) == ([[0, 1]] if together else [[0], [1]])


def test_algorithms_and_engines_are_never_mixed_and_sb3_runs_stand_alone() -> None:
    sac = RunConfig.build(env_id="CartPole-v1", algo="sac", batch_size=32)
    by_sb3 = dqn(engine="sb3")
    assert plan_stacks([dqn(), sac, by_sb3, by_sb3, dqn(seed=1)]) == [[0, 4], [1], [2], [3]]


def test_every_setting_that_a_stack_can_hold_says_so() -> None:
    assert {name for name, setting in SETTINGS.items() if setting.stackable} == STACKABLE
    assert {name for name, setting in SETTINGS.items() if setting.role == "label"} == LABELS


@pytest.mark.parametrize(
    ("runs", "width", "sizes"),
    [
        (1, None, [1]),
        (32, None, [32]),
        (33, None, [16, 17]),
        (40, None, [20, 20]),
        (100, None, [25, 25, 25, 25]),
        (7, 3, [2, 2, 3]),
        (5, 1, [1, 1, 1, 1, 1]),
        (40, 64, [40]),
        (0, None, []),
    ],
)
def test_a_group_is_split_evenly_into_as_few_stacks_as_possible(runs: int, width: int | None, sizes: list[int]) -> None:
    stacks = plan_stacks(seeds(runs), width=width)
    assert sorted(map(len, stacks)) == sizes
    assert [index for stack in stacks for index in stack] == list(range(runs))


def test_a_stack_fills_half_of_the_memory_at_most_and_holds_one_run_at_least() -> None:
    runs = seeds(12, total_timesteps=1000)
    one = replay_bytes(runs[0])
    assert [len(stack) for stack in plan_stacks(runs, memory=2 * 5 * one)] == [4, 4, 4]
    assert [len(stack) for stack in plan_stacks(runs, memory=2 * 5 * one - 1)] == [4, 4, 4]
    assert [len(stack) for stack in plan_stacks(runs, memory=2 * 4 * one - 1)] == [3, 3, 3, 3]
    assert [len(stack) for stack in plan_stacks(runs, memory=0)] == [1] * 12
    assert plan_stacks(runs, memory=10**12) == [list(range(12))]
    assert [len(stack) for stack in plan_stacks(runs, memory=10**12, width=6)] == [6, 6]


def test_stacks_come_in_the_order_of_their_first_runs() -> None:
    batches = [64, 32, 64, 128, 32, 64]
    runs = [dqn(seed=seed, batch_size=batch) for seed, batch in enumerate(batches)]
    assert plan_stacks(runs) == [[0, 2, 5], [1, 4], [3]]
    assert plan_stacks(runs, width=2) == [[0], [1, 4], [2, 5], [3]]
    assert plan_stacks(runs, device="cuda") == [[0, 1, 2, 3, 4, 5]]


def test_batches_that_are_padded_to_the_same_rows_share_a_stack() -> None:
    sizes = [8, 16, 17, 32, 33]
    assert plan_stacks([dqn(batch_size=size) for size in sizes]) == [[0, 1], [2, 3], [4]]
    smooth = [dqn(batch_size=size, activation_fn="silu") for size in sizes]
    assert plan_stacks(smooth) == [[0, 1, 2, 3], [4]]


def test_a_stack_is_divided_where_another_worker_would_be_idle() -> None:
    assert plan_stacks(seeds(32), jobs=1) == [list(range(32))]
    assert sorted(plan_stacks(seeds(32), jobs=2)) == [list(range(16)), list(range(16, 32))]
    assert sorted(map(len, plan_stacks(seeds(32), jobs=4))) == [8] * 4
    assert [len(stack) for stack in plan_stacks(seeds(32), jobs=2, width=32)] == [32]  # as the user says
    brief = {"total_timesteps": 300, "n_evaluations": 1, "n_eval_episodes": 1}
    assert plan_stacks(seeds(2, **brief), jobs=2) == [[0, 1]]  # starting a process would cost more


def test_what_takes_longest_comes_first_if_several_train_at_a_time() -> None:
    runs = [dqn(batch_size=batch, seed=seed, learning_starts=512) for batch in (8, 512, 64) for seed in range(4)]
    assert {runs[index].batch_size for index in plan_stacks(runs, jobs=2)[0]} == {512}
    seconds = [stack_seconds([runs[index] for index in stack]) for stack in plan_stacks(runs, jobs=2)]
    assert seconds == sorted(seconds, reverse=True)


def test_stacks_that_train_at_a_time_share_the_memory() -> None:
    runs = seeds(12, total_timesteps=1000)
    one = replay_bytes(runs[0])
    assert [len(stack) for stack in plan_stacks(runs, memory=2 * 2 * 3 * one, jobs=2)] == [3] * 4


def test_the_end_of_jobs_on_cores_is_that_of_the_last_one() -> None:
    assert makespan([3.0, 5.0, 2.0], 1) == 10.0
    assert makespan([3.0, 5.0, 2.0], 2) == 5.0
    assert makespan([3.0, 5.0, 4.0], 2) == 7.0
    assert makespan([3.0], 8) == 3.0


def test_more_work_takes_longer_and_company_makes_a_run_cheaper() -> None:
    one = stack_seconds(seeds(1))
    assert one < stack_seconds(seeds(32)) < 32 * one
    for more in ({"batch_size": 256}, {"total_timesteps": 100_000}, {"net_arch": [256, 256]}, {"n_evaluations": 80}):
        assert stack_seconds([dqn(**{"learning_starts": 256, **more})]) > stack_seconds([dqn(learning_starts=256)])
    sac = RunConfig.build(env_id="Pendulum-v1", algo="sac", batch_size=32, net_arch=(64, 64))
    assert stack_seconds([sac]) > one
    assert stack_seconds([replace(sac, engine="sb3")]) > stack_seconds([sac])


RUNS = st.lists(
    st.builds(
        dqn,
        seed=st.integers(0, 3),
        batch_size=st.sampled_from([8, 16, 32]),
        learning_rate=st.sampled_from([1e-3, 1e-4]),
        train_freq=st.sampled_from([1, 4]),
        net_arch=st.sampled_from([[8], [8, 8]]),
        log_points=st.sampled_from([5, 6]),
        engine=st.sampled_from(["stacked", "stacked", "sb3"]),
    ),
    max_size=30,
)


@settings(deadline=None, derandomize=True)
@given(runs=RUNS, width=st.none() | st.integers(1, 5), device=st.sampled_from(["cpu", "cuda"]))
def test_every_run_is_in_one_stack_of_runs_that_fit_together(
    runs: list[RunConfig], width: int | None, device: str
) -> None:
    stacks = plan_stacks(runs, width=width, device=device)
    assert sorted(index for stack in stacks for index in stack) == list(range(len(runs)))
    assert all(stack == sorted(stack) for stack in stacks)
    assert [stack[0] for stack in stacks] == sorted(stack[0] for stack in stacks)
    several = plan_stacks(runs, width=width, device=device, jobs=3)
    assert sorted(index for stack in several for index in stack) == list(range(len(runs)))
    assert several == plan_stacks(runs, width=width, device=device, jobs=3)
    most = width or MAX_WIDTH
    sizes: dict[Any, list[int]] = {}
    for stack in stacks:
        company = {
            (c.engine, c.train_freq, c.net_arch, c.log_points, -(-c.batch_size // 16) if device == "cpu" else None)
            for c in (runs[index] for index in stack)
        }
        assert len(company) == 1
        assert len(stack) <= (1 if runs[stack[0]].engine == "sb3" else most)
        sizes.setdefault(company.pop(), []).append(len(stack))
    for (engine, *_), widths in sizes.items():
        if engine == "stacked":
            assert len(widths) == -(-sum(widths) // most)
            assert max(widths) - min(widths) <= 1
