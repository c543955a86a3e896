"""How often do the intervals cover, and the verdicts err? Measured on made-up scores, whose truth is known.

python tests/analysis/coverage.py              measures all, and writes results/statistics/README.md
python tests/analysis/coverage.py --repeats 50 a quick look, printed only
"""

from __future__ import annotations

import argparse
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from coverage_choices import (
    BUDGET,
    DELTA,
    GOOD,
    LOW,
    LOW_SPREAD,
    advantage,
    at_best_rates,
    covers,
    draw,
    reach,
    scores_at_best_rates,
    times,
    unseen_failures,
)
from coverage_effects import effects_at_best_rates, power_law
from coverage_front import critical_batch
from coverage_page import FAILING, HEADLINE, LEVELS, RESAMPLES, SEEDS, Cell, Kept, page, table

from rlbatch.analysis import across, best, rates, survival, trend
from rlbatch.analysis.improvement import probability_of_improvement
from rlbatch.analysis.intervals import Estimate, Floats, Interval, difference_of, mean_of, mean_over, wilson
from rlbatch.analysis.profiles import performance_profile

HOME = Path(__file__).parents[2] / "results" / "statistics"
REPEATS = 1_000
ENVIRONMENTS = np.array([[0.9, 0.13], [0.5, 0.2], [0.7, 0.1], [0.3, 0.05], [0.8, 0.25]])
"""Mean and deviation over seeds of runs that do not fail, in each of five environments."""
BATCHES = (16, 32, 64, 128, 256, 512)
EQUAL = (0.35, 0.7)
"""Shares of scores that are at the end of the scale."""

Part = Callable[[np.random.Generator, float, int], Iterator[tuple[str, bool]]]
"""From the draws, one of the part's levels (`LEVELS`) and the number of seeds: what happened in one repeat."""


def draw_all(rng: np.random.Generator, failing: float, n: int) -> list[Floats]:
    """Returns (n,) scores in each environment."""
    good = (rng.normal(mean, spread, size=n) for mean, spread in ENVIRONMENTS)
    return [np.where(rng.random(n) < failing, rng.normal(LOW, LOW_SPREAD, size=n), scores) for scores in good]


@functools.cache
def truths(failing: float) -> dict[str, float]:
    """Returns the true values, of means exactly, of the others from two million draws."""
    rng = np.random.default_rng(0)
    one = np.sort(draw(rng, failing, (2_000_000,)))
    several = draw_all(rng, failing, 400_000)
    pooled = np.sort(np.concatenate(several))
    means = (1 - failing) * ENVIRONMENTS[:, 0] + failing * LOW
    return {
        "mean": (1 - failing) * GOOD + failing * LOW,
        "iqm": float(one[500_000:1_500_000].mean()),
        "mean_over": float(means.mean()),
        "iqm_over": float(pooled[500_000:1_500_000].mean()),
        "median_over": float(np.median(means)),
        "gap_over": float(np.maximum(1 - pooled, 0).mean()),
        "profile": float((pooled > 0.5).mean()),
    }


@functools.cache
def iqm_at_an_end(share: float) -> float:
    """Returns the interquartile mean of scores of which a share is 1 and the others are anywhere from 0 to 1."""
    missing = 1 - share  # the scores at which the quarters end, and the mean between them
    low = min(0.25 / missing, 1.0)
    high = min(0.75 / missing, 1.0)
    return float((missing * (high**2 - low**2) / 2 + 0.75 - missing * high - max(0.25 - missing, 0.0)) / 0.5)


