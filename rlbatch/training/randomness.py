"""Which random numbers does a run draw? Each a pure function of (run seed, purpose, counter), with no state to keep.

A key is the blake2b hash of seed and purpose; a number is a 64-bit mix of the key and a counter: the finaliser of
SplitMix64 (Steele, Lea and Flood 2014), two rounds of multiply and xor-shift. Purposes are separate streams.
`Stream` draws those of a whole stack for many steps ahead: a hash per step costs more than the step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Draw = Callable[[Words, int], Any]
"""Turns words (S, R, N) of S steps, and the number of the first, into what each step takes: (S, ...), or a list."""

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_BLOCK = 1 << 16
"""Words per block: 512 KiB, which stay in cache while they are mixed."""
_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def stream_key(seed: int, purpose: str) -> int:
    """Returns the 64-bit key of one purpose's stream in the run with this seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest(), "little")


def mix(key: int, counter: int) -> int:
    """Returns the 64-bit number at a position of a stream."""
    z = (key + (counter + 1) * _GAMMA) & _MASK
    z = ((z ^ (z >> 30)) * _FIRST) & _MASK
    z = ((z ^ (z >> 27)) * _SECOND) & _MASK
    return z ^ (z >> 31)


def episode_seed(seed: int, purpose: str, counter: int) -> int:
    """Returns a seed in [0, 2^31) for `env.reset(seed=...)` of one episode."""
    return mix(stream_key(seed, purpose), counter) >> 33


def words(keys: Words, counters: Words) -> Words:
    """Returns `mix` of every key with its counters.

    Args:
        keys: (R,) one per run.
        counters: (S, R or 1, N) positions in the streams.

    Returns:
        (S, R, N).
    """
    z = (counters + np.uint64(1)) * np.uint64(_GAMMA) + keys[:, None]
    z ^= z >> np.uint64(30)
    z *= np.uint64(_FIRST)
    z ^= z >> np.uint64(27)
    z *= np.uint64(_SECOND)
    z ^= z >> np.uint64(31)
    return z


def uniforms(z: Words) -> NDArray[np.float64]:
    """Returns numbers in [0, 1), multiples of 2^-53."""
    unit: NDArray[np.float64] = (z >> np.uint64(11)) * np.float64(2.0**-53)
    return unit


def integers(z: Words, bounds: Words | np.uint64) -> NDArray[np.int64]:
    """Returns integers in [0, bound), bounds up to 2^32: the high half of the 128-bit product z · bound.

    Multiply-shift (Lemire 2019): the chances of two integers differ by less than bound / 2^64.
    """
    carried = ((z & _LOW_HALF) * bounds) >> _HALF
    return (((z >> _HALF) * bounds + carried) >> _HALF).astype(np.int64)


def normals(z: Words) -> NDArray[np.float32]:
    """Returns standard normal numbers, one per word: Box and Muller (1958) on its two halves, within ±6.7."""
    radius = np.sqrt(-2.0 * np.log(((z >> _HALF) + 0.5) * 2.0**-32))
    angle = (z & _LOW_HALF) * (2.0 * np.pi * 2.0**-32)
    drawn: NDArray[np.float32] = (radius * np.cos(angle)).astype(np.float32)
    return drawn


class Stream:
    """One purpose's numbers for all runs of a stack, step after step, drawn in blocks of many steps.

    Args:
        seeds: (R,) of the runs.
        purpose: names the stream.
        counts: numbers that each run takes per step; the counter of a run's number j in step s is s · count + j.
        draw: turns the words of some steps into what they take.
        block: words per block.
    """

    def __init__(
        self, seeds: Sequence[int], purpose: str, counts: int | Sequence[int], draw: Draw, *, block: int = _BLOCK
    ) -> None:
        self._keys = np.array([stream_key(seed, purpose) for seed in seeds], dtype=np.uint64)
        own = np.full(len(seeds), counts) if isinstance(counts, int) else np.asarray(counts)
        self._counts = own.astype(np.uint64)
        self._width = int(own.max())
        self._draw = draw
        self._steps = max(1, block // (len(seeds) * self._width))
        self._first = 0
        self._drawn: Any = None

    def at(self, step: int) -> Any:
        """Returns what `draw` made for a step: (R, ...). Steps in order cost least."""
        if self._drawn is None or not self._first <= step < self._first + self._steps:
            self._first = step
            self._drawn = self._draw(self.words(step, self._steps), step)
        return self._drawn[step - self._first]

    def words(self, first: int, steps: int) -> Words:
        """Returns the words of some steps, (S, R, N); a run that takes fewer than N numbers has its first ones."""
        step = np.arange(first, first + steps, dtype=np.uint64)[:, None, None]
        counters = step * self._counts[:, None] + np.arange(self._width, dtype=np.uint64)
        return words(self._keys, np.asarray(counters, dtype=np.uint64))
