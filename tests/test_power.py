"""What seeds can tell: the formulas against the exact test and against simulated comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rlbatch.environments import listed
from rlbatch.power import ALPHA, POWER, detectable_difference, power_of, seeds_needed, smallest_margin


@pytest.mark.parametrize("seeds", [3, 5, 10, 40])
def test_the_difference_is_found_with_the_promised_probability(seeds: int) -> None:
    freedom, shift = 2 * seeds - 2, detectable_difference(1.0, seeds) * math.sqrt(seeds / 2)
    critical = stats.t.ppf(1 - ALPHA / 2, freedom)
    exact = stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift)
    assert exact == pytest.approx(POWER, abs=0.05 if seeds < 5 else 0.02)


@pytest.mark.parametrize("seeds", [5, 10, 40])
def test_equal_arms_are_shown_to_be_equivalent_within_the_margin_as_often_as_promised(seeds: int) -> None:
    draws = np.random.default_rng(1).normal(size=(2, 20_000, seeds))
    difference = draws[0].mean(axis=1) - draws[1].mean(axis=1)
    error = np.sqrt(draws.var(axis=2, ddof=1).mean(axis=0) * 2 / seeds)
    half = stats.t.ppf(1 - ALPHA, 2 * seeds - 2) * error
    shown = (np.abs(difference) + half < smallest_margin(1.0, seeds)).mean()
    assert shown == pytest.approx(POWER, abs=0.05 if seeds < 10 else 0.02)


def test_cartpole_needs_26_seeds_for_a_tenth_of_its_range() -> None:
    power = power_of("CartPole-v1", 26)
    assert power is not None
    assert power.difference == pytest.approx(0.10, abs=0.003)  # by hand: 15.7 sd²/Δ² = 26 at sd 61, Δ 47.8


def test_more_seeds_tell_more_and_the_deviation_scales() -> None:
    assert detectable_difference(1.0, 40) < detectable_difference(1.0, 10)
    assert smallest_margin(2.0, 10) == pytest.approx(2 * smallest_margin(1.0, 10))


@pytest.mark.parametrize("difference", [0.02, 0.1, 0.5, 3.0])
def test_the_seeds_needed_are_the_fewest_that_find_the_difference(difference: float) -> None:
    seeds = seeds_needed(0.13, difference)
    assert detectable_difference(0.13, seeds) <= difference
    assert seeds == 2 or detectable_difference(0.13, seeds - 1) > difference


def test_a_difference_of_nothing_needs_more_seeds_than_there_are() -> None:
    with pytest.raises(ValueError, match="difference: 0 is not above zero"):
        seeds_needed(0.13, 0.0)
    assert seeds_needed(0.0, 0.1) == 2


def test_nothing_is_told_of_one_seed_or_of_an_environment_without_a_deviation() -> None:
    assert power_of("CartPole-v1", 1) is None
    assert power_of("Swimmer-v5", 10) is None
    assert power_of("Nowhere-v0", 10) is None
    assert listed()["Swimmer-v5"].auc_sd is None
