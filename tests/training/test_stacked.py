"""The stacked engine: every run's numbers are its own, whatever runs, fails or diverges beside it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import probes
import pytest
import torch
from training.runs import (
    ODD,
    ODDER,
    SEVERAL,
    Reports,
    differing,
    dqn,
    ending_of,
    mixed_dqn,
    mixed_sac,
    numbers,
    rows_of,
    sac,
    small_batches,
    train,
)

from rlbatch.config import RunConfig
from rlbatch.designs import count_updates
from rlbatch.environments import describe
from rlbatch.errors import TemporaryError
from rlbatch.rows import EVAL_TAGS, TRAIN_TAGS, Ending, Row, grid_points
from rlbatch.training import sb3, stacked
from rlbatch.training import stack as stack_module
from rlbatch.training.dqn import Dqn
from rlbatch.training.frame_replay import FrameReplay
from rlbatch.training.randomness import episode_seed
from rlbatch.training.replay import Batch, StackedReplay
from rlbatch.training.sac import Sac
from rlbatch.training.squashed import add_up
from rlbatch.training.stack import Stack

# a run and its company

BRIEF: dict[str, Any] = {"total_timesteps": 180, "learning_starts": 60, "n_evaluations": 1, "n_eval_episodes": 2}
SHORT_EPISODES = {"max_episode_steps": 40}
"""Of Pendulum, which has 200: an evaluation would take longer than the training."""


def company(
    make: Callable[..., RunConfig], own: Callable[[int], dict[str, Any]] = lambda run: {}, **values: Any
) -> list[RunConfig]:
    """32 runs of about 120 updates that share values but for those that are each run's own."""
    own_kind: dict[Any, dict[str, Any]] = {dqn: {"target_update_interval": 50}, sac: {"env_kwargs": SHORT_EPISODES}}
    shared = {**BRIEF, **own_kind.get(make, {}), **values}
    return [make(seed=run, **{**shared, **own(run)}) for run in range(32)]


COMPANIES: dict[str, list[RunConfig]] = {
    "dqn": company(dqn, net_arch=(64, 64)),
    "dqn, odd": company(dqn, **ODD),
    "dqn, tanh": company(dqn, **ODD, activation_fn="tanh"),
    "dqn, elu": company(dqn, **ODDER, activation_fn="elu"),
    "dqn, silu": company(dqn, **ODDER, activation_fn="silu"),
    "dqn, gelu and norm": company(dqn, **ODDER, activation_fn="gelu", layer_norm=True),
    "dqn, norm": company(dqn, **ODD, layer_norm=True),
    "dqn, several steps": company(dqn, **ODD, **SEVERAL),
    "dqn, mixed": company(dqn, mixed_dqn, **ODD),
    "dqn, batches": company(dqn, small_batches, net_arch=(33, 7)),
    "sac": company(sac, net_arch=(64, 64)),
    "sac, odd": company(sac, **ODDER, activation_fn="silu", layer_norm=True),
    "sac, several steps": company(sac, **ODD, **SEVERAL, activation_fn="tanh"),
    "sac, mixed": company(sac, mixed_sac, **ODD),
    "sac, batches": company(sac, small_batches, net_arch=(33, 7)),
    "sac, six actions": company(partial(sac, "Probe/Spaced-v0", env_kwargs={"action": "six"}), **ODD),
}


@pytest.mark.parametrize("name", list(COMPANIES))
def test_a_run_has_the_same_bits_alone_and_anywhere_in_a_stack(name: str) -> None:
    configs = COMPANIES[name]
    wide = train(configs)
    for told in wide:
        assert ending_of(told).outcome == "ok"
        assert ending_of(told).updates >= 110
    weights = [name for name in ending_of(wide[0]).policy or {} if name.endswith("weight")]
    assert {len({numbers(told)[name] for told in wide}) for name in weights} == {32}
    for chosen in ([0], [31], [31, 0, 13], [5, 13, 6, 31, 7, 0, 8, 30]):
        for place, told in zip(chosen, train([configs[run] for run in chosen]), strict=True):
            assert differing(told, wide[place]) == [], (place, chosen)


