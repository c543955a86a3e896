"""Stateless randomness: uniform, independent between seeds, purposes and counters, the same however it is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from rlbatch.training.randomness import (
    Stream,
    Words,
    episode_seed,
    integers,
    mix,
    normals,
    stream_key,
    uniforms,
    words,
)

LARGE = 1 << 18
RARE = 1e-5
"""The numbers never change, so a test that is passed once is passed for ever; this is for whoever changes them."""


def draw(seed: int, purpose: str = "a", count: int = LARGE, first: int = 0) -> Words:
    """The words of a stream at `count` counters from `first` on."""
    key = np.array([stream_key(seed, purpose)], dtype=np.uint64)
    return words(key, np.arange(first, first + count, dtype=np.uint64)[None, None])[0, 0]


def correlations(rows: np.ndarray) -> np.ndarray:
    """Every pair of different rows' correlation, in units of its standard deviation under independence."""
    found = np.corrcoef(rows) * np.sqrt(rows.shape[1])
    return np.abs(found[np.triu_indices(len(rows), 1)])


def bits(z: Words) -> np.ndarray:
    """Words (N,) as their bits (64, N)."""
    return ((z >> np.arange(64, dtype=np.uint64)[:, None]) & np.uint64(1)).astype(np.float64)


def test_known_numbers_never_change() -> None:
    # SplitMix64 started at 0 gives these first outputs (Vigna's reference implementation)
    assert [mix(0, i) for i in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert episode_seed(0, "evaluation", 0) == 28049690


def test_words_are_the_scalar_mix_of_keys_and_counters() -> None:
    keys = [0, 1, stream_key(3, "a"), (1 << 64) - 1]
    counters = np.array([[[0, 1, 7]], [[1 << 40, (1 << 64) - 2, 123_456_789]]], dtype=np.uint64)
    found = words(np.array(keys, dtype=np.uint64), counters)
    assert found.shape == (2, 4, 3)
    for s, r, n in np.ndindex(found.shape):
        assert int(found[s, r, n]) == mix(keys[r], int(counters[s, 0, n]))


def test_a_stream_counts_steps_times_numbers() -> None:
    drawn = Stream([5, 9], "a", 3, lambda z, _: z).at(11)
    assert drawn.tolist() == [[mix(stream_key(seed, "a"), 11 * 3 + j) for j in range(3)] for seed in (5, 9)]


@pytest.mark.parametrize(
    "of",
    [
        lambda z, _: z,
        lambda z, _: uniforms(z),
        lambda z, _: normals(z),
        lambda z, first: integers(z, np.arange(first + 1, first + 1 + len(z), dtype=np.uint64)[:, None, None]),
    ],
    ids=["words", "uniforms", "normals", "integers"],
)
def test_numbers_depend_neither_on_the_block_nor_on_the_order_of_steps(of: Callable[[Words, int], np.ndarray]) -> None:
    steps = [*range(40), 39, 7, 0, 1000, 999, 3, 8, 1001]
    once = [of(Stream([1, 2, 3], "a", 5, lambda z, _: z).words(step, 1), step)[0] for step in range(1002)]
    for block, order in itertools.product((1, 7, 31, 65536), (steps, steps[::-1])):
        stream = Stream([1, 2, 3], "a", 5, of, block=block)
        for step in order:
            assert np.array_equal(stream.at(step), once[step]), (block, step)


def test_normals_are_the_same_bits_one_by_one() -> None:
    z = draw(4, count=1000)
    together = normals(z)
    assert np.array_equal(together, [normals(z[i : i + 1])[0] for i in range(1000)])
    assert np.array_equal(together[3:778], normals(z[3:778]))


def test_a_run_that_takes_fewer_numbers_gets_the_same_as_alone() -> None:
    counts = [1, 16, 5]
    together = Stream([7, 8, 9], "a", counts, lambda z, _: z, block=100)
    for run, (seed, count) in enumerate(zip((7, 8, 9), counts, strict=True)):
        alone = Stream([seed], "a", count, lambda z, _: z)
        for step in (0, 1, 2, 50):
            assert np.array_equal(together.at(step)[run, :count], alone.at(step)[0])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("power", [1, 4, 8, 12])
def test_words_are_uniform_over_their_highest_and_lowest_bits(seed: int, power: int) -> None:
    z = draw(seed)
    for bins in (z >> np.uint64(64 - power), z & np.uint64((1 << power) - 1)):
        counts = np.bincount(bins.astype(np.int64), minlength=1 << power)
        assert RARE < stats.chisquare(counts).pvalue < 1 - RARE


def test_uniforms_are_uniform_below_one() -> None:
    for seed in range(5):
        assert stats.kstest(uniforms(draw(seed)), "uniform").pvalue > RARE
    extremes = uniforms(np.array([0, (1 << 64) - 1], dtype=np.uint64))
    assert extremes[0] == 0.0
    assert 1 - 2e-16 < extremes[1] < 1.0


def test_streams_of_neighbouring_seeds_and_of_purposes_are_independent() -> None:
    seeds = [(seed, "a") for seed in (*range(40), 2**32 - 2, 2**32 - 1)]
    purposes = [(7, name) for name in ("a2", "b", "replay", "actor noise", "target noise", "weights")]
    rows = np.array([uniforms(draw(*one, 8192)) for one in seeds + purposes])
    assert correlations(rows).max() < 5


def test_neighbouring_counters_are_independent() -> None:
    unit = uniforms(draw(3))
    rows = np.array([unit[lag : lag + LARGE - 64] for lag in (*range(33), 63, 64)])
    assert correlations(rows).max() < 5
    pairs = np.bincount((unit[:-1] * 32).astype(int) * 32 + (unit[1:] * 32).astype(int), minlength=1024)
    assert stats.chisquare(pairs).pvalue > RARE


@pytest.mark.parametrize("other", ["same word", "next counter", "next seed", "other purpose"])
def test_bits_are_independent(other: str) -> None:
    one = draw(11, count=16384)
    two = {
        "same word": one,
        "next counter": draw(11, count=16384, first=1),
        "next seed": draw(12, count=16384),
        "other purpose": draw(11, "b", count=16384),
    }[other]
    crossed = np.corrcoef(np.concatenate((bits(one), bits(two))))[:64, 64:] * np.sqrt(16384)
    if other == "same word":
        np.fill_diagonal(crossed, 0.0)
    assert np.abs(crossed).max() < 5.5


@pytest.mark.parametrize("bound", [1, 2, 3, 7, 1_000, 999_983, 2**31 + 1, 2**32 - 1, 2**32])
def test_integers_are_the_high_half_of_the_exact_product(bound: int) -> None:
    z = np.concatenate((draw(bound % 97, count=2000), np.array([0, 1, 2**32 - 1, 2**32, 2**64 - 1], np.uint64)))
    found = integers(z, np.uint64(bound))
    assert found.tolist() == [(int(word) * bound) >> 64 for word in z]
    assert found.max() == bound - 1


@pytest.mark.parametrize("bound", [2, 3, 10, 1000])
def test_integers_are_equally_likely(bound: int) -> None:
    counts = np.bincount(integers(draw(bound), np.uint64(bound)), minlength=bound)
    assert len(counts) == bound
    assert stats.chisquare(counts).pvalue > RARE


def test_large_bounds_are_not_biased() -> None:
    # taking the remainder of 32 bits would give the lowest third twice the chance of the others
    bound = 3 << 30
    thirds = np.bincount(integers(draw(1), np.uint64(bound)) // (1 << 30), minlength=3)
    assert stats.chisquare(thirds).pvalue > RARE


def test_normals_are_normal() -> None:
    for seed in range(3):
        drawn = normals(draw(seed)).astype(np.float64)
        assert abs(drawn.mean()) < 4 / np.sqrt(LARGE)
        assert abs(drawn.var() - 1) < 4 * np.sqrt(2 / LARGE)
        assert abs(stats.skew(drawn)) < 4 * np.sqrt(6 / LARGE)
        assert abs(stats.kurtosis(drawn)) < 4 * np.sqrt(24 / LARGE)
        assert stats.kstest(drawn, "norm").pvalue > RARE
        beyond = int((np.abs(drawn) > 3).sum())
        assert stats.binomtest(beyond, LARGE, 2 * stats.norm.sf(3)).pvalue > RARE


def test_neighbouring_normals_are_independent() -> None:
    drawn = normals(draw(2)).astype(np.float64)
    lagged = np.array([drawn[lag : lag + LARGE - 8] for lag in range(9)])
    assert correlations(lagged).max() < 5
    assert correlations(lagged**2).max() < 5


def test_normals_are_finite_at_the_ends_of_the_words() -> None:
    ends = normals(np.array([0, 2**32 - 1, (2**32 - 1) << 32, 2**64 - 1], np.uint64))
    assert np.isfinite(ends).all()
    assert np.abs(ends).max() < 6.8


def test_episode_seeds_differ_and_fit_gymnasium() -> None:
    seeds = [episode_seed(s, "evaluation", i) for s in range(20) for i in range(210)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= s < 2**31 for s in seeds)
