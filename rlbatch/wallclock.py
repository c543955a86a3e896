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
from typing import Any, NamedTuple

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


class Price(NamedTuple):
    """What a run costs alone.

    Attributes:
        t_env: seconds of an env step.
        t_update: seconds of an update.
        t_update_range: the fastest and the slowest block in which the update was measured, in seconds.
    """

    t_env: float
    t_update: float
    t_update_range: tuple[float, float]


def price_of(entries: Sequence[Entry], config: RunConfig) -> Price | None:
    """Returns what a run costs alone, or None where that was not measured.

    An env step costs the same at every batch size, so t_env is the median over those that were measured. An update of
    more transitions takes no less time, so t_update is the isotonic fit over batch sizes: else noise would make a large
    batch cheap.

    Args:
        entries: of one machine and device; see `by_machine`.
        config: the run; of the engine sb3 nothing is known.
    """
    from scipy.optimize import isotonic_regression  # takes a third of a second to load

    kind = kind_of(config)
    alike = {e["kind"]["batch_size"]: e for e in entries if _but_batch(e["kind"]) == _but_batch(kind)}
    if config.batch_size not in alike or config.engine != "stacked":
        return None
    sizes = sorted(alike)
    fit = dict(zip(sizes, isotonic_regression([alike[size]["t_update"] for size in sizes]).x.tolist(), strict=True))
    t_update = fit[config.batch_size]
    low, high = alike[config.batch_size].get("t_update_range", (t_update, t_update))
    t_env = median(entry["t_env"] for entry in entries if _but_batch(entry["kind"]) == _but_batch(kind))
    return Price(float(t_env), t_update, (min(low, t_update), max(high, t_update)))


def _but_batch(kind: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kind.items() if name != "batch_size"}
