"""The front: a known critical batch size is found, with an interval; and where it cannot be told, that is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlbatch.analysis.front import Front, front_of

SIZES = (8, 16, 32, 64, 128, 256, 512)


def cells(
    critical: float, *, spread: float = 0.1, seeds: int = 10, sizes: tuple[int, ...] = SIZES, seed: int = 0
) -> dict[tuple[int, float], np.ndarray]:
    """Updates to a mark, S = 1000 (1 + critical / B), at a good rate; at a bad one three times as many."""
    rng = np.random.default_rng(seed)
    return {
        (size, rate): 1000 * slower * (1 + critical / size) * np.exp(rng.normal(0, spread, seeds))
        for size in sizes
        for rate, slower in ((1e-3, 1.0), (1e-2, 3.0))
    }


def front(
    own: dict[tuple[int, float], np.ndarray], *, evaluations: int = 41, rule: bool = False, **known: Any
) -> Front:
    return front_of(own, evaluations=evaluations, rule=rule, **known)


def test_without_noise_the_critical_batch_is_that_of_the_hyperbola() -> None:
    told = front(cells(100.0, spread=0.0))
    assert told.fit is not None
    assert told.fit.critical == pytest.approx(100.0, rel=0.03)
    assert told.fit.updates_min == pytest.approx(1000.0, rel=0.02)
    assert told.fit.samples_min == pytest.approx(100_000.0, rel=0.03)
    assert told.fit.misfit < 0.01
    assert told.learning_rates.tolist() == [1e-3] * 7
    assert told.samples.tolist() == (told.updates * told.batch_sizes).tolist()
    # on the fitted front (S/S_min − 1)(E/E_min − 1) = 1
    excess = (told.updates / told.fit.updates_min - 1) * (told.samples / told.fit.samples_min - 1)
    assert excess == pytest.approx(np.ones(7), rel=0.2)


@pytest.mark.parametrize("critical", [20.0, 100.0, 400.0])
def test_the_interval_holds_a_known_critical_batch(critical: float) -> None:
    told = [front(cells(critical, spread=0.3, seed=seed)).fit for seed in range(12)]
    assert all(fit is not None for fit in told)
    assert sum(fit.low <= critical <= fit.high for fit in told if fit is not None) >= 10
    widths = [fit.high / fit.low for fit in told if fit is not None and fit.low > 0]
    assert widths and np.median(widths) < 6


def test_a_rate_at_which_nothing_is_fast_does_not_matter() -> None:
    own = cells(100.0)
    slow = {cell: np.full(10, 20_000.0) for cell in own if cell[1] == 1e-2}
    fit = front(own | slow).fit
    assert fit is not None
    assert fit.low <= 100.0 <= fit.high


def test_the_same_seed_gives_the_same_interval() -> None:
    own = cells(100.0, spread=0.3)
    assert front(own).fit == front(own).fit


def test_sizes_that_most_runs_do_not_get_through_with_are_beyond_and_named() -> None:
    own = cells(100.0)
    own = {
        cell: np.where(np.arange(10) < 6, np.inf, values) if cell[0] == 8 else values for cell, values in own.items()
    }
    told = front(own)
    assert told.beyond == (8,)
    assert told.batch_sizes.tolist() == list(SIZES[1:])
    assert told.fit is not None
    assert told.fit.critical == pytest.approx(100.0, rel=0.3)


def test_sizes_that_half_of_the_runs_get_through_with_are_not_beyond() -> None:
    own = {
        cell: np.where(np.arange(10) < 5, np.inf, values) if cell[0] == 8 else values
        for cell, values in cells(100.0).items()
    }
    told = front(own)
    assert told.beyond == ()
    assert told.updates[0] in own[8, told.learning_rates[0]]


def test_a_run_that_never_arrives_counts_and_does_not_vanish() -> None:
    own = {cell: values.copy() for cell, values in cells(100.0).items()}
    for values in own.values():
        values[:4] = np.inf
    few = front(own)
    assert few.beyond == ()
    assert (few.updates > front(cells(100.0)).updates).all()


@pytest.mark.parametrize(
    ("own", "known", "reason"),
    [
        (cells(100.0, sizes=SIZES[:4]), {}, "4 batch sizes reach the mark, 5 are needed"),
        (cells(100.0), {"evaluations": 21}, "21 evaluations"),
        ({cell: values for cell, values in cells(100.0).items() if cell[1] == 1e-3}, {}, "a rate axis or a rule"),
        (cells(100.0, seeds=1), {}, "needs 5 seeds"),
        (cells(0.0, spread=0.0), {}, "no bend"),
        (cells(1e9, spread=0.0), {}, "no bend"),
        ({cell: np.full(5, np.nan) for cell in cells(1.0)}, {}, "some runs of batch 8, 16, 32"),
        (cells(100.0), {"lacking": {64}}, "some runs of batch 64 are missing or not finished"),
        ({cell: values * (cell[0] > 8) for cell, values in cells(1.0).items()}, {}, "before the first update"),
    ],
)
def test_where_it_cannot_be_told_the_reason_is(
    own: dict[tuple[int, float], np.ndarray], known: dict[str, Any], reason: str
) -> None:
    told = front(own, **known)
    assert told.fit is None
    assert reason in told.reason


@pytest.mark.parametrize("first", [1e-3, 1e-2])
def test_a_batch_size_with_runs_that_still_train_is_not_finished_and_not_beyond(first: float) -> None:
    own = cells(100.0, seeds=6)
    own[64, first][4:] = np.nan  # four have reached the mark, two may still
    told = front(own)
    assert (told.unfinished, told.beyond, told.fit) == ((64,), (), None)
    assert told.batch_sizes.tolist() == [size for size in SIZES if size != 64]
    assert told.reason == "some runs of batch 64 are missing or not finished"


def test_a_resample_without_an_update_does_no_harm() -> None:
    own = cells(100.0)
    own[512, 1e-3][:4] = 0.0
    assert front(own).fit is not None


def test_a_rule_stands_for_the_rate_axis() -> None:
    own = {cell: values for cell, values in cells(100.0).items() if cell[1] == 1e-3}
    assert front(own, rule=True).fit is not None
