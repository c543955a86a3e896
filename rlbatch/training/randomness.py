"""Which random numbers does a run draw? Each a pure function of (run seed, purpose, counter), with no state to keep.

A key is the blake2b hash of seed and purpose; a number is a 64-bit mix of the key and a counter: the finaliser of
SplitMix64 (Steele, Lea and Flood 2014), two rounds of multiply and xor-shift. Purposes are separate streams.
"""

from __future__ import annotations

import hashlib

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


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
