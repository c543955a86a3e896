"""What is known about an environment id? Whether it exists, which algorithm fits, its threshold, limits and scores.

Facts that gymnasium's registry does not hold (reference scores, what to install) come from `environments.yaml` beside
this file. Gymnasium only: nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import gymnasium
import yaml
from gymnasium import spaces

from rlbatch.config import ALGORITHMS
from rlbatch.env_ids import USER_ERRORS, bare_id, registered_id
from rlbatch.errors import InputError, nearest

EPISODE_CAP = 10_000
"""Env steps after which an evaluation episode of an environment without a limit of its own is cut."""

LARGE_OBSERVATION = 64
"""Numbers in an observation from which on a stack's replay stores it once, not twice."""

INSTALL = {"box2d": 'pip install "rlbatch[box2d]"', "mujoco": 'pip install "rlbatch[mujoco]"'}
"""Family of environments -> the command that installs what it needs."""

_NEEDS = {"box2d": ("Box2D",), "mujoco": ("mujoco", "imageio")}

_SMALLEST_IMAGE = 36
"""Pixels a side below which the first three convolutions of SB3's NatureCNN leave nothing."""


@dataclass(frozen=True)
class Facts:
    """What `environments.yaml` says of a listed environment. Scores are undiscounted episode returns."""

    family: str
    algo: str
    max_episode_steps: int
    threshold: float | None
    low: float
    low_source: str
    reference: float | None
    reference_source: str
    random_mean: float
    random_se: float
    random_n: int
    auc_sd: float | None = None


@dataclass(frozen=True)
class Environment:
    """What one instance of an environment told.

    Attributes:
        env_id: as the user gave it.
        action_space: gymnasium's.
        observation_space: gymnasium's.
        max_episode_steps: env steps after which gymnasium truncates an episode, or None.
        threshold: return at which the environment counts as solved, or None.
    """

    env_id: str
    action_space: spaces.Space[Any]
    observation_space: spaces.Space[Any]
    max_episode_steps: int | None
    threshold: float | None


@functools.cache
def listed() -> dict[str, Facts]:
    """Returns the facts of every listed environment, by id."""
    text = resources.files("rlbatch").joinpath("environments.yaml").read_text(encoding="utf-8")
    return {env_id: Facts(**facts) for env_id, facts in yaml.safe_load(text).items()}


def installed(family: str) -> bool:
    """Tells whether the packages that a family of environments needs can be found."""
    return all(importlib.util.find_spec(module) is not None for module in _NEEDS.get(family, ()))


def open_environment(env_id: str, env_kwargs: Mapping[str, Any], *, checked: bool = False) -> gymnasium.Env[Any, Any]:
    """Returns a new instance, with gymnasium's passive checker if `checked`.

    Raises:
        InputError: it cannot be made: unknown id or argument, or packages missing (the hint says what to install).
        RefusedError: see `registered_id`.
    """
    bare = registered_id(env_id)
    if env_kwargs.get("render_mode") == "human":
        raise InputError("--env-kwargs", "render_mode human would open a window for every instance", "leave it out")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # gymnasium's advice on newer versions; ours stands in `newer_version`
            return gymnasium.make(bare, disable_env_checker=not checked, **env_kwargs)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        family = family_of(bare)
        reason = str(error).splitlines()[0]
        raise InputError(
            "--env", f"{bare} needs packages that are not installed ({reason})", INSTALL.get(family, "")
        ) from error
    except TypeError as error:
        raise InputError("--env-kwargs", f"{bare} does not accept {dict(env_kwargs)}: {error}") from error
    except USER_ERRORS as error:
        where, hint = ("--env-kwargs", "paths in it must be absolute") if env_kwargs else ("--env", "")
        raise InputError(where, f"{bare} cannot be made: {error!r}", hint) from error


