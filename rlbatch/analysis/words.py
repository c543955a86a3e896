"""How are batch sizes and designs called in a sentence?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def batches(sizes: Iterable[int]) -> str:
    """Returns batch sizes in their order: `batch 16, 64 and 256`."""
    named = [str(size) for size in sorted(sizes)]
    return "batch " + (named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}")


def percent(share: float) -> str:
    """Returns a share in per cent with as many digits as it has: `12.5%`."""
    return f"{100 * share:g}%"


def design_words(fixed: Mapping[str, Any]) -> str:
    """Returns what tells a slice from others, to be put after the environment: `, match samples`."""
    return "".join(f", {axis} {value}" for axis, value in fixed.items())
