"""--where: a run that may have the settings stays planned, and the learning rate of the tables finds its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from analysis.folders import config, run

from rlbatch.analysis.collect import Run
from rlbatch.analysis.where import runs_where
from rlbatch.config import RunConfig
from rlbatch.errors import InputError
from rlbatch.paths import run_path

CURVE = [0, 10, 20, 40, 60]


def unbegun(own: RunConfig) -> Run:
    return Run(Path(run_path(own)), str(run_path(own)), "planned")


def found(runs: Sequence[Run], **where: Any) -> list[tuple[int, int]]:
    return [(int(one.path.split("/b")[1][:5]), one.seed) for one in runs_where(runs, where)]


def test_a_run_that_was_never_begun_is_kept_unless_its_path_contradicts() -> None:
    runs = [run(CURVE, batch_size=16), *(unbegun(config(batch_size=size, seed=1)) for size in (32, 64))]
    assert found(runs, match="updates") == [(16, 0), (32, 1), (64, 1)]
    assert found(runs, match="samples") == [(32, 1), (64, 1)]
    assert found(runs, batch_size=32, match="updates") == [(32, 1)]
    assert found(runs, seed=1) == [(32, 1), (64, 1)]
    with pytest.raises(InputError, match="no run has batch_size=9"):
        found(runs, batch_size=9)
    with pytest.raises(InputError, match="did you mean gamma"):
        found(runs, gama=0.5)


def test_other_runs_of_its_arm_tell_the_settings_of_one_that_was_never_begun() -> None:
    runs = [run(CURVE, gamma=0.5), unbegun(config(gamma=0.5, seed=1)), unbegun(config(gamma=0.9, seed=2))]
    assert found(runs, gamma=0.5) == [(32, 0), (32, 1), (32, 2)]
    assert found(runs, gamma=0.8) == [(32, 2)]


def test_what_no_run_has_is_named_and_not_what_some_have() -> None:
    runs = [run(CURVE, batch_size=16), run(CURVE, batch_size=32, seed=1)]
    for where, told in (
        ({"batch_size": 16, "seed": 5}, "they have 0, 1"),
        ({"batch_size": 16, "seed": 1}, "no run has all of them"),
        ({"replay_ratio": 3.0}, "it is not set"),
    ):
        with pytest.raises(InputError, match=told):
            found(runs, **where)


def test_of_two_designs_that_asked_for_a_run_the_one_that_was_asked_for_is_left() -> None:
    shared = run(CURVE)
    shared = replace(shared, labels=(*shared.labels, {**shared.labels[0], "match": "samples"}))
    (kept,) = runs_where([shared], {"match": "samples"})
    assert [labels["match"] for labels in kept.labels] == ["samples"]
    assert runs_where([shared], {"batch_size": 32}) == (shared,)


def test_the_learning_rate_is_the_one_before_the_rule_or_the_effective_one() -> None:
    asked, rule = 1e-3, {"lr_rule": "sqrt", "lr_reference_batch": 64}
    rates = {size: asked * (size / 64) ** 0.5 for size in (16, 32, 64)}
    own = [config(batch_size=size, learning_rate=rate, **rule) for size, rate in rates.items()]
    runs = [run(CURVE, **{name: getattr(one, name) for name in ("batch_size", "learning_rate", *rule)}) for one in own]
    assert found(runs, learning_rate=asked) == [(16, 0), (32, 0), (64, 0)]
    assert found(runs, learning_rate=rates[16]) == [(16, 0)]
    some = [runs[0], *map(unbegun, own[1:]), unbegun(config(batch_size=64, learning_rate=0.1, **rule))]
    assert found(some, learning_rate=asked) == [(16, 0), (32, 0), (64, 0)]
    with pytest.raises(InputError, match=r"they have 0\.0005, 0\.001$"):
        found(runs[:1], learning_rate=2.0)


def test_the_values_that_runs_have_stand_in_the_order_of_numbers() -> None:
    runs = [run(CURVE, learning_rate=rate) for rate in (1e-3, 3e-5, 1e-4)]
    with pytest.raises(InputError, match=r"no run has learning_rate=0\.5; they have 3e-05, 0\.0001, 0\.001$"):
        found(runs, learning_rate=0.5)
    runs = [run(CURVE, batch_size=size) for size in (128, 8, 16)]
    with pytest.raises(InputError, match=r"they have 8, 16, 128$"):
        found(runs, batch_size=9)
    with pytest.raises(InputError, match=r"they have 8, 16, 128$"):
        found(runs, gamma=runs[0].config.gamma if runs[0].config else 0, batch_size=9)
    runs = [run(CURVE, batch_size=size) for size in range(1, 20)]
    with pytest.raises(InputError, match=r"they have 1, 2, .*, 12, \.\.\.$"):
        found(runs, batch_size=99)


def test_what_is_no_setting_is_answered_with_what_varies() -> None:
    runs = [run(CURVE, batch_size=size, seed=seed) for size in (8, 16) for seed in (0, 1)]
    with pytest.raises(InputError, match=r"--where: foo is not a setting; what varies: seed, batch_size$"):
        found(runs, foo=1)
    with pytest.raises(InputError, match="nothing varies; rlbatch train --env CartPole-v1 --dry-run -v lists all"):
        found(runs[:1], foo=1)
    with pytest.raises(InputError, match="batch_size=7; none was begun"):
        found([unbegun(config())], gamma=0.5, batch_size=7)
