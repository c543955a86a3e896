"""To how many rows and numbers is a run's part padded, so that its bits do not depend on its company?"""

from __future__ import annotations

LANES = 16
"""float32 numbers in 64 bytes. Rows of a batch and of parameters are padded to multiples of it."""


def padded(count: int) -> int:
    """Returns the next multiple of 16."""
    return -(-count // LANES) * LANES


def padded_rows(count: int, activation: str) -> int:
    """Returns to how many rows a run's part of a batch is padded: a multiple of 16.

    elu, gelu and silu have other bits in a vector than in the remainder of a loop, and loops take up to 32 numbers at
    once: with a multiple of 32 rows there is no remainder in any run's part.
    """
    lanes = LANES if activation in ("relu", "tanh") else 2 * LANES
    return -(-count // lanes) * lanes
