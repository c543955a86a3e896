"""Environments whose values are known, and environments that misbehave in one known way."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ONE_OBSERVATION = spaces.Box(-1.0, 1.0, (1,), np.float32)


class Probe(gymnasium.Env[np.ndarray, Any]):
    """Reward 1 at each step of an episode of `length` steps that ends by termination or by truncation.

    With discount γ the value of the only observation is 1 + γ + ... (length terms) if it terminates at length 1, and
    1/(1−γ) if it truncates: a time limit is not an ending.
    """

    def __init__(self, length: int = 1, truncates: bool = False, continuous: bool = False) -> None:
        self.observation_space = ONE_OBSERVATION
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32) if continuous else spaces.Discrete(2)
        self.length, self.truncates, self.taken = length, truncates, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.taken = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.taken += 1
        over = self.taken >= self.length
        return np.zeros(1, np.float32), 1.0, over and not self.truncates, over and self.truncates, {}


class TwoStep(Probe):
    """Observation 0, then 1, then the end: reward 0, then 1. Values γ and 1."""

    def __init__(self) -> None:
        super().__init__(length=2)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        _, _, terminated, truncated, info = super().step(action)
        return np.ones(1, np.float32), float(terminated), terminated, truncated, info


class Preference(Probe):
    """One step; action 1 is worth 1, action 0 nothing. Continuous: the reward is the action."""

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, float(np.asarray(action).ravel()[0]), terminated, truncated, info


class Noisy(Probe):
    """An episode of ten steps whose rewards are drawn from the environment's own generator."""

    def __init__(self, length: int = 10) -> None:
        super().__init__(length=length)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, float(self.np_random.normal()), terminated, truncated, info


class Endless(Probe):
    """Never ends."""

    def __init__(self) -> None:
        super().__init__(length=10**9)


class Sticky(Noisy):
    """Keeps state across resets: what it did before changes what comes."""

    total = 0

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, reward, terminated, truncated, info = super().step(action)
        self.total += 1
        return obs, reward + self.total, terminated, truncated, info


class Level(Probe):
    """Sixty-step episodes whose reward counts the episodes that this instance has finished: state across resets."""

    finished = 0

    def __init__(self) -> None:
        super().__init__(length=60)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, _, terminated, truncated, info = super().step(action)
        self.finished += terminated
        return obs, float(self.finished), terminated, truncated, info


class Careless(Probe):
    """Draws from numpy's global generator at each reset, as an environment should not."""

    def __init__(self) -> None:
        super().__init__(length=10)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        _, info = super().reset(seed=seed)
        return np.array([np.random.uniform(-1, 1)], np.float32), info  # noqa: NPY002


class Scarce(Probe):
    """Can be made only so many times."""

    made = 0

    def __init__(self, times: int = 5) -> None:
        super().__init__(length=10)
        Scarce.made += 1
        if Scarce.made > times:
            raise OSError("no licence left")


class Broken(Probe):
    """Misbehaves in the `how` way at its `at`-th step since it was made."""

    def __init__(self, how: str = "raise", at: int = 150) -> None:
        super().__init__(length=10)
        self.how, self.at, self.steps = how, at, 0

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, reward, terminated, truncated, info = super().step(action)
        self.steps += 1
        if self.steps >= self.at:
            if self.how == "raise":
                raise RuntimeError("the probe was told to fail")
            if self.how == "nan observation":
                obs = np.full(1, np.nan, np.float32)
            if self.how == "shape":
                obs = np.zeros(3, np.float32)
            if self.how == "no reward":
                return obs, None, terminated, truncated, info  # type: ignore[return-value]
            if self.how == "ragged":
                return [[0.0], [1.0, 2.0]], reward, terminated, truncated, info  # type: ignore[return-value]
            if self.how == "nan reward":
                reward = float("nan")
            if self.how == "die":
                import os

                os._exit(7)
        return obs, reward, terminated, truncated, info


class Explosive(Probe):
    """Rewards so large that float32 overflows in the squared error."""

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, 1e30, terminated, truncated, info


class Spaced(Probe):
    """Has whatever spaces it is given."""

    def __init__(self, action: Any = None, observation: Any = None) -> None:
        super().__init__()
        kinds = {
            "multi": spaces.MultiDiscrete([2, 2]),
            "from one": spaces.Discrete(2, start=1),
            "unbounded": spaces.Box(-np.inf, np.inf, (1,), np.float32),
            "tuple": spaces.Tuple([ONE_OBSERVATION]),
            "dict": spaces.Dict({"a": ONE_OBSERVATION, "b": spaces.Discrete(3)}),
            "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "discrete": spaces.Discrete(4),
        }
        self.action_space = kinds.get(action, self.action_space)
        self.observation_space = kinds.get(observation, self.observation_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        _, reward, terminated, truncated, info = super().step(action)
        return self.observation_space.sample(), reward, terminated, truncated, info


def register() -> None:
    """Registers every probe as Probe/<name>-v0."""
    kinds = (Probe, TwoStep, Preference, Noisy, Endless, Sticky, Level, Careless, Scarce, Broken, Explosive, Spaced)
    for kind in kinds:
        env_id = f"Probe/{kind.__name__}-v0"
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point=kind)


register()
