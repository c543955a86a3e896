"""What is a run? `RunConfig`: every setting of one training run, resolved, typed and checked, and its identity."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rlbatch.errors import InputError, nearest
from rlbatch.values import SEED, Check, Choice, Either, Integer, Real, boolean, ent_coef, layers, mapping, text

ALGORITHMS = ("dqn", "sac")
IDENTITY, LABEL, OUTSIDE = "identity", "label", "outside"
_UNSET = object()


@dataclass(frozen=True)
class Setting:
    """What is known about one field of `RunConfig`.

    Attributes:
        check: turns a raw value into a typed one, or raises ValueError.
        default: the value where neither the command line nor the preset says one; a dict gives one per algorithm.
        unit: the unit of the value.
        help: one line for a reader.
        algo: the only algorithm that has this setting, or None for both.
        role: identity (changes the numbers, part of the run's id), label (kept beside it), outside (neither).
        stackable: whether runs that differ in it can train in one stack.
        absent: for a field added later: the value that reproduces the behaviour before; it is left out of the id.
    """

    check: Check
    default: Any
    unit: str
    help: str
    algo: str | None = None
    role: str = IDENTITY
    stackable: bool = False
    absent: Any = _UNSET

    def default_for(self, algo: str) -> Any:
        """Returns the default value of this setting for one algorithm."""
        per_algorithm = isinstance(self.default, dict) and set(self.default) == set(ALGORITHMS)
        return self.default[algo] if per_algorithm else self.default


def _setting(check: Check, default: Any, unit: str, help: str, **known: Any) -> Any:
    return field(metadata={"setting": Setting(check, default, unit, help, **known)})


_POSITIVE = Real(0, above_low=True)
_FRACTION = Real(0, 1)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run, every value resolved. Build it with `RunConfig.build`, which fills defaults and checks.

    Names are Stable-Baselines3's where it has one. Fields that belong to the other algorithm are None.
    """

    env_id: str = _setting(text, None, "", "Gymnasium environment id, or module:Id")
    env_kwargs: dict[str, Any] = _setting(mapping, {}, "", "arguments of gymnasium.make")
    env_backend: str = _setting(Choice(("gymnasium",)), "gymnasium", "", "who steps the environment")
    algo: str = _setting(Choice(ALGORITHMS), None, "", "dqn (Discrete actions) or sac (Box actions)")
    seed: int = _setting(SEED, 0, "", "seed of every random draw of the run", stackable=True)
    total_timesteps: int = _setting(Integer(1, 10**12), 50_000, "env steps", "training budget, over all environments")
    n_envs: int = _setting(Integer(1, 4096), 1, "environments", "environments that feed one run")

    batch_size: int = _setting(
        Integer(1), {"dqn": 32, "sac": 256}, "transitions", "transitions in each update's batch", stackable=True
    )
    buffer_size: int = _setting(Integer(1, 10**9), 1_000_000, "transitions", "replay capacity")
    learning_starts: int = _setting(Integer(0), 100, "env steps", "random acting before the first update")
    train_freq: int = _setting(Integer(1), {"dqn": 4, "sac": 1}, "vector steps", "steps between training phases")
    gradient_steps: int = _setting(
        Integer(1, special=(-1,)), 1, "updates", "updates per training phase; -1 becomes one per env step"
    )
    n_steps: int = _setting(Integer(1, 1000), 1, "env steps", "length of n-step returns")

    learning_rate: float = _setting(
        _POSITIVE, {"dqn": 1e-4, "sac": 3e-4}, "per update", "effective rate, after the rule", stackable=True
    )
    lr_schedule: str = _setting(
        Choice(("constant", "linear", "cosine")), "constant", "", "rate over training", stackable=True
    )
    lr_warmup: float = _setting(
        Real(0, 1, below_high=True), 0.0, "of total_timesteps", "linear rise of the rate from 0", stackable=True
    )
    adam_beta1: float = _setting(Real(0, 1, below_high=True), 0.9, "", "Adam's first decay", stackable=True)
    adam_beta2: float = _setting(Real(0, 1, below_high=True), 0.999, "", "Adam's second decay", stackable=True)
    adam_eps: float = _setting(_POSITIVE, 1e-8, "", "Adam's epsilon", stackable=True)
    max_grad_norm: float | None = _setting(
        _POSITIVE, 10.0, "L2 norm", "gradients are clipped to it", algo="dqn", stackable=True
    )
    gamma: float = _setting(_FRACTION, 0.99, "per env step", "discount", stackable=True)
    tau: float = _setting(
        Real(0, 1, above_low=True),
        {"dqn": 1.0, "sac": 0.005},
        "",
        "weight of the online network; 1 copies",
        stackable=True,
    )
    target_update_interval: int = _setting(
        Integer(1),
        {"dqn": 10_000, "sac": 1},
        "env steps (dqn), updates (sac)",
        "between target updates",
        stackable=True,
    )

    exploration_fraction: float | None = _setting(
        Real(0, 1, above_low=True), 0.1, "of total_timesteps", "time in which epsilon falls", algo="dqn", stackable=True
    )
    exploration_initial_eps: float | None = _setting(_FRACTION, 1.0, "", "epsilon at first", algo="dqn", stackable=True)
    exploration_final_eps: float | None = _setting(_FRACTION, 0.05, "", "epsilon at last", algo="dqn", stackable=True)
    ent_coef: str | float | None = _setting(ent_coef, "auto", "", "entropy coefficient", algo="sac")
    target_entropy: str | float | None = _setting(
        Either((Choice(("auto",)), Real())),
        "auto",
        "nats",
        "auto: minus the action's size",
        algo="sac",
        stackable=True,
    )
    use_sde: bool | None = _setting(boolean, False, "", "state-dependent exploration (gSDE)", algo="sac")
    log_std_init: float | None = _setting(Real(-20, 2), -3.0, "", "gSDE's initial log deviation", algo="sac")

    net_arch: tuple[int, ...] = _setting(layers, {"dqn": (64, 64), "sac": (256, 256)}, "units", "hidden layers")
    activation_fn: str = _setting(Choice(("relu", "tanh", "elu", "gelu", "silu")), "relu", "", "between layers")
    layer_norm: bool = _setting(
        boolean, False, "", "layer normalisation after each hidden linear layer (stacked engine only)", absent=False
    )

    n_evaluations: int = _setting(Integer(1, 10_000), 20, "evaluations", "besides the one before training")
    n_eval_episodes: int = _setting(Integer(1, 1000), 10, "episodes", "greedy episodes per evaluation")
    engine: str = _setting(
        Choice(("stacked", "sb3")),
        "stacked",
        "",
        "who trains: many runs as one program, or Stable-Baselines3's classes",
    )
    precision: str = _setting(Choice(("float32",)), "float32", "", "arithmetic of networks and optimiser")

    match: str = _setting(
        Choice(("updates", "samples")), "updates", "", "held fixed while the batch varies", role=LABEL
    )
    lr_rule: str = _setting(
        Choice(("none", "sqrt", "linear", "adam-sde")), "none", "", "how the rate follows the batch", role=LABEL
    )
    lr_reference_batch: int = _setting(Integer(1), 64, "transitions", "batch at which the given rate holds", role=LABEL)
    replay_ratio: float | None = _setting(
        Either((_POSITIVE,), none=True),
        None,
        "updates per env step",
        "short for train_freq and gradient_steps",
        role=LABEL,
    )
    preset: str = _setting(text, "neutral", "", "where unnamed settings come from", role=LABEL)
    log_points: int = _setting(Integer(1, 1000), 200, "rows", "train rows of the run", role=OUTSIDE)

    @classmethod
    def build(cls, **values: Any) -> RunConfig:
        """Fills defaults for the algorithm, checks every value and returns the run.

        Raises:
            InputError: a field is unknown, of the wrong type or range, or belongs to the other algorithm.
        """
        algo = values.get("algo")
        if algo not in ALGORITHMS:
            raise InputError("algo", f"{algo!r} is not an algorithm", f"allowed: {', '.join(ALGORITHMS)}")
        for name in values:
            check_name(name, algo)
        typed: dict[str, Any] = {
            name: check_value(name, values.get(name, setting.default_for(algo))) if applies(setting, algo) else None
            for name, setting in SETTINGS.items()
        }
        if typed["gradient_steps"] == -1:
            typed["gradient_steps"] = typed["train_freq"] * typed["n_envs"]
        return cls(**typed)

    @functools.cached_property
    def arm_id(self) -> str:
        """16 hex digits that name what is compared: the run without its seed."""
        return _digest({name: value for name, value in identity(self).items() if name != "seed"})

    @functools.cached_property
    def run_id(self) -> str:
        """16 hex digits that name the run: SHA-256 of the canonical JSON of its identity fields."""
        return _digest(identity(self))


LISTED_BY = "rlbatch train --env CartPole-v1 --dry-run -v"
"""The command that lists settings: it needs an environment."""
SETTINGS: dict[str, Setting] = {f.name: f.metadata["setting"] for f in fields(RunConfig)}


def applies(setting: Setting, algo: str) -> bool:
    """Tells whether an algorithm has this setting at all."""
    return setting.algo in (None, algo)


def check_name(name: str, algo: str | None = None) -> None:
    """Raises InputError unless `name` is a field of `RunConfig` (and of the algorithm, where one is given)."""
    if name not in SETTINGS:
        raise InputError(name, "is not a setting", nearest(name, SETTINGS) or f"{LISTED_BY} lists them all")
    setting = SETTINGS[name]
    if algo is not None and not applies(setting, algo):
        raise InputError(name, f"is a setting of {setting.algo}, not of {algo}")


def check_value(name: str, value: Any) -> Any:
    """Returns the typed value of a field; raises InputError naming the field, the value and what is allowed."""
    try:
        return SETTINGS[name].check(value)
    except ValueError as error:
        hint = ""
        check = SETTINGS[name].check
        if isinstance(check, Choice) and isinstance(value, str):
            hint = nearest(value, check.names)
        raise InputError(name, str(error), hint) from error


def identity(config: RunConfig) -> dict[str, Any]:
    """Returns the fields that make the run what it is: those that change its numbers, of its own algorithm."""
    values: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        value = getattr(config, name)
        if setting.role == IDENTITY and applies(setting, config.algo) and value != setting.absent:
            values[name] = list(value) if isinstance(value, tuple) else value
    return values


def as_dict(config: RunConfig) -> dict[str, Any]:
    """Returns all fields as JSON values, in the order of the dataclass."""
    values = {name: getattr(config, name) for name in SETTINGS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def from_dict(values: Mapping[str, Any]) -> RunConfig:
    """Reads what `as_dict` wrote; raises InputError."""
    algo = str(values.get("algo"))
    own = {k: v for k, v in values.items() if k not in SETTINGS or applies(SETTINGS[k], algo)}
    return RunConfig.build(**own)


def _digest(values: dict[str, Any]) -> str:
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