@pytest.mark.parametrize("config", [dqn(net_arch=(33, 7), batch_size=24), sac(net_arch=(33, 7))], ids=["dqn", "sac"])
def test_every_runs_part_of_every_buffer_starts_on_a_cache_line(config: RunConfig) -> None:
    stack = Stack([config] * 5, lambda run, report: None)
    stack.close()
    agents = stack.agents
    if isinstance(agents, Dqn):
        buffers = [agents.parameters, agents.targets, agents._gradients]
    else:
        buffers = [agents.actor, agents.critics, agents.targets, agents.log_ent_coef, *agents._gradients]
        buffers += [twins[:, 1] for twins in (agents.critics, agents.targets, agents._gradients[1])]
    for buffer in buffers:
        assert [part.data_ptr() % 64 for part in buffer] == [0] * 5


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_every_runs_part_of_a_batch_lies_like_the_first(activation: str) -> None:
    configs = [dqn(seed=seed, batch_size=24, activation_fn=activation) for seed in range(3)]
    stack = Stack(configs, lambda run, report: None)
    stack.close()
    rows = stack._draws.at(0).rows
    for tensor in stack._replay.batch(rows, slice(0, 3)):
        assert tensor.shape[1] == 32
        assert [(part.data_ptr() - tensor.data_ptr()) % 64 for part in tensor] == [0] * 3


@pytest.mark.parametrize("make", [dqn, sac])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_acting_and_evaluating_give_the_networks_whole_vectors_of_rows(
    make: Callable[..., RunConfig], n_envs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Size] = []

    def noted(real: Any) -> Any:
        def note(self: Any, observations: torch.Tensor, *args: Any) -> Any:
            seen.append(observations.shape)
            return real(self, observations, *args)

        return note

    for agent in (Dqn, Sac):
        for name in ("act", "act_greedily"):
            monkeypatch.setattr(agent, name, noted(getattr(agent, name)))
    size = 4 if make is dqn else 3
    for activation, rows in (("relu", 16), ("elu", 32)):
        seen.clear()
        train([make(seed=seed, n_envs=n_envs, activation_fn=activation) for seed in range(2)])
        assert set(seen) == {(2, rows, size)}


@pytest.mark.parametrize("make", [dqn, sac])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_rows_that_pad_a_batch_never_leak(
    make: Callable[..., RunConfig], bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [make(seed=seed, batch_size=24, total_timesteps=160) for seed in range(2)]
    clean = train(configs)
    whole = StackedReplay.batch

    def poisoned(self: StackedReplay, rows: torch.Tensor, runs: slice) -> Batch:
        batch = whole(self, rows, runs)
        rewards, discounts = batch.rewards.clone(), batch.discounts.clone()
        rewards[:, 24:] = bad
        discounts[:, 24:] = bad
        return batch._replace(rewards=rewards, discounts=discounts)

    monkeypatch.setattr(StackedReplay, "batch", poisoned)
    for before, after in zip(clean, train(configs), strict=True):
        assert differing(before, after) == []


@pytest.mark.parametrize("size", [1, 2, 6, 17, 40])
def test_log_probabilities_are_added_up_in_order(size: int) -> None:
    terms = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 16, size)).astype(np.float32))
    expected = np.add.accumulate(terms.numpy(), axis=2)[..., -1]  # strictly one after the other
    assert np.array_equal(add_up(terms).numpy(), expected)


