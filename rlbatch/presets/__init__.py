"""Which hyperparameters does a run start from? Presets: one YAML file each, values per algorithm and environment."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from rlbatch.config import SETTINGS, check_name, check_value
from rlbatch.errors import InputError, nearest

NAMES = ("neutral", "zoo")
_BESIDE = ("source", "tuned_at")
"""What an entry says of its values."""


@dataclass(frozen=True)
class Preset:
    """The values of one preset for one environment.

    Attributes:
        values: field of `RunConfig` -> value, before any design or learning-rate rule.
        origins: field -> where the value stands, for `rlbatch show`.
        source: where the values come from.
        listed: whether the preset has an entry for this environment.
        tuned_at: batch sizes at which its learning rate was tuned in this environment; empty where it was not.
    """

    values: dict[str, Any]
    origins: dict[str, str]
    source: str
    listed: bool
    tuned_at: tuple[int, ...]


def load(name: str, algo: str, env_id: str, total_timesteps: int | None = None) -> Preset:
    """Returns a preset's values for an algorithm and environment.

    Args:
        name: neutral or zoo.
        algo: dqn or sac.
        env_id: environments without an entry get the preset's fallback.
        total_timesteps: the budget where it is given otherwise (env steps): the fallback's warm-up depends on it.

    Raises:
        InputError: no such preset.
    """
    if name not in NAMES:
        close = nearest(name, NAMES)
        allowed = f"allowed: {', '.join(NAMES)}"
        raise InputError("--preset", f"{name!r} is not a preset", f"{close} {allowed}" if close else allowed)
    part = document(name)[algo]
    entry = part["environments"].get(env_id)
    own = dict(entry if entry is not None else part["fallback"])
    source = str(own.pop("source", document(name)["source"]))
    tuned_at = tuple(own.pop("tuned_at", ()))
    if entry is None and name == "neutral":
        own["learning_starts"] = min(part["base"]["learning_starts"], (total_timesteps or own["total_timesteps"]) // 5)
    where = env_id if entry is not None else "fallback"
    origins = dict.fromkeys(part["base"], f"preset {name}, {algo}") | dict.fromkeys(own, f"preset {name}, {where}")
    values = part["base"] | own
    if entry is not None and name == "zoo":  # what it states, it was tuned with
        tuned_at = (values.get("batch_size", SETTINGS["batch_size"].default_for(algo)),)
    return Preset(values, origins, source, listed=entry is not None, tuned_at=tuned_at)


@functools.cache
def document(name: str) -> dict[str, Any]:
    """Returns a preset file, every value checked against `RunConfig`; raises InputError."""
    text = resources.files("rlbatch.presets").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    preset: dict[str, Any] = yaml.safe_load(text)
    for algo in ("dqn", "sac"):
        part = preset[algo]
        for values in (part["base"], part["fallback"], *part["environments"].values()):
            for field in [f for f in values if f not in _BESIDE]:
                check_name(field, algo)
                values[field] = check_value(field, values[field])
    return preset
