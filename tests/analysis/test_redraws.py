"""The error of a score at a chosen rate: that of the scores, and of the choice."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlbatch.analysis.best import against_reference, compare_with_best
from rlbatch.analysis.intervals import Estimate, mean_of
from rlbatch.analysis.rates import Grid, at_best_rate
from rlbatch.analysis.redraws import effective_size

RATES = (1e-4, 1e-3, 1e-2)


def made(rng: np.random.Generator, *, arms: int = 1, seeds: int = 10, lower: float = 0.1, spread: float = 0.13) -> Grid:
    """Returns equal batch sizes, each at three rates of which the middle one is the best."""
    levels = (0.75 - lower, 0.75, 0.75 - lower)
    return {
        2**i: {r: dict(enumerate(rng.normal(level, spread, seeds))) for r, level in zip(RATES, levels, strict=True)}
        for i in range(arms)
    }


def test_equal_batch_sizes_at_their_best_rates_are_seldom_called_different() -> None:
    rng, errors, naive = np.random.default_rng(2), np.zeros(2), 0
    for _ in range(60):
        tuned = at_best_rate(made(rng, arms=4))
        means = {batch: one.mean for batch, one in tuned.items()}
        errors[0] += any(one.verdict == "worse" for one in compare_with_best(means, 0.1).values())
        errors[1] += any(one.verdict in ("better", "worse") for one in against_reference(means, 1).values())
        plain = {batch: mean_of(one.scores) for batch, one in tuned.items()}
        naive += any(one.verdict == "worse" for one in compare_with_best(plain, 0.1).values())
    assert (errors / 60 < 0.09).all()
    assert naive / 60 > 0.15  # what takes the scores for independent ones


def test_the_error_is_that_of_repeated_experiments() -> None:
    rng = np.random.default_rng(1)
    means = [at_best_rate(made(rng))[1].mean for _ in range(120)]
    true = np.std([mean.value for mean in means])
    assert 0.95 * true < np.sqrt(np.mean([mean.error**2 for mean in means])) < 1.3 * true


def test_where_nothing_was_to_choose_it_is_nearly_students_error() -> None:
    grid: Grid = {64: {1e-3: dict(enumerate(np.random.default_rng(0).normal(size=40)))}}
    tuned = at_best_rate(grid)[64]
    assert tuned.mean.value == pytest.approx(tuned.scores.mean())
    assert tuned.mean.error == pytest.approx(mean_of(tuned.scores).error, rel=0.08)
    assert (tuned.mean.freedom, tuned.mean.seeds) == (38, 40)


def test_clear_rates_are_chosen_in_every_resample() -> None:
    grid = made(np.random.default_rng(0), lower=5.0)
    found = at_best_rate(grid)[1].redrawn
    assert (found.weights[:, :, 1] == 1).all()
    assert len({tuple(sorted(row)) for row in found.drawn.tolist()}) > 900


def test_resamples_score_any_metric_of_the_runs_that_they_drew() -> None:
    grid = made(np.random.default_rng(0))
    tuned = at_best_rate(grid)[1]
    tenfold = {rate: {seed: 10 * score for seed, score in arm.items()} for rate, arm in grid[1].items()}
    other = tuned.mean_of(tenfold)
    assert other.value == pytest.approx(10 * tuned.mean.value)
    assert other.error == pytest.approx(10 * tuned.mean.error)
    tenfold[1e-4][0] = math.nan
    assert 0.8 * other.error < tuned.mean_of(tenfold).error < 1.2 * other.error


def test_resamples_have_the_error_of_the_mean() -> None:
    grid = made(np.random.default_rng(0), lower=0.03)
    tuned = at_best_rate(grid)[1]
    again = tuned.resampled(grid[1])
    assert again.shape == (1_000, 10)
    assert np.isfinite(again).all()
    assert again.mean(axis=1).std(ddof=1) * math.sqrt(10 / 8) == pytest.approx(tuned.mean.error)


@pytest.mark.parametrize("known", [1, 2, 3])
def test_what_hardly_a_seed_tells_has_no_error_that_is_known(known: int) -> None:
    grid = made(np.random.default_rng(0))
    told = {
        rate: {seed: score if seed < known else math.nan for seed, score in arm.items()}
        for rate, arm in grid[1].items()
    }
    found = at_best_rate(grid)[1].mean_of(told)
    assert (found.error, found.seeds) == (math.inf, known)


def test_a_batch_size_has_the_same_error_whatever_else_is_there() -> None:
    grid = made(np.random.default_rng(0), arms=3)
    assert at_best_rate(grid)[2].mean == at_best_rate({2: grid[2]})[2].mean
    assert at_best_rate(grid)[2].mean != at_best_rate({4: grid[2]})[4].mean  # not the same draws for two arms


def test_a_half_of_one_seed_leaves_the_error_open() -> None:
    for seeds, open_error in ((2, True), (3, True), (4, False)):
        grid = made(np.random.default_rng(0), seeds=seeds)
        tuned = at_best_rate(grid)[1]
        assert math.isinf(tuned.mean.error) == open_error
        assert tuned.redrawn.drawn.shape == (0 if open_error else 1_000, seeds)
        # a resample of one seed over and over has nobody to choose for it
        assert len(tuned.resampled(grid[1])) == pytest.approx(0 if open_error else 1_000 * (1 - 4 / 4**4), abs=15)


def test_equal_scores_have_no_error() -> None:
    grid: Grid = {64: {rate: dict.fromkeys(range(6), 0.1) for rate in RATES}}
    assert at_best_rate(grid)[64].mean == Estimate(at_best_rate(grid)[64].mean.value, 0.0, 4.0, 6)


def test_missing_runs_leave_a_mean_with_the_seeds_there_are() -> None:
    grid = {1: {rate: dict(arm) for rate, arm in made(np.random.default_rng(0), lower=5.0)[1].items()}}
    del grid[1][1e-3][9], grid[1][1e-4][0]
    tuned = at_best_rate(grid)[1]
    assert tuned.mean.seeds == 9
    assert np.isfinite(tuned.resampled(grid[1])).all()
    assert 0 < tuned.mean.error < 0.2


def test_scores_are_worth_as_many_as_their_mean_is_known_by() -> None:
    scores = np.random.default_rng(0).normal(size=10)
    plain = mean_of(scores)
    assert effective_size(plain, scores) == 10
    assert effective_size(plain._replace(error=2 * plain.error), scores) == pytest.approx(2.5)
    assert effective_size(plain._replace(error=0.5 * plain.error), scores) == 10
    assert 0 < effective_size(plain._replace(error=math.inf), scores) < 0.1
