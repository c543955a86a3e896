"""Environments whose values are known, and environments that misbehave in one known way."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

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
    """Misbehaves in the `how` way at its `at`-th step since it was made; if `seed` is given, in its episodes only."""

    def __init__(self, how: str = "raise", at: int = 150, seed: int | None = None) -> None:
        super().__init__(length=10)
        self.how, self.at, self.steps = how, at, 0
        self.seed, self.began = seed, None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        self.began = seed
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        result = super().step(action)
        self.steps += 1
        spoils = self.steps >= self.at and self.seed in (None, self.began)
        return spoiled(self.how, result) if spoils else result


class Troubled(Noisy):
    """Misbehaves as `ways` says: seed of an episode, as text -> a way (see `spoiled`) and from which step on."""

    def __init__(self, ways: dict[str, tuple[str, int]]) -> None:
        super().__init__()
        self.ways, self.steps, self.way, self.at = ways, 0, "", 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        self.way, self.at = self.ways.get(str(seed), ("", 0))
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        result = super().step(action)
        self.steps += 1
        return spoiled(self.way, result) if self.way and self.steps >= self.at else result


def spoiled(how: str, result: tuple[Any, Any, bool, bool, dict]) -> Any:
    """Returns what a step gave, misbehaving in the `how` way."""
    obs, reward, terminated, truncated, info = result
    if how in _RAISED:
        raise _RAISED[how]
    if how == "hang":
        import time

        time.sleep(3600)
    if how == "die":
        import os

        os._exit(7)
    if how == "kill":
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
    if how == "nan observation":
        obs = np.full_like(obs, np.nan)
    elif how == "shape":
        obs = np.zeros(3 if obs.size == 1 else 1, np.float32)  # where it can, one that numpy would broadcast
    elif how == "ragged":
        obs = [[0.0], [1.0, 2.0]]
    elif how in _REWARDS:
        reward = _REWARDS[how]
    return obs, reward, terminated, truncated, info


_RAISED: dict[str, BaseException] = {
    "raise": RuntimeError("the probe was told to fail"),
    "exit": SystemExit(5),
    "memory": MemoryError("the probe was told to ask for too much"),
}
_REWARDS = {"nan reward": float("nan"), "inf reward": float("inf"), "no reward": None}


class Fragile(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Another environment that misbehaves in the `how` way ("reset": raises there) in the episodes of some seeds.

    Attributes:
        victims: those seeds; the others' episodes are the other environment's own.
        unmakeable: numbers of the instances, counted from 1, that cannot be made.
        made: how many were asked for.
        haunted: resets and steps of instances that had misbehaved before.
    """

    victims: ClassVar[set[int]] = set()
    unmakeable: ClassVar[set[int]] = set()
    made: ClassVar[int] = 0
    haunted: ClassVar[int] = 0

    @classmethod
    def choose(cls, victims: Collection[int] = (), unmakeable: Collection[int] = ()) -> None:
        """Says what is to fail from now on, and starts the counts anew."""
        cls.victims, cls.unmakeable, cls.made, cls.haunted = set(victims), set(unmakeable), 0, 0

    def __init__(self, base: str = "CartPole-v1", how: str = "raise", at: int = 5) -> None:
        Fragile.made += 1
        if Fragile.made in Fragile.unmakeable:
            raise OSError("no licence left")
        super().__init__(gymnasium.make(base, disable_env_checker=True))
        self.how, self.at, self.taken, self.cursed, self.dead = how, at, 0, False, False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        Fragile.haunted += self.dead
        self.taken, self.cursed = 0, seed in Fragile.victims
        if self.cursed and self.how == "reset":
            self.dead = True
            raise RuntimeError("the probe was told not to reset")
        return self.env.reset(seed=seed)

    def step(self, action: Any) -> Any:
        Fragile.haunted += self.dead
        self.taken += 1
        result = self.env.step(action)
        if not (self.cursed and self.taken >= self.at):
            return result
        self.dead = True
        return spoiled(self.how, result)


DELAY = "PROBE_DELAY"
"""Environment variable with the path of a file: as long as it is there, Delayed is slow."""
_DELAY_S = 0.005


class Delayed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """CartPole that a test can slow down, so that what it waits for comes before the end on any machine."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make("CartPole-v1", disable_env_checker=True))

    def step(self, action: Any) -> Any:
        if Path(os.environ.get(DELAY, "")).is_file():
            time.sleep(_DELAY_S)
        return self.env.step(action)


class Diary(gymnasium.Env[np.ndarray, Any]):
    """Observes (seed of its episode modulo 4096, steps taken in it, last action): transitions tell where they belong.

    An episode with seed s has 1 + s mod 9 steps; it terminates if s is even and is truncated if s is odd. The reward of
    its step t is t + (s mod 8) / 8.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 4096.0, (3,), np.float32)
        self.action_space = spaces.Discrete(3)
        self.seed, self.taken = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        assert seed is not None
        self.seed, self.taken = seed, 0
        return np.array([seed % 4096, 0, 0], np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.taken += 1
        over, even = self.taken > self.seed % 9, self.seed % 2 == 0
        obs = np.array([self.seed % 4096, self.taken, int(action)], np.float32)
        return obs, self.taken + self.seed % 8 / 8, over and even, over and not even, {}


class Keeper(Noisy):
    """Keeps the action it was given and pays for the change at the next step; then it spoils it."""

    kept: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, reward, terminated, truncated, info = super().step(action)
        change = 0.0 if self.kept is None else float(np.abs(action - self.kept).sum())
        self.kept = action
        self.kept[0] *= 0.5
        return obs, reward - change, terminated, truncated, info


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
            "six": spaces.Box(-1.0, 1.0, (6,), np.float32),
            "unbounded": spaces.Box(-np.inf, np.inf, (1,), np.float32),
            "tuple": spaces.Tuple([ONE_OBSERVATION]),
            "dict": spaces.Dict({"a": ONE_OBSERVATION, "b": spaces.Discrete(3)}),
            "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "discrete": spaces.Discrete(4),
            "matrix": spaces.Box(-1.0, 1.0, (2, 3), np.float32),
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
    """Registers every probe as Probe/<name>-v0, and two of gymnasium's making.

    Probe/Short-v0 has ten steps, of which gymnasium allows seven; Probe/Pole-v0 is CartPole without a step limit.
    """
    kinds: tuple[type[gymnasium.Env[Any, Any]], ...] = (
        *(Probe, TwoStep, Preference, Noisy, Endless, Sticky, Level, Careless, Scarce, Broken, Explosive, Spaced),
        *(Fragile, Delayed, Diary, Keeper, Troubled),
    )
    for kind in kinds:
        env_id = f"Probe/{kind.__name__}-v0"
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point=kind)
    if "Probe/Short-v0" not in gymnasium.registry:
        gymnasium.register("Probe/Short-v0", entry_point=Noisy, max_episode_steps=7)
        gymnasium.register("Probe/Pole-v0", entry_point="gymnasium.envs.classic_control.cartpole:CartPoleEnv")


register()
