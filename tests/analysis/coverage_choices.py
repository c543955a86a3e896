"""What is measured of scores that were chosen, of failures that were not seen, and of times? Parts of `coverage.py`."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from scipy import stats

from rlbatch.analysis import across, best, halves, rates, survival
from rlbatch.analysis.advantage import cross_fitted
from rlbatch.analysis.improvement import probability_of_improvement
from rlbatch.analysis.intervals import Estimate, Floats, Interval, combine, mean_of, wilson
from rlbatch.analysis.profiles import performance_profile
from rlbatch.analysis.redraws import effective_size

DELTA = 0.1
GOOD, SPREAD, LOW, LOW_SPREAD = 0.8, 0.13, 0.05, 0.03
BUDGET = 50_000.0
RATES = (1e-4, 1e-3, 1e-2)
ABOVE = 0.7
TRUTHS, CHOSEN = 20_000, 4_000
"""Experiments from which true values are taken where there is no formula; where rates are chosen."""

Happened = Iterator[tuple[str, bool]]
"""What happened in one repeat."""


def draw(rng: np.random.Generator, failing: float, shape: tuple[int, ...], *, good: float = GOOD) -> Floats:
    """Returns scores of one environment, of which some failed."""
    return np.where(
        rng.random(shape) < failing, rng.normal(LOW, LOW_SPREAD, size=shape), rng.normal(good, SPREAD, size=shape)
    )


def covers(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.low - 1e-12 <= truth <= interval.high + 1e-12


def at_best_rates(rng: np.random.Generator, lower: float, n: int) -> Happened:
    """Yields whether verdicts on equal batch sizes err, each at its own best of three rates; two score lower."""
    tuned = rates.at_best_rate(_grid(rng, lower, n, 8))
    for count in (4, 8):
        arms = {i: tuned[2**i].mean for i in range(count)}
        plain = {i: mean_of(tuned[2**i].scores) for i in range(count)}
        yield f"any of {count} equal batch sizes is called worse than the best", _worse(arms)
        yield f"any of {count} is called better or worse than the reference", _against(arms)
        yield f"the same of {count}, if the scores were taken for independent, for comparison", _against(plain)


def scores_at_best_rates(rng: np.random.Generator, lower: float, n: int) -> Happened:
    """Yields whether intervals of scores at a chosen rate cover what such scores are on average."""
    grid = _grid(rng, lower, n, 2)
    tuned = rates.at_best_rate(grid)
    x, y = (tuned[batch] for batch in grid)
    true = expected_at_chosen_rates(lower, n)
    again = x.resampled(grid[1])
    yield "mean", covers(x.mean.interval(), true["mean"])
    yield "difference of two means", covers(combine([x.mean, y.mean], [1, -1]).interval(), 0.0)
    found = across.interquartile_mean(x.scores, rng, resampled=again)
    yield "IQM", covers(found, true["iqm"])
    trials = effective_size(x.mean, x.scores), effective_size(y.mean, y.scores)
    better = probability_of_improvement([x.scores], [y.scores], effective_sizes=((trials[0],), (trials[1],)))
    yield "probability of improvement", covers(better, 0.5)
    profile = performance_profile([x.scores], [ABOVE], effective_sizes=[trials[0]])
    yield f"performance profile at {ABOVE:g}", covers(Interval(*(float(a[0]) for a in profile[1:])), true["above"])


def advantage(rng: np.random.Generator, failing: float, n: int) -> Happened:
    """Yields whether the interval of the cross-fitted advantage covers, over arms of these levels; the first is the
    reference.
    """
    for name, levels in _ADVANTAGES.items():
        samples = {i: draw(rng, failing, (n,), good=level) for i, level in enumerate(levels)}
        found = cross_fitted(samples, 0, int(rng.integers(2**32)), splits=100)
        yield name, covers(found, _advantage(levels, failing, n))
    tried = {i: draw(rng, failing, (n, len(RATES))) for i in range(5)}
    found = cross_fitted(tried, 0, int(rng.integers(2**32)), splits=100)
    yield "of 5 equal arms, each at its own best of three equal rates", covers(found, 0.0)


def unseen_failures(rng: np.random.Generator, spread: float, n: int) -> Happened:
    """Yields what is said of an arm of which a fifth of the seeds fail, beside one that never fails."""
    fails = rng.random(n) < 0.2
    sound, other = rng.normal(0.75, spread, size=n), np.where(fails, 0.0, rng.normal(0.75, spread, size=n))
    found = best.compare_with_best({0: mean_of(sound), 1: mean_of(other)}, DELTA)
    yield "it is called equivalent, though 0.15 below the other", found[1].verdict == "equivalent"
    yield "none of its n seeds failed", not fails.any()
    equal = best.compare_with_best({0: mean_of(sound), 1: mean_of(rng.normal(0.75, spread, size=n))}, DELTA)
    yield "one that never fails either is called equivalent", equal[1].verdict == "equivalent"
    yield "the share of seeds that fail is inside its interval", covers(wilson(int(fails.sum()), n), 0.2)


def times(rng: np.random.Generator, failing: float, n: int) -> Happened:
    """Yields whether what is told of the steps to a threshold covers, with all runs finished and with some going on."""
    never = rng.random(n) < failing
    steps = np.where(never, np.inf, rng.gamma(4.0, 8_000.0, size=n))
    whole = survival.reaching(np.minimum(steps, BUDGET), steps <= BUDGET, BUDGET)
    # a third of the runs go on, and were seen up to somewhere in the budget
    seen = np.where(rng.random(n) < 1 / 3, rng.uniform(0, BUDGET, size=n), BUDGET)
    part = survival.reaching(np.minimum(steps, seen), steps <= seen, BUDGET)
    probability, mean, median = reach(failing)
    for name, told in (("", whole), (", a third of the runs unfinished", part)):
        known = told.probability is not None
        yield f"probability of reaching the threshold{name}", not known or covers(told.probability, probability)
        yield f"restricted mean of the steps to it{name}", not known or covers(told.restricted_mean, mean)
        yield f"median of the steps is above the true one{name}", told.median is None or told.median > median


_ADVANTAGES: dict[str, tuple[float, ...]] = {
    "of two arms, 2 deviations apart": (0.5, 0.76),
    "of 8 equal arms": (0.7,) * 8,
    "of 4 arms in steps of 0.02": (0.7, 0.72, 0.74, 0.76),
    "of 4 arms, one of them a deviation above": (0.7, 0.7, 0.7, 0.83),
}


def _grid(rng: np.random.Generator, lower: float, n: int, count: int) -> dict[float, dict[float, dict[int, float]]]:
    """Returns the scores of equal batch sizes at three rates, the middle one the best."""
    return {2**i: scores_by_rate(rng, lower, n) for i in range(count)}


def scores_by_rate(rng: np.random.Generator, lower: float, n: int) -> dict[float, dict[int, float]]:
    """Returns rate -> seed -> score of a batch size at three rates, the middle one the best."""
    at = zip(RATES, _levels(lower), strict=True)
    return {rate: dict(enumerate(rng.normal(level, SPREAD, size=n).tolist())) for rate, level in at}


def _levels(lower: float) -> tuple[float, float, float]:
    return (0.75 - lower, 0.75, 0.75 - lower)


@functools.cache
def expected_at_chosen_rates(lower: float, n: int) -> dict[str, float]:
    """Returns what scores at rates that other seeds chose come to on average."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(CHOSEN):
        scores = rng.normal(_levels(lower), SPREAD, size=(n, len(RATES)))
        crossed = np.sort(halves.choices(scores).weigh(scores))
        found.append((crossed.mean(), crossed[n // 4 : n - n // 4].mean(), (crossed > ABOVE).mean()))
    return dict(zip(("mean", "iqm", "above"), np.mean(found, axis=0).tolist(), strict=True))


@functools.cache
def _advantage(levels: tuple[float, ...], failing: float, n: int) -> float:
    """Returns how far the arm that half of the seeds choose lies above the first on average."""
    rng = np.random.default_rng(0)
    halves = np.stack([draw(rng, failing, (TRUTHS, n // 2), good=level).mean(axis=1) for level in levels])
    means = (1 - failing) * np.array(levels) + failing * LOW
    return float((means[halves.argmax(axis=0)] - means[0]).mean())


@functools.cache
def reach(failing: float) -> tuple[float, float, float]:
    """Returns the true probability, restricted mean and median of gamma-distributed steps, of which some are never."""
    steps = stats.gamma(4.0, scale=8_000.0)
    reached = float(steps.cdf(BUDGET))
    mean = float(steps.expect(lambda s: s, ub=BUDGET)) + (1 - reached) * BUDGET
    return (1 - failing) * reached, (1 - failing) * mean + failing * BUDGET, float(steps.ppf(0.5 / (1 - failing)))


def _worse(arms: dict[int, Estimate]) -> bool:
    return any(one.verdict == "worse" for one in best.compare_with_best(arms, DELTA).values())


def _against(arms: dict[int, Estimate]) -> bool:
    return any(one.verdict in ("better", "worse") for one in best.against_reference(arms, 0).values())
