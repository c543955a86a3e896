"""How many seconds does a run take, alone on one machine? Modelled, from what `cost.json` of its experiment says.

    seconds = env_steps x t_env + updates x t_update(batch)

t_env is the time of one env step (act, step, store) and t_update that of one update, in seconds, measured with one run
alone. The clock of a run's rows cannot say that, because the runs of a stack share it. Evaluations and the writing of
rows are no part of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rlbatch.config import RunConfig, as_dict
from rlbatch.errors import InputError, RefusedError
from rlbatch.results import SCHEMA, read_json

KIND = (
    "env_id",
    "env_kwargs",
    "algo",
    "net_arch",
    "activation_fn",
    "layer_norm",
    "n_envs",
    "n_steps",
    "batch_size",
)
"""Settings that decide what an env step and an update cost."""

Entry = Mapping[str, Any]
"""What was measured of one kind: "kind", "device", "machine", "t_env" and "t_update" in seconds, and how."""

_NUMBERS = ("t_env", "t_update")


def kind_of(config: RunConfig) -> dict[str, Any]:
    """Returns the settings of a run that decide its cost."""
    settings = as_dict(config)
    return {name: settings[name] for name in KIND}


def read_costs(path: Path) -> list[Entry]:
    """Returns the entries of a cost.json; none where there is no such file.

    Raises:
        InputError: it cannot be read, or an entry lacks something.
        RefusedError: it has another schema.
    """
    return read_entries(path, ("kind", "device", "machine", *_NUMBERS), _NUMBERS)


def read_entries(path: Path, names: Sequence[str], numbers: Sequence[str]) -> list[Entry]:
    """Returns the entries of a file of measurements, each with these names, of which some are finite numbers.

    Raises:
        InputError: it cannot be read, or an entry lacks something.
        RefusedError: it has another schema.
    """
    if not path.exists():
        return []
    content = read_json(path)
    if content.get("schema") != SCHEMA:
        raise RefusedError(str(path), f"has schema {content.get('schema')!r}, this version reads {SCHEMA}")
    entries = content.get("entries")
    if not isinstance(entries, list):
        raise InputError(str(path), "holds no list of entries", "move it away")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or any(name not in entry for name in names):
            raise InputError(f"{path}: entry {number}", f"is not an object with {', '.join(names)}", "take it out")
        for name in numbers:
            if not isinstance(entry[name], int | float) or not math.isfinite(entry[name]):
                raise InputError(f"{path}: entry {number}", f"{name} is {entry[name]!r}, not a number", "take it out")
    return entries


def by_machine(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Returns the entries of each machine and device: only those compare."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(json.dumps([entry["machine"], entry["device"]], sort_keys=True), []).append(entry)
    return list(groups.values())


def seconds(entries: Sequence[Entry], config: RunConfig, env_steps: float, updates: float) -> float | None:
    """Returns how long so much of a run takes alone, or None where its cost was not measured.

    An env step costs the same at every batch size, so t_env is the median over those that were measured.

    Args:
        entries: of one machine and device; see `by_machine`.
        config: the run; of the engine sb3 nothing is known.
        env_steps: that were taken, over all its environments.
        updates: that were done.
    """
    kind = kind_of(config)
    own = [entry["t_update"] for entry in entries if entry["kind"] == kind]
    if not own or config.engine != "stacked":
        return None
    t_env = median(entry["t_env"] for entry in entries if _but_batch(entry["kind"]) == _but_batch(kind))
    return float(env_steps * t_env + updates * own[-1])


def _but_batch(kind: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kind.items() if name != "batch_size"}