@functools.lru_cache(maxsize=64)
def _describe(env_id: str, kwargs: str) -> Environment:
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch), _muted_c_code():
        env = open_environment(env_id, json.loads(kwargs))  # MuJoCo logs where it works, and to standard error
    try:
        spec = env.spec
        threshold = spec.reward_threshold if spec is not None else None
        limit = spec.max_episode_steps if spec is not None else None
        facts = listed().get(env_id)
        if threshold is None and facts is not None:
            threshold = facts.threshold
        return Environment(env_id, env.action_space, env.observation_space, limit, threshold)
    finally:
        env.close()


def describe(env_id: str, env_kwargs: Mapping[str, Any]) -> Environment:
    """Makes one instance and returns its spaces, step limit and threshold; raises like `open_environment`."""
    return _describe(env_id, json.dumps(dict(env_kwargs), sort_keys=True))


def choose_algo(environment: Environment, asked: str = "auto") -> str:
    """Returns the algorithm for the action space: dqn for Discrete, sac for bounded Box.

    Raises:
        InputError: no algorithm fits the spaces, or the asked one does not, or is none.
    """
    known = ("auto", *ALGORITHMS)
    if asked not in known:
        hint = nearest(asked, known) or f"allowed: {', '.join(known)}"
        raise InputError("--algo", f"{asked!r} is not an algorithm", hint)
    action, where = environment.action_space, f"--env {environment.env_id}"
    _check_observations(environment.observation_space, where)
    if isinstance(action, spaces.Discrete):
        if action.start != 0:
            raise InputError(
                where, f"its Discrete actions start at {action.start}, DQN needs 0", "wrap the environment"
            )
        fits = "dqn"
    elif isinstance(action, spaces.Box):
        if not (math.isfinite(action.low.min()) and math.isfinite(action.high.max())):
            raise InputError(where, "its Box actions have no finite bounds, SAC needs them", "wrap the environment")
        fits = "sac"
    else:
        kind = type(action).__name__
        raise InputError(
            where, f"has {kind} actions", "dqn takes Discrete actions, sac takes Box actions, nothing takes others"
        )
    if asked not in ("auto", fits):
        kind = type(action).__name__
        raise InputError(
            "--algo", f"{asked} does not take the {kind} actions of {environment.env_id}", f"use {fits} or auto"
        )
    return fits


def image_observations(space: spaces.Space[Any]) -> bool:
    """Tells whether observations are images that SB3's CNN takes: bytes in 0..255, at least 36 pixels high and wide."""
    return (
        isinstance(space, spaces.Box)
        and len(space.shape) == 3
        and space.dtype is not None
        and space.dtype.name == "uint8"
        and bool((space.low == 0).all() and (space.high == 255).all())
        and sorted(space.shape)[1] >= _SMALLEST_IMAGE
    )


def vector_observations(space: spaces.Space[Any]) -> bool:
    """Tells whether observations are one flat vector of numbers: neither a Dict nor images, of whatever size."""
    if isinstance(space, spaces.Box):
        return not (len(space.shape) == 3 and space.dtype is not None and space.dtype.name == "uint8")
    return isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)


def family_of(env_id: str) -> str:
    """Returns the family of a registered environment: classic_control, box2d, mujoco, or "" for any other."""
    bare = bare_id(env_id)
    if bare in listed():
        return listed()[bare].family
    entry = str(gymnasium.registry[bare].entry_point) if bare in gymnasium.registry else ""
    return next((family for family in ("classic_control", *INSTALL) if f".{family}." in entry), "")


@contextlib.contextmanager
def _muted_c_code() -> Iterator[None]:
    """Drops what compiled code prints to standard error, which Python's own redirection does not reach."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _check_observations(space: spaces.Space[Any], where: str) -> None:
    simple = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    for part in parts:
        if not isinstance(part, simple):
            raise InputError(
                where,
                f"has {type(part).__name__} observations",
                "Box, Discrete, MultiDiscrete, MultiBinary or a Dict of them",
            )
