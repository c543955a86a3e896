"""The statistics agree with other libraries: golden.json, made by golden.py, holds what those say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlbatch import curves
from rlbatch.analysis.across import aggregates
from rlbatch.analysis.best import holm
from rlbatch.analysis.improvement import probability_of_improvement
from rlbatch.analysis.intervals import difference_of, wilson
from rlbatch.analysis.profiles import performance_profile
from rlbatch.analysis.survival import kaplan_meier, reaching

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["iqm", "mean", "median", "optimality_gap"])
def test_aggregates_and_their_percentile_intervals_are_rliables(name: str) -> None:
    found = getattr(aggregates(GOLDEN["scores"], 1, method="percentile", resamples=20_000), name)
    estimate, *ends = GOLDEN["aggregates"][name]
    assert found.estimate == pytest.approx(estimate, rel=1e-12)
    # the error of a 2.5 % quantile from 20,000 draws is about a fortieth of the length of the interval
    assert found[1:] == pytest.approx(ends, abs=(ends[1] - ends[0]) / 25)


def test_the_probability_of_improvement_with_ties_is_rliables() -> None:
    found = probability_of_improvement(GOLDEN["scores"], GOLDEN["others"])
    assert found.estimate == pytest.approx(GOLDEN["improvement"], rel=1e-12)


def test_performance_profiles_are_rliables() -> None:
    golden = GOLDEN["profile"]
    assert performance_profile(GOLDEN["scores"], golden["thresholds"]).share == pytest.approx(golden["share"])


def test_welchs_test_and_interval_are_those_of_statsmodels() -> None:
    golden = GOLDEN["welch"]
    difference = difference_of(golden["values"], golden["others"])
    assert difference.p_value() == pytest.approx(golden["p_value"])
    assert difference.interval()[1:] == pytest.approx(golden["ends"])


def test_holms_correction_is_that_of_statsmodels() -> None:
    assert holm(GOLDEN["holm"]["raw"]) == pytest.approx(GOLDEN["holm"]["corrected"])


@pytest.mark.parametrize(("successes", "trials", "low", "high"), GOLDEN["wilson"])
def test_wilsons_interval_is_that_of_statsmodels(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials)[1:] == pytest.approx((low, high), abs=1e-12)


def test_kaplan_meier_and_the_restricted_mean_are_those_of_lifelines() -> None:
    golden = GOLDEN["survival"]
    curve = kaplan_meier(golden["steps"], golden["reached"])
    assert curve.amounts.tolist() == golden["times"]
    assert curve.reached == pytest.approx(np.array(golden["share"]))
    found = reaching(golden["steps"], golden["reached"], 50_000)
    assert found.median == golden["median"]
    assert found.restricted_mean is not None
    assert found.restricted_mean.estimate == pytest.approx(golden["restricted_mean"])


def test_the_isotonic_fit_behind_steps_to_threshold_crosses_where_that_of_scikit_learn_does() -> None:
    golden = GOLDEN["isotonic"]
    steps = np.arange(21.0)
    for threshold, crossing in zip((100.0, 250.0), golden["crossings"], strict=True):
        assert curves.steps_to_threshold(steps, np.array(golden["means"]), threshold) == crossing
