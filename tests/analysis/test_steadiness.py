"""Verdicts on stability: only between batch sizes that score alike, or each at its own best rate, and of those runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.folders import config, plan, write

from rlbatch.analysis.answer import Answer, answer
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.recommend import recommend
from rlbatch.analysis.same_runs import metric_of, same_means
from rlbatch.analysis.steadiness import comparable, steadiness_of, steadiness_samples
from rlbatch.analysis.tables import tables_of

STEADY, FALLING, LAZY = (10.0, 250.0, 400.0, 400.0, 400.0), (10.0, 470.0, 200.0, 470.0, 410.0), (10.0,) * 5
"""The first two have the same area; the third never learns, and so never falls."""


def made(root: Path, shapes: dict[tuple[int, float], tuple[float, ...]], *, seeds: int = 12) -> Answer:
    rng = np.random.default_rng(5)
    configs: list[Any] = []
    for (batch, rate), shape in shapes.items():
        for seed in range(seeds):
            own = config(batch_size=batch, learning_rate=rate, seed=seed)
            write(root, own, (np.array(shape) + rng.normal(0, 4)).tolist())
            configs.append(own)
    plan(root, configs, reference={"batch_size": 64}, metric="auc", equivalence=0.1)
    return answer(compare([root]))


def test_of_batch_sizes_that_score_alike_the_one_that_falls_is_less_steady(tmp_path: Path) -> None:
    found = made(tmp_path, {(16, 1e-3): LAZY, (64, 1e-3): STEADY, (256, 1e-3): FALLING})
    (part,) = found.parts
    assert comparable(part) == (64, 256)
    falls = {one.metric: one for one in steadiness_of(part, found.delta)}["drawdown_max"]
    assert {batch: standing.verdict for batch, standing in falls.standings.items()} == {64: "equivalent", 256: "worse"}
    assert falls.standings[256].gap.estimate == pytest.approx(-270 / part.scored.scale.range, abs=0.02)  # type: ignore[operator]
    (one,) = recommend(found)
    assert one.picks["steadiest"].batch_size == 64
    assert one.picks["steadiest"].alike == ()
    titles = [table.title for table in tables_of(found) if "steadiest" in table.title]
    assert titles == ["CartPole-v1: which batch size is the steadiest, of those that score alike"]


def test_nothing_is_said_of_batch_sizes_that_do_not_score_alike(tmp_path: Path) -> None:
    found = made(tmp_path, {(16, 1e-3): LAZY, (64, 1e-3): STEADY})
    (part,) = found.parts
    assert comparable(part) == (64,)
    assert steadiness_of(part, found.delta) == ()
    assert not [table for table in tables_of(found) if "steadiest" in table.title]


def test_at_their_own_best_rates_the_runs_are_those_that_the_score_is_taken_from(tmp_path: Path) -> None:
    # at the rate that scores higher batch 16 falls, at the other one it learns nothing and is steady
    shapes = {(16, 1e-4): LAZY, (16, 1e-3): FALLING, (64, 1e-4): LAZY, (64, 1e-3): STEADY}
    found = made(tmp_path, shapes)
    (part,) = found.parts
    assert comparable(part) == (16, 64)
    falls = steadiness_samples(part, "drawdown_max", comparable(part))
    scale = part.scored.scale.range
    assert scale is not None
    assert falls[16].tolist() == pytest.approx([-270 / scale] * 12)
    assert falls[64].tolist() == pytest.approx([0.0] * 12, abs=1e-9)
    means = same_means(part.ways[0], part.cells, metric_of("drawdown_max"), falls)
    assert means[16].value == pytest.approx(-270 / scale)
    assert means[16].freedom == 10  # the error is that of the choice too: 12 seeds, less one for each half


def test_there_is_no_verdict_without_a_scale(tmp_path: Path) -> None:
    configs = [config(batch_size=batch, seed=seed, env_id="Own-v0") for batch in (16, 64) for seed in range(6)]
    for own in configs:
        write(tmp_path, own, STEADY)
    plan(tmp_path, configs)
    (part,) = answer(compare([tmp_path])).parts
    assert not part.scaled
    assert comparable(part) == ()
