"""What do other libraries say of the same numbers? Writes golden.json, with which test_golden.py compares.

They need versions of their own, so they get an environment of their own:

    python3 -m venv oracle
    oracle/bin/pip install "rliable==1.2.0" "pandas<3" statsmodels lifelines scikit-learn
    oracle/bin/python tests/analysis/golden.py
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time
from rliable import library, metrics
from sklearn.isotonic import IsotonicRegression
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

FILE = Path(__file__).with_name("golden.json")
LIBRARIES = ("rliable", "pandas", "statsmodels", "lifelines", "scikit-learn", "numpy", "scipy")
RESAMPLES = 50_000
TAUS = [0.0, 0.25, 0.5, 0.75, 1.0]


def main() -> None:
    rng = np.random.default_rng(20)
    scores = np.clip(rng.normal([0.9, 0.5, 0.7, 0.3, 0.8], [0.13, 0.2, 0.1, 0.05, 0.3], size=(10, 5)), -0.2, 1.1)
    scores[rng.random(scores.shape) < 0.1] = 0.05
    others = np.round(scores + rng.normal(0.05, 0.2, size=scores.shape), 1)
    found = {
        "versions": {name: version(name) for name in LIBRARIES},
        "scores": scores.T.tolist(),
        "others": others.T.tolist(),
        "aggregates": _aggregates(scores),
        "improvement": float(metrics.probability_of_improvement(scores, others)),
        "profile": _profile(scores),
        "welch": _welch(scores[:, 0], others[:7, 1]),
        "holm": _holm(rng.random(9) ** 3),
        "wilson": [
            [k, n, *proportion_confint(k, n, method="wilson")] for k, n in [(0, 10), (3, 10), (7, 20), (40, 40)]
        ],
        "survival": _survival(rng),
        "isotonic": _isotonic(rng),
    }
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _aggregates(scores: np.ndarray) -> dict[str, list[float]]:
    """Returns [point, low, high] of each aggregate; rliable draws from numpy's global generator."""
    functions = {
        "iqm": metrics.aggregate_iqm,
        "mean": metrics.aggregate_mean,
        "median": metrics.aggregate_median,
        "optimality_gap": metrics.aggregate_optimality_gap,
    }
    np.random.seed(0)  # noqa: NPY002
    points, ends = library.get_interval_estimates(
        {"arm": scores}, lambda x: np.array([f(x) for f in functions.values()]), reps=RESAMPLES
    )
    return {name: [float(points["arm"][i]), *map(float, ends["arm"][:, i])] for i, name in enumerate(functions)}


def _profile(scores: np.ndarray) -> dict[str, list[float]]:
    profiles, _ = library.create_performance_profile({"arm": scores}, np.array(TAUS), reps=100)
    return {"thresholds": TAUS, "share": profiles["arm"].tolist()}


def _welch(values: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    compared = CompareMeans(DescrStatsW(values), DescrStatsW(others))
    return {
        "values": values.tolist(),
        "others": others.tolist(),
        "p_value": float(compared.ttest_ind(usevar="unequal")[1]),
        "ends": [float(end) for end in compared.tconfint_diff(usevar="unequal")],
    }


def _holm(p_values: np.ndarray) -> dict[str, list[float]]:
    return {"raw": p_values.tolist(), "corrected": multipletests(p_values, method="holm")[1].tolist()}


def _survival(rng: np.random.Generator) -> dict[str, Any]:
    """Returns the curve and the restricted mean of runs that reach, never reach, or have not finished."""
    steps = np.round(rng.exponential(30_000, size=25), -3) + 1_000
    reached = rng.random(25) < 0.8
    late = steps > 50_000
    steps[late], reached[late] = 50_000, False
    steps[0], reached[0] = 50_000, False
    fitted = KaplanMeierFitter().fit(steps, reached)
    times = np.unique(steps[reached])
    mean, variance = restricted_mean_survival_time(fitted, t=50_000, return_variance=True)
    return {
        "steps": steps.tolist(),
        "reached": reached.tolist(),
        "times": times.tolist(),
        "share": (1 - fitted.survival_function_at_times(times)).tolist(),
        "median": float(fitted.median_survival_time_),
        "restricted_mean": float(mean),
        "variance": float(variance),
    }


def _isotonic(rng: np.random.Generator) -> dict[str, Any]:
    means = np.linspace(0, 500, 21) + rng.normal(0, 80, size=21)
    fit = IsotonicRegression().fit_transform(np.arange(21), means)
    return {"means": means.tolist(), "fit": fit.tolist(), "crossings": [int(np.argmax(fit >= t)) for t in (100, 250)]}


if __name__ == "__main__":
    main()