def one_environment(rng: np.random.Generator, failing: float, n: int) -> Iterator[tuple[str, bool]]:
    """Yields whether each interval covers, for one repeat."""
    true = truths(failing)
    x, y, sound = draw(rng, failing, (n,)), draw(rng, failing, (n,)), draw(rng, 0.0, (n,))
    yield "mean, Student's t", covers(mean_of(x).interval(), true["mean"])
    yield f"{HEADLINE}difference of two means, Welch's t", covers(difference_of(x, y).interval(), 0.0)
    yield (
        "the same, one arm without failing seeds",
        covers(difference_of(x, sound).interval(), true["mean"] - GOOD),
    )
    yield f"{HEADLINE}IQM, bootstrap-t", covers(_iqm(x, rng, "studentised"), true["iqm"])
    yield "IQM, percentile bootstrap, for comparison", covers(_iqm(x, rng, "percentile"), true["iqm"])
    yield f"{HEADLINE}probability of improvement, Newcombe", covers(probability_of_improvement([x], [y]), 0.5)
    if not failing:
        narrow, wide = rng.normal(0.5, 0.05, size=n), rng.normal(0.5, 0.25, size=n)
        told = probability_of_improvement([narrow], [wide])
        yield "the same, one arm scatters five times as much as the other", covers(told, 0.5)
        for share in EQUAL:
            ended = np.where(rng.random(n) < share, 1.0, rng.random(n))
            name = f"IQM, bootstrap-t, where {share:.0%} of the scores are 1, the others anywhere from 0 to 1"
            yield name, covers(_iqm(ended, rng, "studentised"), iqm_at_an_end(share))
    if failing:
        yield "share of failing seeds, Wilson", covers(wilson(int((x < 0.35).sum()), n), failing)
    slope = trend.slope({batch: mean_of(draw(rng, failing, (n,), good=0.02 * i)) for i, batch in enumerate(BATCHES)})
    yield f"{HEADLINE}slope per doubling, six batch sizes", covers(slope.interval(), 0.02 * (1 - failing))
    never = rng.random(n) < failing
    steps = np.where(never, np.inf, rng.gamma(4.0, 8_000.0, size=n))
    reached = steps <= BUDGET
    found = survival.reaching(np.minimum(steps, BUDGET), reached, BUDGET)
    probability, mean, _ = reach(failing)
    yield "probability of reaching the threshold, Wilson", covers(found.probability, probability)
    yield f"{HEADLINE}restricted mean of the steps to it", covers(found.restricted_mean, mean)


def several_environments(rng: np.random.Generator, failing: float, n: int) -> Iterator[tuple[str, bool]]:
    """Yields whether each interval over five environments covers, for one repeat."""
    true = truths(failing)
    x, y = draw_all(rng, failing, n), draw_all(rng, failing, n)
    found = across.aggregates(x, rng, resamples=RESAMPLES)
    yield f"{HEADLINE}IQM, stratified bootstrap-t", covers(found.iqm, true["iqm_over"])
    yield f"{HEADLINE}mean, stratified bootstrap-t", covers(found.mean, true["mean_over"])
    yield "mean, Welch's t", covers(mean_over(x).interval(), true["mean_over"])
    yield "median, stratified bootstrap-t", covers(found.median, true["median_over"])
    yield f"{HEADLINE}optimality gap, stratified bootstrap-t", covers(found.optimality_gap, true["gap_over"])
    yield f"{HEADLINE}probability of improvement", covers(probability_of_improvement(x, y), 0.5)
    profile = performance_profile(x, [0.5])
    yield (
        "performance profile at 0.5",
        covers(Interval(profile.share[0], profile.low[0], profile.high[0]), true["profile"]),
    )
    slopes = [
        trend.slope({batch: mean_of(draw(rng, failing, (n,), good=tilt * i)) for i, batch in enumerate(BATCHES)})
        for tilt in rng.normal(0.02, 0.02, size=5)
    ]
    yield (
        f"{HEADLINE}slope in environments like these",
        covers(trend.pool(slopes).alike.interval(), 0.02 * (1 - failing)),
    )


