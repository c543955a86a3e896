"""Slopes under two designs: their difference, with its own interval, and what both share without weight in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis.folders import config, plan
from analysis.test_answer import BAD, GOOD, answered, fill

from rlbatch.analysis.answer import answer
from rlbatch.analysis.as_json import plain
from rlbatch.analysis.collect import LABELS
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.contrasts import contrasts_of
from rlbatch.analysis.recommend import overall
from rlbatch.analysis.tables import tables_of
from rlbatch.analysis.trend import weights

RISING, FALLING, FLAT = {16: BAD, 64: GOOD}, {16: GOOD, 64: BAD}, {16: GOOD, 64: GOOD}


def test_the_difference_of_two_slopes_has_an_interval_of_its_own(tmp_path: Path) -> None:
    configs = fill(tmp_path, RISING, n_steps=1) + fill(tmp_path, FALLING, n_steps=3) + fill(tmp_path, FLAT, n_steps=5)
    found = answered(tmp_path, configs)
    three, five = contrasts_of(found.parts)
    assert (three.axis, three.value, three.base_value, three.batch_sizes) == ("n_steps", 3, 1, (16, 64))
    assert three.difference.value == pytest.approx(three.slope.value - three.base_slope.value)
    assert three.difference.error == pytest.approx((three.slope.error**2 + three.base_slope.error**2) ** 0.5)
    assert three.difference.interval().high < five.difference.interval().low < 0
    (table,) = [
        table for table in tables_of(found) if table.title.endswith("slope per doubling of the batch, by n_steps")
    ]
    assert [row[1] for row in table.rows] == ["3", "5"]
    assert table.headings[3] == "slope at n_steps 1"
    said = [sentence for sentence in overall(found) if "more with n_steps 3 than with n_steps 1" in sentence]
    assert said[0].startswith("CartPole-v1, at its rate: per doubling of the batch the score changes by -0.")
    told = json.loads(json.dumps(plain(found)))["slope_differences"]
    assert [one["value"] for one in told] == [3, 5]
    assert told[0]["difference"]["high"] < 0


def test_runs_that_both_designs_have_weigh_nothing_in_the_difference(tmp_path: Path) -> None:
    shared = fill(tmp_path, {64: GOOD})
    configs = [*shared, *fill(tmp_path, {128: GOOD}), *fill(tmp_path, {128: BAD}, match="samples", train_freq=2)]
    labels = {own.run_id: [{**{name: getattr(own, name) for name in LABELS}, "match": "samples"}] for own in shared}
    plan(tmp_path, configs, labels)
    found = answer(compare([tmp_path]))
    (one,) = contrasts_of(found.parts)
    assert one.axis == "match"
    first, second = (part.ways[0].means[128] for part in (one.base, one.part))
    assert one.difference.value == pytest.approx(weights([64, 128])[1] * (second.value - first.value))
    assert one.difference.error == pytest.approx((second.error**2 + first.error**2) ** 0.5)


def test_what_differs_in_two_settings_or_has_one_batch_size_in_common_is_not_compared(tmp_path: Path) -> None:
    configs = fill(tmp_path, RISING, n_steps=1, seeds=3)
    configs += fill(tmp_path, {64: GOOD, 128: GOOD}, n_steps=3, seeds=3)
    for n_step, gamma in ((5, 0.9), (3, 0.9)):
        configs += fill(tmp_path, RISING, n_steps=n_step, gamma=gamma, seeds=3)
    found = contrasts_of(answered(tmp_path, configs).parts)
    assert [(one.axis, one.value, one.base_value, one.where) for one in found] == [
        ("n_steps", 5, 3, "CartPole-v1, gamma 0.9")
    ]


def test_others_are_compared_with_the_declared_value_or_with_no_rule(tmp_path: Path) -> None:
    root = tmp_path / "declared"
    configs = fill(root, RISING, n_steps=1, seeds=3) + fill(root, FLAT, n_steps=3, seeds=3)
    found = answered(root, configs, reference={"batch_size": 64, "n_steps": 3})
    assert [(one.value, one.base_value) for one in contrasts_of(found.parts)] == [(1, 3)]
    root, configs = tmp_path / "rules", []
    for rule, factor in (("none", 1.0), ("linear", 4.0), ("sqrt", 2.0)):
        for batch, rate in ((16, 1e-3), (64, factor * 1e-3)):
            ruled = {"learning_rate": rate, "lr_rule": rule, "lr_reference_batch": 16, "gamma": 0.9 + factor / 100}
            configs += fill(root, {batch: GOOD}, seeds=3, **ruled)
    told = contrasts_of(answered(root, configs).parts)
    assert {(one.value, one.base_value) for one in told if one.axis == "lr_rule"} == {
        ("linear", "none"),
        ("sqrt", "none"),
    }
    assert {one.also for one in told if one.axis == "lr_rule"} == {("gamma",)}


def test_what_varies_with_the_setting_is_named(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, RISING, n_steps=1) + fill(tmp_path, FLAT, n_steps=3, gamma=0.9))
    (one,) = contrasts_of(found.parts)
    assert {one.axis, *one.also} == {"n_steps", "gamma"}
    assert one.also[0] in overall(found)[0]
    assert any(f"with {one.axis} vary: {one.also[0]}" in table.notes for table in tables_of(found))


def test_without_another_setting_there_is_nothing_to_compare(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, RISING, seeds=3))
    assert contrasts_of(found.parts) == ()
    assert overall(found) == ()


def test_a_withheld_verdict_withholds_the_difference(tmp_path: Path) -> None:
    configs = fill(tmp_path, RISING, n_steps=1, seeds=3) + fill(tmp_path, {16: BAD}, n_steps=3, seeds=3)
    configs += fill(tmp_path, {64: GOOD}, n_steps=3, seeds=3, gamma=0.9)
    found = answered(tmp_path, configs)
    assert config().gamma != 0.9
    assert contrasts_of(found.parts) == ()
