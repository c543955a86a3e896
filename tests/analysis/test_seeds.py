"""How many more seeds: against the power of the test, and by the half length of the bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlbatch.analysis.best import compare_with_best
from rlbatch.analysis.intervals import mean_of
from rlbatch.analysis.seeds import deviation_of, seeds_to_decide, seeds_to_find
from rlbatch.power import seeds_needed


def test_seeds_are_those_of_the_test_and_no_fewer_than_it_takes_to_call_anything() -> None:
    # both variances are 1 (−1, 0, 1)
    assert seeds_to_find(mean_of([-1.0, 0.0, 1.0]), mean_of([4.0, 5.0, 6.0]), 0.5) == seeds_needed(1.0, 0.5)
    assert seeds_to_find(mean_of([-1.0, 0.0, 1.0]), mean_of([4.0, 5.0, 6.0]), 50.0) == 5
    corrected = seeds_to_find(mean_of([-1.0, 0.0, 1.0]), mean_of([4.0, 5.0, 6.0]), 0.5, 7)
    assert corrected == seeds_needed(1.0, 0.5, 7) > seeds_needed(1.0, 0.5)


def test_unequal_deviations_count_by_their_mean_variance() -> None:
    assert seeds_to_find(mean_of([-1.0, 0.0, 1.0]), mean_of([0.0, 0.0, 0.0]), 0.5) == seeds_needed(math.sqrt(0.5), 0.5)


def test_one_seed_has_no_deviation() -> None:
    assert seeds_to_find(mean_of([1.0]), mean_of([1.0, 2.0]), 0.1) is None


def test_equal_scores_need_the_fewest() -> None:
    assert seeds_to_find(mean_of([5.0, 5.0]), mean_of([5.0, 5.0, 5.0]), 0.1) == 5


@pytest.mark.parametrize(("delta", "seeds"), [(0.10, 21), (0.05, 76), (0.02, 465)])
def test_fewer_seeds_than_these_cannot_decide_among_eight_arms(delta: float, seeds: int) -> None:
    assert seeds_to_decide(0.13, 8, delta, power=None) == seeds


def test_equal_arms_are_shown_to_be_equivalent_as_often_as_promised() -> None:
    rng, repeats = np.random.default_rng(0), 400
    seeds, shown = seeds_to_decide(0.13, 8, 0.1), 0
    for _ in range(repeats):
        found = compare_with_best(dict(enumerate(map(mean_of, rng.normal(0.8, 0.13, size=(8, seeds))))), 0.1)
        shown += found[0].verdict == "equivalent"
    assert seeds == 56
    assert shown / repeats == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / repeats))


def test_with_that_many_seeds_equal_means_are_equivalent_and_with_one_less_undecided() -> None:
    seeds = seeds_to_decide(0.13, 4, 0.1, power=None)
    for count, verdict in ((seeds, "equivalent"), (seeds - 1, "undecided")):
        scores = np.linspace(-1, 1, count)
        scores *= 0.13 / scores.std(ddof=1)
        found = compare_with_best({batch: mean_of(scores) for batch in (8, 16, 32, 64)}, 0.1)
        assert {standing.verdict for standing in found.values()} == {verdict}


@pytest.mark.parametrize(("arms", "delta"), [(1, 0.1), (8, 0.0)])
def test_a_decision_among_one_arm_or_within_nothing_is_refused(arms: int, delta: float) -> None:
    with pytest.raises(ValueError, match="two arms or more and a delta above 0"):
        seeds_to_decide(0.13, arms, delta)


def test_an_error_beyond_that_of_the_scores_asks_for_seeds_to_find() -> None:
    mean = mean_of([-1.0, 0.0, 1.0])
    assert deviation_of([mean, mean]) == pytest.approx(1.0)
    longer = mean._replace(error=2 * mean.error)
    assert seeds_to_find(longer, longer, 0.5) == seeds_needed(2.0, 0.5)
    assert deviation_of([mean, mean._replace(error=math.inf)]) is None
