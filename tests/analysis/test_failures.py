"""Failed seeds: those that diverged or collapsed, among the runs that a way compares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.folders import config, plan, write

from rlbatch.analysis.answer import Answer, answer
from rlbatch.analysis.as_json import plain
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.intervals import wilson

GOOD, FALLEN, LOW = (10.0, 250.0, 400.0, 400.0, 400.0), (10.0, 400.0, 20.0, 20.0, 20.0), (10.0,) * 5


def made(root: Path, shapes: dict[tuple[int, float], Any], **settings: Any) -> Answer:
    """Trains nothing: 10 seeds at each batch size and rate, of which `shapes` says for each seed how it went."""
    rng, configs = np.random.default_rng(5), []
    for (batch, rate), shape_of in shapes.items():
        for seed in range(10):
            own = config(batch_size=batch, learning_rate=rate, seed=seed, **settings)
            shape = shape_of(seed)
            write(root, own, (np.array(shape or GOOD[:2]) + rng.normal(0, 4)).tolist(), "ok" if shape else "diverged")
            configs.append(own)
    plan(root, configs, reference={"batch_size": 64}, metric="auc", equivalence=0.1)
    return answer(compare([root]))


def test_seeds_that_diverged_or_collapsed_are_counted_with_their_share(tmp_path: Path) -> None:
    both = {0: None, 3: FALLEN, 7: FALLEN}  # one that diverged, and two that learned and fell
    found = made(tmp_path, {(16, 1e-3): lambda seed: both.get(seed, GOOD), (64, 1e-3): lambda seed: GOOD})
    (part,) = found.parts
    failures = part.verdicts["at its rate"].failures
    assert failures[16][:2] == (3, 10)
    assert failures[16].share == wilson(3, 10)
    assert failures[64][:2] == (0, 10)
    assert failures[64].share.high == pytest.approx(0.2775, abs=1e-3)  # 10 seeds do not show that none fails
    told = json.loads(json.dumps(plain(found), allow_nan=False))["parts"][0]["ways"][0]["verdicts"]["failures"]
    assert told["16"]["failed"] == 3


def test_of_rates_that_were_chosen_the_failures_are_those_of_the_runs_compared(tmp_path: Path) -> None:
    shapes = {
        (16, 1e-4): lambda seed: FALLEN,
        (16, 1e-3): lambda seed: FALLEN if seed == 4 else GOOD,
        (64, 1e-4): lambda seed: LOW,
        (64, 1e-3): lambda seed: GOOD,
    }
    (part,) = made(tmp_path, shapes).parts
    at_best, at_one, averaged = (part.verdicts[way.kind].failures for way in part.ways)
    assert (at_best[16][:2], at_best[64][:2]) == ((1, 10), (0, 10))
    assert at_one[16].seeds == 10
    assert (averaged[16][:2], averaged[64][:2]) == (
        (5.5, 10),
        (0, 10),
    )  # of 16 all at one rate and one of ten at the other


def test_without_a_scale_only_diverged_runs_are_known_to_have_failed(tmp_path: Path) -> None:
    shapes = {(16, 1e-3): lambda seed: FALLEN if seed else None, (64, 1e-3): lambda seed: GOOD}
    (part,) = made(tmp_path, shapes, env_id="Own-v0").parts
    assert part.verdicts["at its rate"].failures[16][:2] == (1, 10)


def test_where_every_run_at_every_rate_failed_all_seeds_did(tmp_path: Path) -> None:
    rates = (1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3)
    shapes = {(size, rate): (lambda seed: FALLEN) for size in (16, 64) for rate in rates}
    (part,) = made(tmp_path, shapes).parts
    assert [part.verdicts[way.kind].failures[16][:2] for way in part.ways] == [(10, 10)] * 3
