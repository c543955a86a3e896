"""What is a stack between two vector steps? Named arrays, the run axis first: any of its runs can be taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
"""Name -> array (R, ...)."""

Kind = TypeVar("Kind", "State", "Segment")


class State(NamedTuple):
    """All that R runs in training need to go on, but for their replays.

    Randomness needs nothing: every number follows from a run's seed and a counter.

    Attributes:
        run_ids: (R,).
        step: vector steps that were taken.
        arrays: (R, ...) each.
    """

    run_ids: tuple[str, ...]
    step: int
    arrays: Arrays


class Segment(NamedTuple):
    """What the replays of R runs stored in the vector steps first + 1 to last.

    Attributes:
        run_ids: (R,).
        first: vector steps before.
        last: vector steps after.
        arrays: (R, ...) each.
    """

    run_ids: tuple[str, ...]
    first: int
    last: int
    arrays: Arrays


def select(whole: Kind, run_ids: Sequence[str]) -> Kind:
    """Returns some of the runs, copied, in the order asked for; raises ValueError if one is not among them."""
    rows = [whole.run_ids.index(run_id) for run_id in run_ids]
    return whole._replace(run_ids=tuple(run_ids), arrays={name: array[rows] for name, array in whole.arrays.items()})


def named(part: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Returns the arrays of one part of a stack under names that say so."""
    return {f"{part}/{name}": array for name, array in arrays.items()}


def of_part(part: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Returns the arrays of one part of a stack under its own names."""
    return {name.removeprefix(f"{part}/"): array for name, array in arrays.items() if name.startswith(f"{part}/")}
