"""Where does a run lie below its experiment, and what does that path tell of it?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from rlbatch.config import RunConfig

_RUN = re.compile(r"(?P<arm>([^/]+)/(dqn|sac)/b(\d+)-lr([^/]+)-[0-9a-f]{8})/s(\d+)")


class PathFacts(NamedTuple):
    """What the path of a run tells without its settings.

    Attributes:
        arm: the part that runs share which differ in nothing but the seed.
        env_id: gymnasium id, or module:Id.
        algo: dqn or sac.
        batch_size: transitions in each update's batch.
        learning_rate: effective, rounded to two digits.
        seed: of the run.
    """

    arm: str
    env_id: str
    algo: str
    batch_size: int
    learning_rate: float
    seed: int


def env_folder(env_id: str) -> str:
    """Returns the name of an environment in paths."""
    return env_id.replace("/", "+").replace(":", "++")


def run_path(config: RunConfig) -> Path:
    """Returns the folder of a run below its experiment's: a function of the run alone."""
    arm = f"b{config.batch_size:05d}-lr{config.learning_rate:.1e}-{config.arm_id[:8]}"
    return Path(f"{env_folder(config.env_id)}/{config.algo}/{arm}/s{config.seed:03d}")


def is_run_path(path: str) -> bool:
    """Tells whether a path is that of a run, below its experiment."""
    return _RUN.fullmatch(path) is not None


def facts_of(path: str) -> PathFacts:
    """Returns what the path of a run tells; raises ValueError for a path that no run has."""
    match = _RUN.fullmatch(path)
    if match is None:
        raise ValueError(f"{path!r} is not the path of a run")
    arm, env, algo, batch_size, learning_rate, seed = match.groups()
    env_id = env.replace("++", ":").replace("+", "/")
    return PathFacts(arm, env_id, algo, int(batch_size), float(learning_rate), int(seed))
