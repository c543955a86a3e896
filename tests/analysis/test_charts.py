"""Runs and charts of an experiment: one run per arm, one chart per environment and axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from boards import config_of, reached
from tensorboard.plugins.custom_scalar import layout_pb2

from rlbatch.analysis.bands import Curve
from rlbatch.analysis.charts import Content, arms_of, contents
from rlbatch.errors import RefusedError


def curve(heights: list[float] | None = None, **settings: Any) -> Curve:
    config = config_of(**settings)
    points = [(*reached(config, n)[::2], height) for n, height in enumerate(heights or [1.0] * 5)]
    return Curve(config, {}, "ok", points)


def names(*curves: Curve) -> list[str]:
    return [str(place) for place in arms_of(curves)]


def values(tree: dict[Path, Content], arm: str, axis: str = "env_steps") -> dict[int, dict[str, float]]:
    """Returns step -> what of the curve -> value, along one axis."""
    along = [(step, s.value) for step, s in tree[Path(arm)] if s.value[0].tag.startswith(f"return_by_{axis}/")]
    return {step: {value.tag.rpartition("/")[2]: value.simple_value for value in found} for step, found in along}


def layout(tree: dict[Path, Content]) -> layout_pb2.Layout:
    ((_, summary),) = tree[Path()]
    return layout_pb2.Layout.FromString(summary.value[0].tensor.string_val[0])


def test_an_arm_is_called_by_its_batch_size() -> None:
    found = names(curve(batch_size=256), curve(batch_size=32), curve(batch_size=32, seed=1))
    assert found == ["CartPole-v1/dqn/b00032", "CartPole-v1/dqn/b00256"]


def test_the_learning_rate_is_in_the_name_where_it_varies_in_the_environment() -> None:
    found = names(*(curve(learning_rate=rate) for rate in (1e-3, 3e-3)), curve(env_id="Acrobot-v1"))
    assert found == ["Acrobot-v1/dqn/b00032", "CartPole-v1/dqn/b00032-lr1.0e-03", "CartPole-v1/dqn/b00032-lr3.0e-03"]


def test_the_id_is_in_the_name_where_nothing_else_tells_two_arms_apart() -> None:
    two = [curve(gamma=0.9), curve(gamma=0.99)]
    expected = sorted(f"CartPole-v1/dqn/b00032-{one.config.arm_id[:8]}" for one in two)
    assert names(*two, curve(batch_size=64)) == [*expected, "CartPole-v1/dqn/b00064"]


def test_the_design_is_in_the_name_where_that_differs() -> None:
    slower = {"match": "samples", "train_freq": 2}
    found = names(curve(batch_size=32), curve(batch_size=32, **slower), curve(batch_size=64))
    assert found == [f"CartPole-v1/dqn/b00032-{match}" for match in ("samples", "updates")] + ["CartPole-v1/dqn/b00064"]


def test_each_axis_has_its_own_steps_and_the_same_returns() -> None:
    tree = contents("x", [curve([1.0, 2.0, 3.0, 4.0, 5.0], batch_size=32)], [])
    steps, samples = (values(tree, "CartPole-v1/dqn/b00032", axis) for axis in ("env_steps", "samples"))
    assert list(steps) == [0, 250, 500, 750, 1000]
    assert list(samples) == [0, 150 * 32, 400 * 32, 650 * 32, 900 * 32]
    assert [told["mean"] for told in samples.values()] == [told["mean"] for told in steps.values()]
    assert steps[500] == pytest.approx(
        {"mean": 3.0, "lower": float("nan"), "upper": float("nan"), "seeds": 1}, nan_ok=True
    )


def test_evaluations_before_the_first_update_are_one_point_on_samples() -> None:
    tree = contents("x", [curve([1.0, 2.0, 3.0, 4.0, 5.0], learning_starts=600)], [])
    samples = values(tree, "CartPole-v1/dqn/b00032", "samples")
    assert [told["mean"] for told in samples.values()] == [3.0, 4.0, 5.0]
    assert list(samples) == [0, 150 * 32, 400 * 32]


def test_each_environment_has_a_chart_per_axis_whose_tags_are_its_own() -> None:
    tree = contents("x", [curve(batch_size=32), curve(batch_size=64), curve(env_id="ALE/Pong-v5")], [])
    (category,) = layout(tree).category
    assert category.title == "x"
    assert [chart.title for chart in category.chart] == [
        "CartPole-v1: return by samples",
        "CartPole-v1: return by env steps",
        "ALE/Pong-v5: return by samples",
        "ALE/Pong-v5: return by env steps",
    ]
    for chart in category.chart:
        (series,) = chart.margin.series
        tags = {series.value, series.lower, series.upper}
        holders = {p for p, content in tree.items() if tags <= {v.tag for _, s in content for v in s.value}}
        env, _, axis = chart.title.partition(": return by ")
        assert {holder.parts[0] for holder in holders} == {env.replace("/", "+")}
        assert len(holders) == 1 + (env == "CartPole-v1")
        assert all(tag.startswith(f"return_by_{axis.replace(' ', '_')}/x/") for tag in tags)


def test_a_measured_reference_is_where_a_diverged_run_falls_to() -> None:
    one = curve([5.0, 6.0], env_id="Own-v0")
    diverged = Curve(one.config, {}, "diverged", one.points)
    reference = {"env_id": "Own-v0", "env_kwargs": {}, "random_mean": -3.0}
    tree = contents("x", [diverged], [reference])
    assert values(tree, "Own-v0/dqn/b00032")[1000]["mean"] == -3.0


def test_without_an_evaluation_there_is_a_layout_without_charts() -> None:
    empty = Curve(config_of(), {}, None, [])
    assert len(layout(contents("x", [empty], [])).category[0].chart) == 0


@pytest.mark.parametrize("env_id", ["..", ".hidden", "."])
def test_an_environment_does_not_lead_elsewhere(env_id: str) -> None:
    with pytest.raises(RefusedError, match="not the name of a folder"):
        contents("x", [curve(env_id=env_id)], [])