def verdicts(rng: np.random.Generator, failing: float, n: int) -> Iterator[tuple[str, bool]]:
    """Yields whether each verdict errs, for one repeat."""
    for count in (8, 24):
        scores = draw(rng, failing, (count, n))
        arms = dict(enumerate(map(mean_of, scores)))
        found = best.compare_with_best(arms, DELTA)
        yield f"any of {count} equal arms is called worse than the best", _any(found, "worse")
        against = best.against_reference(arms, 0)
        yield (
            f"any of {count} equal arms is called better or worse than the reference",
            any(one.verdict in ("better", "worse") for one in against.values()),
        )
        if count == 8:
            lower = {arm: mean._replace(value=mean.value - DELTA * (arm > 0)) for arm, mean in arms.items()}
            found = best.compare_with_best(lower, DELTA)
            del found[0]
            yield f"any of 7 arms {DELTA:g} below the best is called equivalent", _any(found, "equivalent")
    level = {batch: mean_of(draw(rng, failing, (n,), good=0.1 * min(i, 3))) for i, batch in enumerate(BATCHES)}
    yield "a rise that levels off is called a hump", _humped(level)
    yield "six equal arms are called a hump", _humped({b: mean_of(draw(rng, failing, (n,))) for b in BATCHES})


def chances(rng: np.random.Generator, failing: float, n: int) -> Iterator[tuple[str, bool]]:
    """Yields how often a verdict is reached that should be, and what naive choices do, for one repeat."""
    scores = draw(rng, failing, (8, n))
    found = best.compare_with_best(dict(enumerate(map(mean_of, scores))), DELTA)
    yield f"one of 8 equal arms is shown to be within {DELTA:g} of the best", found[0].verdict == "equivalent"
    frequency = best.selection_frequency(dict(enumerate(scores)), rng, resamples=200)
    yield "one of 8 equal arms is the best in less than 5 % of resamples", frequency[0] < 0.05
    scores[0] -= 0.3
    found = best.compare_with_best(dict(enumerate(map(mean_of, scores))), DELTA)
    yield "one of 8 arms, 0.3 below the others, is called worse", found[0].verdict == "worse"
    equal = {rate: dict(enumerate(draw(rng, failing, (n,)))) for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)}
    true = (1 - failing) * GOOD + failing * LOW
    yield "the best of five equal rates is scored too high: by its own seeds", max(_means(equal)) > true
    yield "the same, by seeds that did not choose it", rates.at_best_rate({64: equal})[64].scores.mean() > true


def measure(part: Part, level: float, n: int, repeats: int) -> Cell:
    """Returns how often each thing happens, at one of the part's levels and with a number of seeds."""
    rng = np.random.default_rng([n, int(100 * level)])
    happened: dict[str, int] = defaultdict(int)
    for _ in range(repeats):
        for name, did in part(rng, level, n):
            happened[name] += bool(did)
    return Cell(repeats, dict(happened))


PARTS: tuple[Part, ...] = (
    one_environment,
    several_environments,
    verdicts,
    chances,
    at_best_rates,
    scores_at_best_rates,
    effects_at_best_rates,
    advantage,
    unseen_failures,
    times,
    critical_batch,
    power_law,
)


def _iqm(scores: Floats, rng: np.random.Generator, method: str) -> Interval:
    return across.aggregates([scores], rng, method=method, resamples=RESAMPLES).iqm  # type: ignore[arg-type]


def _any(found: dict[int, best.Standing], verdict: str) -> bool:
    return any(standing.verdict == verdict for standing in found.values())


def _humped(arms: dict[int, Estimate]) -> bool:
    found = trend.hump(arms)
    return found is not None and found.p_value < 0.05


def _means(scores: dict[float, dict[int, float]]) -> list[float]:
    return [float(np.mean(list(arm.values()))) for arm in scores.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"of each measurement (default {REPEATS})")
    parser.add_argument("--part", choices=[part.__name__ for part in PARTS], action="append", help="measure this alone")
    parser.add_argument("--write", action="store_true", help="measure nothing, write the page from cases.json")
    options = parser.parse_args()
    kept = Kept(HOME / "cases.json")
    for part in () if options.write else PARTS:
        if options.part and part.__name__ not in options.part:
            continue
        levels = LEVELS.get(part.__name__, FAILING)
        for level in levels.values:
            for n in SEEDS:
                kept.put(part.__name__, level, n, measure(part, level, n, options.repeats))
        print(table(kept.parts[part.__name__], levels), flush=True)
    (HOME / "README.md").write_text(page(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
