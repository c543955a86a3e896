"""Stateless randomness: uniform, independent between seeds, purposes and counters."""

from __future__ import annotations

import numpy as np
from scipy import stats

from rlbatch.training.randomness import episode_seed, mix, stream_key


def uniforms(seed: int, purpose: str, count: int = 4000) -> np.ndarray:
    key = stream_key(seed, purpose)
    return np.array([mix(key, i) / 2**64 for i in range(count)])


def test_known_numbers_never_change() -> None:
    # SplitMix64 started at 0 gives these first outputs (Vigna's reference implementation)
    assert [mix(0, i) for i in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert episode_seed(0, "evaluation", 0) == 28049690


def test_numbers_are_uniform() -> None:
    for seed in range(5):
        assert stats.kstest(uniforms(seed, "a"), "uniform").pvalue > 1e-4


def test_streams_of_neighbouring_seeds_and_of_purposes_are_independent() -> None:
    pairs = [((0, "a"), (1, "a")), ((0, "a"), (0, "b")), ((7, "a"), (7, "a2"))]
    for one, two in pairs:
        correlation = np.corrcoef(uniforms(*one), uniforms(*two))[0, 1]
        assert abs(correlation) < 4 / np.sqrt(4000)


def test_neighbouring_counters_are_independent() -> None:
    draws = uniforms(3, "a")
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / np.sqrt(4000)


def test_episode_seeds_differ_and_fit_gymnasium() -> None:
    seeds = [episode_seed(s, "evaluation", i) for s in range(20) for i in range(210)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= s < 2**31 for s in seeds)
