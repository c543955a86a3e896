"""Which arms are the best, and which are only not shown to be worse? Verdicts that hold for all arms at once.

Against a declared reference: Welch's test for each other arm, with Holm's correction over those tests (Holm 1979,
Scand. J. Stat. 6:65). Nobody chose the reference by its score.

Against the best, which the scores themselves name: simultaneous bounds on how far each arm's mean lies from the best of
the others, after Hsu's multiple comparison with the best (Hsu 1984, Ann. Stat. 12:1136; Hsu 1996, Multiple Comparisons,
ch. 4). The lower bounds, which show an arm to be *equivalent*, are Hsu's: every arm in turn is the control of one-sided
comparisons with all others; only those with the truly best arm need to hold together. Hsu's upper bounds say of an arm
only that it is not the *only* best: of many equal arms they mostly leave out one or another. So the upper bounds, which
show an arm to be *worse*, hold for all pairs (Tukey's range).

Seeds that fail make variances unequal, so nothing is pooled: every difference has its own Welch error and degrees of
freedom. Critical values are those of normal means of known variance, carried over to each difference's t distribution
at equal probability. Comparisons with one control share its mean, with correlation λi·λj, λi² = vc / (vc + vi), v a
squared standard error (after Hasler & Hothorn 2008, Biom. J. 50:793); for all pairs the range of equal variances is
taken, which is on the safe side (Hayter 1984, Ann. Stat. 12:61).
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rlbatch.analysis.intervals import CONFIDENCE, MIN_SEEDS, Estimate, Floats, Interval, combine, sample_of

Key = TypeVar("Key", bound=Hashable)
Verdict = Literal["worse", "equivalent", "undecided"]
Outcome = Literal["better", "worse", "no difference shown", "too few seeds"]

_NODES = np.linspace(-5.6, 5.6, 33)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()
_LOADING = 0.95
"""The largest correlation with the control that the integral resolves; to take it for a larger one is safe."""


class AgainstReference(NamedTuple):
    """One arm against the reference.

    Attributes:
        difference: the arm's mean minus the reference's, with the interval of this comparison alone.
        p_value: two-sided, corrected for the number of arms that are compared.
        verdict: "too few seeds" under `MIN_SEEDS` in either arm.
    """

    difference: Interval
    p_value: float
    verdict: Outcome


class Standing(NamedTuple):
    """One arm against the best of the others.

    Attributes:
        mean: of its scores.
        gap: its mean minus the highest of the other arms' means, with bounds on the true gap that hold for all arms
            together; `low` is at most 0 and `high` at least 0.
        verdict: "equivalent": it is at most delta below the best, by its lower bound. "worse": it is not the best, by
            its upper bound, and not equivalent. "undecided": neither is shown.
    """

    mean: float
    gap: Interval
    verdict: Verdict


def against_reference(
    arms: Mapping[Key, Estimate], reference: Key, *, confidence: float = CONFIDENCE
) -> dict[Key, AgainstReference]:
    """Returns how every other arm compares with the reference.

    Args:
        arms: name -> mean score.
        reference: one of the names.
        confidence: of each interval; 1 − confidence is the probability of any false "better" or "worse".

    Raises:
        ValueError: the reference is no arm.
    """
    if reference not in arms:
        raise ValueError(f"the reference {reference} is not among the arms: {', '.join(map(str, arms))}")
    others = {arm: combine([mean, arms[reference]], [1, -1]) for arm, mean in arms.items() if arm != reference}
    enough = [arm for arm, found in others.items() if found.seeds >= MIN_SEEDS]
    corrected = dict(zip(enough, holm([others[arm].p_value() for arm in enough]), strict=True))
    return {
        arm: AgainstReference(
            found.interval(confidence), corrected.get(arm, 1.0), _against(found, corrected.get(arm), 1 - confidence)
        )
        for arm, found in others.items()
    }


def holm(p_values: ArrayLike) -> list[float]:
    """Returns p-values (K,) corrected for their number, in the same order (Holm 1979)."""
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    steps = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    corrected = np.empty_like(raw)
    corrected[order] = np.minimum(steps, 1.0)
    return [float(p) for p in corrected]


def compare_with_best(
    arms: Mapping[Key, Estimate], delta: float, *, confidence: float = CONFIDENCE
) -> dict[Key, Standing]:
    """Returns for every arm how far below the best it may be, and its verdict.

    An arm of fewer than `MIN_SEEDS` seeds may be anything: it is undecided, and while it is there no other arm is shown
    to be equivalent to the best.

    Args:
        arms: name -> mean score, higher is better; at least two.
        delta: the largest difference that does not matter, above 0, in the unit of the scores.
        confidence: of all lower bounds together, and of all upper bounds together. 1 − confidence is the largest
            probability that any of the truly best arms, of which there may be many, is called worse, and the largest
            one that any arm more than delta below the best is called equivalent.

    Raises:
        ValueError: there are fewer than two arms, or delta is not above zero.
    """
    if len(arms) < 2 or not delta > 0:
        raise ValueError(
            f"the best is sought among two arms or more and within a delta above 0, not {len(arms)}, {delta}"
        )
    means = np.array([mean.value for mean in arms.values()])
    low, high = _bounds(means, *_errors(arms), confidence)
    found = {}
    for i, arm in enumerate(arms):
        gap = Interval(float(means[i] - np.delete(means, i).max()), min(0.0, low[i]), max(0.0, high[i]))
        verdict: Verdict = "equivalent" if low[i] > -delta else "worse" if high[i] < 0 else "undecided"
        found[arm] = Standing(float(means[i]), gap, verdict)
    return found


def indifference_set(standings: Mapping[Key, Standing]) -> list[Key]:
    """Returns the arms that are shown to be as good as the best, within delta."""
    return [arm for arm, standing in standings.items() if standing.verdict == "equivalent"]


def not_worse(arms: Mapping[Key, Estimate], *, confidence: float = CONFIDENCE) -> list[Key]:
    """Returns the arms that are not shown to be worse than the best, by how small a difference whatsoever.

    Args:
        arms: name -> mean score, higher is better.
        confidence: of all bounds together.
    """
    if len(arms) < 2:
        return list(arms)
    means = np.array([mean.value for mean in arms.values()])
    _, high = _bounds(means, *_errors(arms), confidence)
    return [arm for arm, bound in zip(arms, high, strict=True) if bound >= 0]


def selection_frequency(
    arms: Mapping[Key, ArrayLike],
    seed: int | np.random.Generator,
    *,
    resampled: Mapping[Key, Floats] | None = None,
    resamples: int = 4_000,
) -> dict[Key, float]:
    """Returns how often each arm has the highest mean when its seeds are drawn anew with replacement.

    This describes how far the choice depends on the seeds that happened. It is no probability of being best and no
    test: one of eight equally good arms often has less than a twentieth.

    Args:
        arms: name -> scores (n,); the counts may differ.
        seed: of the draws, or a generator.
        resampled: name -> (B, n) scores that were drawn anew already, for arms whose scores are not independent.
        resamples: number of draws.
    """
    rng, given = np.random.default_rng(seed), resampled or {}
    means = np.empty((len(arms), resamples))
    for row, (arm, scores) in zip(means, arms.items(), strict=True):
        values = sample_of(scores, str(arm))
        if len(given.get(arm, ())):
            row[:] = given[arm].mean(axis=1)[rng.integers(len(given[arm]), size=resamples)]
        else:
            row[:] = values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
    highest = np.isclose(means, means.max(axis=0), rtol=1e-12, atol=0)
    shares = (highest / highest.sum(axis=0)).mean(axis=1)
    return dict(zip(arms, shares.tolist(), strict=True))


def critical_values(loadings: Floats, confidence: float) -> Floats:
    """Returns the point c that the largest of correlated standard normal variables stays below with this probability.

    The variables of a row are λj·U + √(1 − λj²)·Ej with U and all Ej independent, so that the probability is the
    integral of Π Φ((c − λj·u) / √(1 − λj²)) over the density of u (Dunnett 1955, JASA 50:1096).

    Args:
        loadings: (K, m) of λj in [0, 1].
        confidence: above 0.5.

    Returns:
        (K,), between the point for one variable and that of independent ones.
    """
    shared = np.minimum(loadings, _LOADING)[:, None, :]
    own = np.sqrt(1 - shared**2)
    target = special.ndtri(confidence)

    def excess(points: Floats) -> Floats:
        inside = special.ndtr((points[:, None, None] - shared * _NODES[:, None]) / own).prod(axis=2)
        return np.asarray(special.ndtri(inside @ _WEIGHTS) - target)

    # on the normal scale the probability is nearly a straight line, so few secant steps suffice
    old = np.full(len(loadings), target)
    new = np.full(len(loadings), special.ndtri(confidence ** (1 / loadings.shape[1])))
    before, now = excess(old), excess(new)
    for _ in range(20):
        moving = np.abs(now) > 1e-6
        slope = np.where(moving & (now != before), now - before, 1.0)
        old, before, new = new, now, np.where(moving, new - now * (new - old) / slope, new)
        if not moving.any():
            break
        now = excess(new)
    return new


@functools.cache
def range_point(count: int, confidence: float) -> float:
    """Returns the point that all differences of independent normal means, over their errors, stay below together.

    That is the quantile of the range of `count` standard normal variables, over √2: Tukey's with known variances.
    """

    def inside(point: float) -> float:
        # one of them is the highest, and the others lie below it by less than √2·point
        between = special.ndtr(_NODES) - special.ndtr(_NODES - np.sqrt(2) * point)
        return count * float(between ** (count - 1) @ _WEIGHTS)

    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < confidence else (low, middle)
    return high


def _against(difference: Estimate, corrected: float | None, level: float) -> Outcome:
    if corrected is None:
        return "too few seeds"
    if corrected > level:
        return "no difference shown"
    return "better" if difference.value > 0 else "worse"


def _errors(arms: Mapping[Key, Estimate]) -> tuple[Floats, Floats]:
    """Returns each arm's squared standard error (K,), infinite under `MIN_SEEDS` seeds, and its degrees of freedom."""
    known = [mean.seeds >= MIN_SEEDS for mean in arms.values()]
    squares = [mean.error**2 if is_known else np.inf for mean, is_known in zip(arms.values(), known, strict=True)]
    return np.array(squares), np.array([mean.freedom for mean in arms.values()])


