"""Arms: what counts, what is missing, which settings are axes, and which arms share a slice."""

from __future__ import annotations

from typing import Any

import pytest
from analysis.folders import config, run

from rlbatch.analysis.arms import Arm, Task, rate_before_rule, tasks_of
from rlbatch.analysis.collect import Run
from rlbatch.paths import run_path

CURVE = [10, 20, 30, 40, 50]


def task(*runs: Run) -> Task:
    (one,) = tasks_of(runs)
    return one


def arm(*runs: Run) -> Arm:
    (one,) = task(*runs).arms
    return one


def planned(**settings: Any) -> Run:
    own = run_path(config(**settings))
    return Run(own, str(own), "planned")


def test_every_planned_run_is_accounted_for() -> None:
    known = ("ok", "diverged", "env_error", "hung", "crashed", "unreadable", "out_of_memory", "partial", "running")
    own = arm(*(run(CURVE, status, seed=seed) for seed, status in enumerate(known)), planned(seed=9))
    assert [r.status for r in own.counted] == ["ok", "diverged"]
    assert [r.status for r in own.missing] == ["env_error", "hung", "crashed", "unreadable", "out_of_memory"]
    assert [r.status for r in own.unfinished] == ["partial", "running", "planned"]
    assert own.planned == 10
    assert not own.complete
    assert arm(run(CURVE), run(CURVE, "diverged", seed=1)).complete


def out_of_memory(batch_size: int, **settings: Any) -> Run:
    return run([], "out_of_memory", batch_size=batch_size, n_eval_episodes=2, **settings)


@pytest.mark.parametrize(
    ("others", "diverged"),
    [
        ([], False),  # nothing tells that a smaller batch would have fitted
        ([run(CURVE, batch_size=32)], True),
        ([run(CURVE, batch_size=32, learning_rate=0.5)], True),  # the rate takes no memory
        ([run(CURVE, batch_size=32), run(CURVE, batch_size=256, seed=1)], False),  # as large a batch did fit
        ([run(CURVE, batch_size=32), run(CURVE, batch_size=512)], False),
        ([run(CURVE, batch_size=32, buffer_size=500)], False),  # another replay
        ([run(CURVE, "crashed", batch_size=32)], False),
    ],
)
def test_want_of_memory_is_divergence_only_where_the_batch_caused_it(others: list[Run], diverged: bool) -> None:
    whole = task(out_of_memory(256), *others)
    (own,) = (a for a in whole.arms if any(r.status == "out_of_memory" for r in (*a.diverged, *a.missing)))
    assert any(r.status == "out_of_memory" for r in own.diverged) == diverged
    assert any(r.status == "out_of_memory" for r in own.missing) != diverged


def test_an_arm_of_which_no_run_was_begun_is_known_by_its_path() -> None:
    whole = task(run(CURVE, batch_size=16), planned(batch_size=64, learning_rate=0.00123))
    started, other = whole.arms
    assert (other.batch_size, other.learning_rate, other.config, other.planned) == (64, 0.0012, None, 1)
    assert [tuple(part.cells.values()) for part in whole.slices] == [(started,)]


def test_environments_are_apart_by_id_and_arguments() -> None:
    runs = [
        run(CURVE, env_id="Acrobot-v1"),
        run(CURVE),
        run(CURVE, env_kwargs={"sutton_barto_reward": True}),
        planned(env_id="Acrobot-v1", batch_size=1),
    ]
    told = [(t.env_id, dict(t.env_kwargs), len(t.arms)) for t in tasks_of(runs)]
    assert told == [("Acrobot-v1", {}, 2), ("CartPole-v1", {}, 1), ("CartPole-v1", {"sutton_barto_reward": True}, 1)]


def test_axes_are_what_varies_by_itself_and_the_rest_follows() -> None:
    grid = [(batch, rate, freq) for batch, freq in ((16, 1), (32, 2), (64, 4)) for rate in (1e-3, 1e-4)]
    runs = [run(CURVE, batch_size=b, learning_rate=r, train_freq=f, match="samples") for b, r, f in grid]
    whole = task(*runs)
    assert whole.axes == ("batch_size", "learning_rate")
    assert whole.following == ("train_freq",)
    (part,) = whole.slices
    assert part.fixed == {}
    assert part.batch_sizes == (16, 32, 64)
    assert part.learning_rates == (1e-4, 1e-3)
    assert len(part.cells) == 6


def test_a_rate_that_follows_a_rule_is_one_rate() -> None:
    runs = [
        run(CURVE, batch_size=b, learning_rate=1e-3 * (b / 64) ** p, lr_rule=rule, lr_reference_batch=64)
        for rule, p in (("sqrt", 0.5), ("linear", 1.0))
        for b in (16, 256)
    ]
    whole = task(*runs)
    assert whole.axes == ("batch_size", "lr_rule")
    assert [(dict(part.fixed), sorted(part.cells)) for part in whole.slices] == [
        ({"lr_rule": "linear"}, [(16, 1e-3), (256, 1e-3)]),
        ({"lr_rule": "sqrt"}, [(16, 1e-3), (256, 1e-3)]),
    ]


def test_an_arm_that_two_designs_share_is_in_both_slices() -> None:
    shared = run(CURVE, batch_size=64, lr_reference_batch=64)
    both = Run(**vars(shared) | {"labels": (*shared.labels, dict(shared.labels[0]) | {"match": "samples"})})
    more = [
        run(CURVE, batch_size=128, train_freq=f, match=m, lr_reference_batch=64)
        for f, m in ((1, "updates"), (2, "samples"))
    ]
    whole = task(both, *more)
    assert whole.axes == ("batch_size", "match")
    assert whole.following == ("train_freq",)
    assert {part.fixed["match"]: part.batch_sizes for part in whole.slices} == {
        "updates": (64, 128),
        "samples": (64, 128),
    }


def test_learning_rates_are_apart_where_they_are_the_group_and_other_axes_come_after_it() -> None:
    grid = [(batch, rate, n) for batch in (16, 64) for rate in (1e-5, 1e-3, 1e-4) for n in (1, 3)]
    runs = [run(CURVE, batch_size=b, learning_rate=r, n_steps=n) for b, r, n in grid]
    assert [dict(part.fixed) for part in task(*runs).slices] == [{"n_steps": 1}, {"n_steps": 3}]
    (whole,) = tasks_of(runs, group="learning_rate")
    told = [tuple(part.fixed.items()) for part in whole.slices]
    assert told == [(("learning_rate", r), ("n_steps", n)) for r in (1e-5, 1e-4, 1e-3) for n in (1, 3)]
    assert {part.batch_sizes for part in whole.slices} == {(16, 64)}
    (whole,) = tasks_of(runs, group="n_steps")
    assert [dict(part.fixed) for part in whole.slices] == [{"n_steps": 1}, {"n_steps": 3}]


def test_a_setting_that_older_runs_do_not_have_is_an_axis_like_any_other() -> None:
    whole = task(run(CURVE, layer_norm=True), run(CURVE))
    assert whole.axes == ("layer_norm",)


@pytest.mark.parametrize(("rule", "given"), [("none", 4e-3), ("sqrt", 2e-3), ("linear", 1e-3), ("adam-sde", 2e-3)])
def test_the_rate_before_the_rule_is_what_was_asked_for(rule: str, given: float) -> None:
    assert rate_before_rule(4e-3, {"lr_rule": rule, "lr_reference_batch": 64}, 256) == given