@pytest.mark.parametrize("values", [{}, {"n_envs": 3, "n_steps": 3, "buffer_size": 90}], ids=["one", "several"])
def test_both_kinds_of_replay_train_the_same(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [dqn(seed=seed, **values) for seed in range(2)]
    twice_stored = train(configs)
    monkeypatch.setattr(stack_module, "make_replay", lambda size: FrameReplay)
    for one, other in zip(twice_stored, train(configs), strict=True):
        assert differing(one, other) == []


def test_the_same_command_gives_the_same_numbers_and_another_seed_does_not() -> None:
    once, again = train([dqn(seed=1)]), train([dqn(seed=1)])
    assert differing(once[0], again[0]) == []
    (other,) = train([dqn(seed=2)])
    assert {"train 60", "eval 0", "q_net.q_net.0.weight"} <= set(differing(once[0], other))


# failures stay in their row

BASES = {"dqn": "MountainCar-v0", "sac": "Pendulum-v1"}
"""Environments whose episodes have 200 steps."""


def breakable(algo: str, how: str, **values: Any) -> list[RunConfig]:
    make = {"dqn": dqn, "sac": sac}[algo]
    kwargs = {"base": BASES[algo], "how": how, "at": 20}
    configs = [make("Probe/Fragile-v0", seed=seed, env_kwargs=kwargs, **values) for seed in range(3)]
    describe("Probe/Fragile-v0", kwargs)  # makes an instance, once
    return configs


@functools.cache
def sound(algo: str) -> list[Reports]:
    """What breakable runs tell if nothing fails, whatever would."""
    probes.Fragile.choose()
    return train(breakable(algo, "raise"))


def assert_only_run_1_failed(broken: list[Reports], whole: list[Reports], timesteps: int, **about: Any) -> Ending:
    """The others' numbers are those without the failure, and so are the failed run's before it."""
    for run in (0, 2):
        assert differing(broken[run], whole[run]) == []
        assert ending_of(whole[run]).outcome == "ok"
    ending, told = ending_of(broken[1]), numbers(broken[1][:-1])
    assert told == {name: value for name, value in numbers(whole[1]).items() if name in told}
    assert max([report.timesteps for report in broken[1][:-1] if isinstance(report, Row)], default=0) <= timesteps
    assert (ending.timesteps, ending.policy) == (timesteps, None)
    assert ending.updates == count_updates(dqn(**about), timesteps)
    assert ending.samples == 32 * ending.updates
    assert len(ending.reason.splitlines()) == 1
    return ending


@pytest.mark.parametrize("algo", ["dqn", "sac"])
@pytest.mark.parametrize(
    ("how", "nonfinite"),
    [
        ("raise", None),
        ("exit", None),
        ("shape", None),
        ("no reward", None),
        ("ragged", None),
        ("nan observation", "observation"),
        ("inf reward", "reward"),
    ],
)
def test_an_environment_that_fails_ends_its_own_run_alone(
    algo: str, how: str, nonfinite: str | None, fragile: type[probes.Fragile]
) -> None:
    configs, whole = breakable(algo, how), sound(algo)
    fragile.choose(victims={episode_seed(1, "episode", 1)})  # the second episode: steps 201 to 400
    ending = assert_only_run_1_failed(train(configs), whole, timesteps=219)
    assert ending.outcome == "env_error"
    assert ending.evidence
    assert ending.first_nonfinite == (None if nonfinite is None else {"timesteps": 219, "where": nonfinite})


def test_a_failed_reset_and_a_failed_evaluation_end_their_own_run_alone(fragile: type[probes.Fragile]) -> None:
    configs, whole = breakable("dqn", "reset"), sound("dqn")
    for purpose, counter, timesteps in (("episode", 0, 0), ("episode", 1, 199), ("evaluation", 2, 0)):
        fragile.choose(victims={episode_seed(1, purpose, counter)})
        ending = assert_only_run_1_failed(train(configs), whole, timesteps)
        assert ending.outcome == "env_error"
        assert "told not to reset" in ending.evidence
    # evaluation 1 is due after step 150; its episodes are numbers 3 to 5
    fragile.choose(victims={episode_seed(1, "evaluation", 4)})
    ending = assert_only_run_1_failed(train(configs), whole, timesteps=150)
    assert ending.outcome == "env_error"


def test_one_environment_of_several_ends_the_whole_run(fragile: type[probes.Fragile]) -> None:
    shared = {"n_envs": 3, "total_timesteps": 900}
    configs = breakable("dqn", "raise", **shared)
    fragile.choose()
    whole = train(configs)
    fragile.choose(victims={episode_seed(1, "episode", 3 + 2)})  # the second episode of the third environment
    assert_only_run_1_failed(train(configs), whole, timesteps=3 * 219, **shared)


@pytest.mark.parametrize(("instance", "timesteps"), [(4, 0), (10, 0)], ids=["training", "evaluation"])
def test_an_environment_that_cannot_be_made_ends_its_own_run_alone(
    instance: int, timesteps: int, fragile: type[probes.Fragile]
) -> None:
    configs, whole = breakable("dqn", "raise"), sound("dqn")
    # 1 and 2 tell whether a reset restores it, 3 to 5 train the three runs, 6 to 14 evaluate them
    fragile.choose(unmakeable={instance})
    ending = assert_only_run_1_failed(train(configs), whole, timesteps)
    assert ending.outcome == "env_error"
    assert "no licence left" in ending.reason


def test_all_environments_may_fail(fragile: type[probes.Fragile]) -> None:
    configs = breakable("dqn", "raise")
    fragile.choose(unmakeable=range(1, 100))
    assert [ending_of(told).outcome for told in train(configs)] == ["env_error"] * 3
    fragile.choose(victims={episode_seed(seed, "episode", 0) for seed in range(3)})
    endings = [ending_of(told) for told in train(configs)]
    assert [(ending.outcome, ending.timesteps) for ending in endings] == [("env_error", 19)] * 3


@pytest.mark.parametrize("make", [dqn, sac])
def test_a_run_that_diverges_leaves_the_others_alone(make: Callable[..., RunConfig]) -> None:
    wild = make(seed=1, learning_rate=1e30)
    mates = [make(seed=seed, learning_rate=rate) for seed, rate in ((0, 1e-3), (2, 1e-3), (3, 3e-3))]
    (alone,) = train([wild])
    first, told, *others = train([mates[0], wild, *mates[1:]])
    for mine, expected in zip([first, *others], train(mates), strict=True):
        assert ending_of(mine).outcome == "ok"
        assert differing(mine, expected) == []
    assert differing(told, alone) == []
    ending = ending_of(told)
    assert ending.outcome == "diverged"
    assert ending.policy is None
    assert ending.first_nonfinite is not None
    assert 101 <= ending.first_nonfinite["timesteps"] == ending.timesteps <= 110  # the next row comes at 120
    assert ending.first_nonfinite["where"] in ("q", "action", "loss", "parameters")
    assert ending.reason == f"{ending.first_nonfinite['where']} not finite at env step {ending.timesteps}"
    assert all(row.timesteps <= ending.timesteps for row in told[:-1] if isinstance(row, Row))


@pytest.mark.parametrize("log_points", [1, 5, 200])
@pytest.mark.parametrize("make", [dqn, sac])
def test_losses_that_are_not_finite_are_a_divergence_whatever_is_logged(
    make: Callable[..., RunConfig], log_points: int
) -> None:
    config = make("Probe/Explosive-v0", env_kwargs={"continuous": make is sac}, log_points=log_points)
    ending = ending_of(train([config])[0])
    if make is dqn:  # its loss is linear where errors are large: 1e30 is a finite loss
        assert ending.outcome == "ok"
        return
    assert ending.outcome == "diverged"
    assert ending.first_nonfinite == {"timesteps": 110, "where": "loss"}  # the first look after env step 101


class Watched(Stack):
    """A stack that a test can reach."""

    stacks: list[Stack]
    closed: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        type(self).stacks.append(self)

    def close(self) -> None:
        type(self).closed += 1
        super().close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr(stacked, "Stack", Watched)
    Watched.stacks, Watched.closed = [], 0
    return Watched


def poison(stack: Stack, run: int) -> None:
    rows = stack.agents.parameters if isinstance(stack.agents, Dqn) else stack.agents.critics
    with torch.inference_mode():
        rows[run].view(-1)[3] = math.nan


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_an_environment_error_after_a_weight_went_bad_is_a_divergence(
    algo: str, fragile: type[probes.Fragile], watched: type[Watched]
) -> None:
    configs = breakable(algo, "raise", learning_starts=260, log_points=1)
    fragile.choose(victims={episode_seed(1, "episode", 1)})

    def commit(runs: Sequence[int], timesteps: int) -> bool:
        if timesteps == 215:
            poison(watched.stacks[0], 1)
        return True

    ending = ending_of(train(configs, commit)[1])
    assert ending.outcome == "diverged"
    assert ending.first_nonfinite == {"timesteps": 219, "where": "parameters"}
    assert ending.reason == "parameters not finite at env step 219"
    assert "the probe was told to fail" in ending.evidence


@pytest.mark.parametrize("make", [dqn, sac])
def test_a_bad_weight_is_found_within_ten_vector_steps(make: Callable[..., RunConfig], watched: type[Watched]) -> None:
    def commit(runs: Sequence[int], timesteps: int) -> bool:
        if timesteps == 40:
            poison(watched.stacks[0], 0)
        return True

    bad, good = train([make(seed=0), make(seed=1)], commit)
    assert ending_of(good).outcome == "ok"
    assert ending_of(bad).outcome == "diverged"
    found = ending_of(bad).first_nonfinite
    assert found is not None
    assert 40 < found["timesteps"] <= 50
    assert rows_of(bad, "train") == []


def test_an_error_of_the_stack_itself_ends_all_that_are_left(
    fragile: type[probes.Fragile], monkeypatch: pytest.MonkeyPatch, watched: type[Watched]
) -> None:
    configs = breakable("dqn", "raise")
    fragile.choose(victims={episode_seed(1, "episode", 0)})
    update = Dqn.update

    def full(self: Dqn, replay: StackedReplay, rows: torch.Tensor, number: int, progress: float) -> None:
        if number == 50:
            raise RuntimeError("something is wrong with the stack")
        update(self, replay, rows, number, progress)

    monkeypatch.setattr(Dqn, "update", full)
    endings = [ending_of(told) for told in train(configs)]
    assert [ending.outcome for ending in endings] == ["crashed", "env_error", "crashed"]
    assert [(ending.timesteps, ending.updates) for ending in endings[::2]] == [(151, 50)] * 2  # not the one it died in
    assert endings[1].timesteps == 19
    assert "something is wrong with the stack" in endings[0].evidence
    assert watched.closed == 1


@pytest.mark.parametrize("part", ["make_agents", "make_replay", "StackRows", "resets_exactly"])
def test_an_error_while_the_stack_is_built_ends_all_its_runs(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(stack_module, part, wrong)
    endings = [ending_of(told) for told in train([dqn(seed=0), dqn(seed=1)])]
    assert [(ending.outcome, ending.timesteps) for ending in endings] == [("crashed", 0)] * 2


@pytest.mark.parametrize("part", ["make_agents", "advance"])
def test_several_runs_without_memory_have_no_endings_and_one_alone_has(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 17179869184 bytes")

    monkeypatch.setattr(*((stack_module, part) if part == "make_agents" else (Stack, part)), full)
    with pytest.raises(MemoryError, match=r"2 runs: .*can't allocate memory"):
        train([dqn(seed=0), dqn(seed=1)])
    assert ending_of(train([dqn()])[0]).outcome == "out_of_memory"


# what the engine is told and tells


def test_a_commit_names_the_live_runs_at_every_vector_step(fragile: type[probes.Fragile]) -> None:
    configs = breakable("dqn", "raise", n_envs=2, total_timesteps=121)
    configs[0] = replace(configs[0], learning_rate=1e-2)  # the last one in the stack
    fragile.choose(victims={episode_seed(1, "episode", 0)})
    heard: list[tuple[list[int], int]] = []
    train(configs, lambda runs, steps: heard.append((sorted(runs), steps)) or True)  # type: ignore[func-returns-value]
    expected = [([0, 1, 2] if step < 40 else [0, 2], min(step, 121)) for step in range(0, 123, 2)]
    assert heard == expected


def test_commits_and_reports_have_the_callers_numbers_in_a_stack_of_several_rates() -> None:
    rates = (3e-3, 1e-4, 1e-3, 1e-4)
    configs = [dqn(seed=seed, learning_rate=rate) for seed, rate in enumerate(rates)]
    heard: set[tuple[int, ...]] = set()
    reports = train(configs, lambda runs, steps: heard.add(tuple(sorted(runs))) or True)  # type: ignore[func-returns-value]
    assert heard == {(0, 1, 2, 3)}
    for rate, told in zip(rates, reports, strict=True):
        assert rows_of(told, "train")[-1].values["update/learning_rate"] == pytest.approx(rate)


def test_a_stack_that_is_asked_to_stop_has_no_endings(watched: type[Watched]) -> None:
    told = train([dqn(seed=0), dqn(seed=1)], lambda runs, steps: steps < 150)
    for reports in told:
        assert not any(isinstance(report, Ending) for report in reports)
        assert max(report.timesteps for report in reports) == 150
    assert watched.closed == 1
    assert train([dqn()], lambda runs, steps: False) == [[]]
    assert len(watched.stacks) == 1


@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_record_that_cannot_be_written_is_not_the_runs_doing(at: int, watched: type[Watched]) -> None:
    heard: list[Row | Ending | None] = []

    def emit(run: int, report: Row | Ending) -> None:
        heard.append(report)
        if len(heard) == at + 1:
            heard[-1] = None
            raise TemporaryError("disk", "is full")

    with pytest.raises(TemporaryError, match="is full"):
        stacked.train([dqn(seed=0), dqn(seed=1)], emit, lambda runs, steps: True, device="cpu")
    assert heard[-1] is None  # nothing is written after it
    assert watched.closed == 1


def test_endings_tell_whether_resets_are_exact() -> None:
    short = {"total_timesteps": 120, "n_eval_episodes": 1}
    assert ending_of(train([dqn(**short)])[0]).resume_exact
    assert not ending_of(train([dqn("Probe/Sticky-v0", **short)])[0]).resume_exact


AS_SB3 = {
    "plain": dqn("Probe/Probe-v0", log_points=10),
    "a budget that the environments do not divide": dqn("Probe/Probe-v0", n_envs=3, total_timesteps=200, log_points=7),
    "phases longer than intervals": dqn("Probe/Probe-v0", train_freq=64, gradient_steps=4, learning_starts=64),
    "bursts": dqn("Probe/Probe-v0", train_freq=4, gradient_steps=-1, n_envs=2, total_timesteps=301),
    "points within a step": dqn("Probe/Probe-v0", n_envs=64, learning_starts=64, total_timesteps=320, log_points=10),
    "no warm-up": dqn("Probe/Probe-v0", learning_starts=0, exploration_fraction=0.5),
    "more points than steps": dqn("Probe/Probe-v0", total_timesteps=130, log_points=200, n_evaluations=7),
    "schedules": dqn("Probe/Probe-v0", lr_schedule="cosine", lr_warmup=0.5, exploration_fraction=0.7, log_points=20),
    "sac": sac("Probe/Probe-v0", log_points=10, lr_schedule="linear"),
    "sac, fixed entropy": sac("Probe/Probe-v0", ent_coef=0.2, train_freq=7, gradient_steps=2, n_envs=2, log_points=30),
}
SAME_AS_SB3 = ("rollout/", "batch/replay", "update/learning_rate")


@pytest.mark.parametrize("name", list(AS_SB3))
def test_rows_come_when_those_of_stable_baselines3_come(name: str) -> None:
    values = {field: getattr(AS_SB3[name], field) for field in AS_SB3[name].__dataclass_fields__}
    values["env_kwargs"] = {"length": 7, "continuous": AS_SB3[name].algo == "sac"}
    config = RunConfig(**values)
    (mine,), theirs = train([config]), []
    sb3.train([config], lambda run, report: theirs.append(report), lambda runs, steps: True, device="cpu")
    assert len(mine) == len(theirs)
    for one, other in zip(mine[:-1], theirs[:-1], strict=True):
        assert isinstance(one, Row)
        counts = ("kind", "timesteps", "updates", "samples", "returns", "lengths", "cut_episodes")
        assert [getattr(one, field) for field in counts] == [getattr(other, field) for field in counts]
        assert one.updates == count_updates(config, one.timesteps)
        assert set(one.values) == set(TRAIN_TAGS[config.algo] if one.kind == "train" else EVAL_TAGS)
        for tag, expected in other.values.items():
            if tag == "batch/unique_fraction" and config.n_envs > 1:
                continue  # out of sight in Stable-Baselines3
            assert (one.values[tag] is None) == (expected is None), (one.timesteps, tag)
            if expected is not None and tag.startswith(SAME_AS_SB3):
                assert one.values[tag] == pytest.approx(expected, rel=1e-9), (one.timesteps, tag)
    for field in ("outcome", "timesteps", "updates", "samples", "resume_exact"):
        assert getattr(mine[-1], field) == getattr(theirs[-1], field)


def test_there_are_rows_before_training_and_at_every_point() -> None:
    (told,) = train([dqn(total_timesteps=250, n_envs=3, log_points=40, n_evaluations=5)])
    assert [row.timesteps for row in rows_of(told, "train")] == list(grid_points(250, 40))
    assert [row.timesteps for row in rows_of(told, "eval")] == [0, *grid_points(250, 5)]
    assert rows_of(told, "eval")[0].updates == 0


def diary(run: int, env: int, n_envs: int, steps: int) -> list[tuple[int, int, float, bool, bool]]:
    """(seed, step of the episode, reward, terminated, truncated) of every step of one environment of a run."""
    found: list[tuple[int, int, float, bool, bool]] = []
    episode = 0
    while len(found) < steps:
        seed = episode_seed(run, "episode", episode * n_envs + env)
        length = 1 + seed % 9
        for taken in range(1, length + 1):
            over = taken == length
            found.append((seed, taken, taken + seed % 8 / 8, over and seed % 2 == 0, over and seed % 2 == 1))
        episode += 1
    return found[:steps]


@pytest.mark.parametrize("n_envs", [1, 3])
def test_rollouts_are_described_by_the_episodes_that_ended_in_them(n_envs: int) -> None:
    configs = [dqn("Probe/Diary-v0", seed=seed, n_envs=n_envs, total_timesteps=310, log_points=23) for seed in (4, 9)]
    described = 0
    for config, told in zip(configs, train(configs), strict=True):
        ended: list[tuple[int, float, int]] = []
        for env in range(n_envs):
            total = 0.0
            for step, (_, length, reward, *ends) in enumerate(diary(config.seed, env, n_envs, 310), 1):
                total += reward
                if any(ends):
                    ended.append((step * n_envs, total, length))
                    total = 0.0
        before = 0
        for row in rows_of(told, "train"):
            taken = -(-row.timesteps // n_envs) * n_envs
            here = [(total, length) for step, total, length in ended if before < step <= taken]
            before = taken
            assert row.values["rollout/episodes"] == len(here)
            for tag, column in (("rollout/return_mean", 0), ("rollout/length_mean", 1)):
                expected = np.mean([one[column] for one in here]) if here else None
                assert row.values[tag] == (None if expected is None else pytest.approx(expected))
            described += len(here)
    assert described > 80


@pytest.mark.parametrize("kind", [StackedReplay, FrameReplay])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_no_transition_crosses_the_end_of_an_episode(
    n_envs: int, kind: type[StackedReplay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "make_replay", lambda size: kind)
    configs = [dqn("Probe/Diary-v0", seed=seed, n_envs=n_envs, buffer_size=70 * n_envs) for seed in (4, 9)]
    stack = Stack(configs, lambda run, report: None)
    with torch.inference_mode():
        stack.begin()
        for step in range(1, 101):
            stack.advance(step)
        for run, config in enumerate(configs):
            slots = run * 70 * n_envs + torch.arange(70 * n_envs)
            batch = [part[0].numpy() for part in stack._replay.batch(slots[None], slice(run, run + 1))]
            observations, nexts, actions, rewards, discounts = batch
            for env in range(n_envs):
                for step, (seed, taken, reward, terminated, _) in enumerate(diary(config.seed, env, n_envs, 100)):
                    slot = step % 70 * n_envs + env
                    if step < 30:
                        continue  # overwritten
                    assert observations[slot, :2].tolist() == [seed % 4096, taken - 1]
                    assert nexts[slot].tolist() == [seed % 4096, taken, actions[slot, 0]]
                    assert rewards[slot] == reward
                    assert discounts[slot] == (0.0 if terminated else np.float32(config.gamma))
    stack.close()


# probes with known values

PROBING: dict[str, Any] = {"learning_rate": 3e-3, "total_timesteps": 1500, "n_evaluations": 1, "log_points": 1}


def values_of(config: RunConfig, reports: Reports, *observations: float) -> list[float]:
    """The largest value of each observation after training: by Stable-Baselines3's classes with the saved weights."""
    model, policy = sb3.build_model(config, "cpu"), ending_of(reports).policy
    assert policy is not None
    model.policy.load_state_dict({k: torch.from_numpy(v) for k, v in policy.items() if k != "log_ent_coef"})
    seen = torch.tensor(observations)[:, None]
    with torch.no_grad():
        if config.algo == "dqn":
            return model.q_net(seen).max(dim=1).values.tolist()  # type: ignore[union-attr]
        return torch.stack(model.critic(seen, model.actor(seen, deterministic=True))).mean(dim=(0, 2)).tolist()  # type: ignore[union-attr]


PROBES = {
    "dqn": partial(dqn, "Probe/Probe-v0", target_update_interval=50, **PROBING),
    "sac": partial(sac, "Probe/Probe-v0", ent_coef=0.0, tau=0.05, **{**PROBING, "total_timesteps": 800}),
}


@pytest.mark.parametrize(("algo", "n_envs"), [("dqn", 1), ("dqn", 2), ("sac", 1)])
def test_a_truncation_bootstraps_and_a_termination_does_not(algo: str, n_envs: int) -> None:
    for truncates, expected in ((False, [1.0, 1.0]), (True, [2.0, 4.0])):
        kwargs = {"truncates": truncates, "continuous": algo == "sac"}
        configs = [PROBES[algo](gamma=g, env_kwargs=kwargs, n_envs=n_envs, gradient_steps=n_envs) for g in (0.5, 0.75)]
        found = [values_of(config, told, 0.0)[0] for config, told in zip(configs, train(configs), strict=True)]
        assert found == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_value_is_discounted_once_per_step(n_steps: int) -> None:
    configs = [
        dqn("Probe/TwoStep-v0", gamma=gamma, n_steps=n_steps, target_update_interval=50, **PROBING)
        for gamma in (0.5, 0.9)
    ]
    for config, told in zip(configs, train(configs), strict=True):
        assert values_of(config, told, 0.0, 1.0) == pytest.approx([config.gamma, 1.0], abs=0.05)


def test_the_better_action_is_found_by_both_algorithms() -> None:
    found = [dqn("Probe/Preference-v0", seed=seed, learning_rate=1e-2, target_update_interval=50) for seed in range(3)]
    for told in train(found):
        assert rows_of(told, "eval")[-1].values["eval/return_mean"] == 1.0
    kwargs = {"continuous": True}
    steered = [
        sac("Probe/Preference-v0", seed=seed, env_kwargs=kwargs, learning_rate=1e-2, total_timesteps=800)
        for seed in range(3)
    ]
    for told in train(steered):
        assert (rows_of(told, "eval")[-1].values["eval/return_mean"] or 0.0) > 0.7
