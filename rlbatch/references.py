"""Where does the score scale of an environment begin? At the return of random play, listed or measured.

`environments.yaml` lists it for known environments. For others `references.json`, beside the runs of an experiment,
keeps what 100 episodes of uniformly random actions brought when the experiment was trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlbatch.env_ids import bare_id
from rlbatch.environments import listed
from rlbatch.errors import InputError
from rlbatch.wallclock import Entry, read_entries

EPISODES = 100
"""Random episodes of an environment that is not listed."""

_NUMBERS = ("random_mean", "random_n")


def read_references(path: Path) -> list[Entry]:
    """Returns the entries of a references.json; none where there is no such file.

    `random_mean`, `random_se` and `random_n` mean what they mean in `environments.yaml`: the mean undiscounted return
    of an episode, its standard error (null for a single episode), and how many episodes there were.

    Raises:
        InputError: it cannot be read, or an entry lacks something.
        RefusedError: it has another schema.
    """
    entries = read_entries(path, ("env_id", "env_kwargs", "random_se", *_NUMBERS), _NUMBERS)
    for number, entry in enumerate(entries):
        error, count = entry["random_se"], entry["random_n"]
        known = isinstance(error, int | float) and math.isfinite(error) and error >= 0
        if count < 1 or not (known or error is None):
            raise InputError(f"{path}: entry {number}", f"random_se is {error!r} of {count!r} episodes", "take it out")
    return entries


def is_listed(env_id: str, env_kwargs: Mapping[str, Any]) -> bool:
    """Tells whether `environments.yaml` has the scores of an environment: without arguments, which may change them."""
    return not env_kwargs and bare_id(env_id) in listed()


def low_of(env_id: str, env_kwargs: Mapping[str, Any], measured: Iterable[Entry]) -> float | None:
    """Returns the return at which an environment's normalised scale is 0, or None where it is not known.

    Args:
        env_id: as the run has it.
        env_kwargs: as the run has them.
        measured: from `read_references`.
    """
    if is_listed(env_id, env_kwargs):
        return listed()[bare_id(env_id)].low
    entry = entry_of(env_id, env_kwargs, measured)
    return None if entry is None else float(entry["random_mean"])


def entry_of(env_id: str, env_kwargs: Mapping[str, Any], measured: Iterable[Entry]) -> Entry | None:
    """Returns what was measured of an environment, the last of several entries, or None."""
    found = [entry for entry in measured if (entry["env_id"], entry["env_kwargs"]) == (env_id, dict(env_kwargs))]
    return found[-1] if found else None