def _bounds(means: Floats, squares: Floats, freedom: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Returns unconstrained bounds (K,) and (K,) on each mean minus the highest of the other means.

    Args:
        means: (K,).
        squares: (K,) squared standard errors.
        freedom: (K,) their degrees of freedom.
        confidence: of all lower bounds together, and of all upper bounds together.
    """
    K = len(means)
    differences = means[:, None] - means
    others = ~np.eye(K, dtype=bool)
    total = squares[:, None] + squares
    safe = np.where(np.isfinite(total) & (total > 0), total, 1.0)
    with np.errstate(invalid="ignore"):
        loadings = np.where(safe == total, np.sqrt(squares[:, None] / safe), 0.0)[others].reshape(K, K - 1)
    controls = _margins(squares, freedom, critical_values(loadings, confidence)[:, None])
    pairs = _margins(squares, freedom, np.full((K, 1), range_point(K, confidence)))
    candidates: NDArray[np.bool_] = np.where(others, differences + controls, np.inf).min(axis=1) >= 0
    low = np.where(others & candidates, differences - controls.T, np.inf).min(axis=1)
    return low, np.where(others, differences + pairs, np.inf).min(axis=1)


def _margins(squares: Floats, freedom: Floats, points: Floats) -> Floats:
    """Returns (K, K) how far a difference of means may lie from the truth, where a row's normal one may by `points`."""
    total = squares[:, None] + squares
    known = np.isfinite(total) & (total > 0)
    safe = np.where(known, total, 1.0)
    spread = np.where(known, squares[:, None] ** 2 / freedom[:, None] + squares**2 / freedom, 1.0)
    quantiles = special.stdtrit(np.where(known, safe**2 / spread, 1.0), special.ndtr(points))
    return np.where(known, quantiles * np.sqrt(safe), np.where(np.isinf(total), np.inf, 0.0))
