"""Which combinations of settings does an experiment ask for? Its axes, overrides and exclusions, spelled out.

A list is an axis (for a list-typed setting such as net_arch a list of lists), and the runs are all combinations of the
axes, in the order of the file, environments outermost and seeds innermost. `overrides` of an environment beat what
stands at the top; `exclude` leaves combinations out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from rlbatch.config import SETTINGS, check_value
from rlbatch.errors import InputError, nearest
from rlbatch.grid import MAX_RUNS
from rlbatch.strict_yaml import Document, Place
from rlbatch.values import MAX_SEEDS, Integer, layers, seed_range

Point = dict[str, tuple[Any, Place]]
"""Field -> its value and where that stands; env_id and seed included."""

Axes = dict[str, list[tuple[Any, Place]]]
"""Field -> its values, each with its place."""

_OWN_KEYS = ("name", "envs", "seeds", "overrides", "exclude", "analysis")
_ELSEWHERE = {"env_id": "envs", "seed": "seeds", "env": "envs", "environments": "envs", "env_ids": "envs"}
_SEEDS = "a count, a range 0..19, or a list"
_SETTABLE = tuple(name for name in SETTINGS if name not in _ELSEWHERE)


def settings_of(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns what an experiment, as a mapping, says of each run, env_id and seed included; raises InputError."""
    return [
        {field: list(value) if isinstance(value, tuple) else value for field, (value, _) in point.items()}
        for point in points(Document("the experiment", "", dict(content)))
    ]


def points(document: Document) -> list[Point]:
    """Returns what the file says of each run, before presets and designs; raises InputError."""
    _check_keys(document)
    grids = [_axes(document, *env) for env in _environments(document)]
    count = sum(math.prod(map(len, axes.values())) for axes in grids)
    if count > MAX_RUNS:
        raise InputError(document.where(()), f"{count:,} runs are more than {MAX_RUNS:,}", "make the grid smaller")
    found = [dict(zip(axes, values, strict=True)) for axes in grids for values in itertools.product(*axes.values())]
    excluded = list(_exclusions(document, grids))
    for place, entry in excluded:
        if not any(_has(point, entry) for point in found):
            raise InputError(document.where(place), "excludes no run", "correct it or leave it out")
    kept = [point for point in found if not any(_has(point, entry) for _, entry in excluded)]
    if not kept:
        raise InputError(document.where(("exclude",)), "leaves no run")
    return kept


def _check_keys(document: Document) -> None:
    """Raises InputError unless every key at the top and in overrides is known."""
    for key in document.content:
        if key not in _OWN_KEYS:
            _check_field(document, key, (key,), (*_OWN_KEYS, *_SETTABLE))
    overrides = document.content.get("overrides", {})
    if not isinstance(overrides, dict):
        raise InputError(document.where(("overrides",)), "overrides: is not a mapping of environments")
    for env_id, own in overrides.items():
        if not isinstance(own, dict):
            raise InputError(document.where(("overrides", env_id)), f"overrides: {env_id} is not a mapping of settings")
        for key in own:
            _check_field(document, key, ("overrides", env_id, key), _SETTABLE)


def _check_field(document: Document, key: str, place: Place, known: tuple[str, ...]) -> None:
    if key in _SETTABLE:
        return
    hint = f"did you mean {_ELSEWHERE[key]}?" if key in _ELSEWHERE else nearest(key, known)
    others = [name for name in known if name in _OWN_KEYS]
    hint = hint or (f"beside settings there are {', '.join(others)}" if others else "only settings can be overridden")
    what = "cannot be set there" if key in (*_OWN_KEYS, "seed", "env_id") else "is not a setting"
    raise InputError(document.where(place), f"{key} {what}", hint)


def _environments(document: Document) -> list[tuple[str, Place]]:
    """Returns the environments with their places."""
    listed = document.content.get("envs")
    if listed is None:
        raise InputError(document.where(()), "the file names no environment", "write envs: [CartPole-v1]")
    places: list[Place] = [("envs", i) for i in range(len(listed))] if isinstance(listed, list) else [("envs",)]
    found = list(zip(listed if isinstance(listed, list) else [listed], places, strict=True))
    names = [env_id for env_id, _ in found]
    for env_id, place in found:
        if not isinstance(env_id, str) or not env_id:
            raise InputError(document.where(place), f"envs: {env_id!r} is not an environment id")
    _check_distinct(document, "envs", found)
    if not found:
        raise InputError(document.where(("envs",)), "envs: is empty, so there is no run")
    for env_id in document.content.get("overrides", {}):
        if env_id not in names:
            hint = nearest(env_id, names) or "add it to envs"
            raise InputError(document.where(("overrides", env_id)), f"overrides: {env_id} is not in envs", hint)
    return found


def _axes(document: Document, env_id: str, place: Place) -> Axes:
    """Returns field -> the values of its axis, for one environment; one value where it is no axis."""
    shared = {key: (key,) for key in document.content if key not in _OWN_KEYS}
    own = {key: ("overrides", env_id, key) for key in document.content.get("overrides", {}).get(env_id, {})}
    axes = {"env_id": [(env_id, place)]}
    axes |= {field: _values(document, field, where) for field, where in (shared | own).items()}
    return axes | {"seed": _seeds(document, document.content.get("seeds", [0]), ("seeds",))}


def _values(document: Document, field: str, place: Place) -> list[tuple[Any, Place]]:
    """Returns the typed values of a setting, each with its place."""
    raw: Any = document.content
    for step in place:
        raw = raw[step]
    found = [(_typed(document, field, value, where), where) for value, where in _axis(field, raw, place)]
    _check_distinct(document, field, found)
    if not found:
        raise InputError(document.where(place), f"{field}: an empty list is an axis without values, so there is no run")
    return found


def _axis(field: str, raw: Any, place: Place) -> list[tuple[Any, Place]]:
    """Returns the raw values of a setting: those of a list, or the one there is."""
    listed = SETTINGS[field].check is layers
    several = isinstance(raw, list) and (not listed or (bool(raw) and all(isinstance(part, list) for part in raw)))
    return [(value, (*place, i)) for i, value in enumerate(raw)] if several else [(raw, place)]


def _seeds(document: Document, raw: Any, place: Place) -> list[tuple[Any, Place]]:
    """Returns seeds: a count, a range `0..19`, or a list of seeds and ranges."""
    try:
        if isinstance(raw, list):
            found = [seed for i, part in enumerate(raw) for seed in _listed_seeds(document, part, (*place, i))]
        elif isinstance(raw, str):
            found = _listed_seeds(document, raw, place)
        else:
            found = [(seed, place) for seed in range(Integer(1, MAX_SEEDS)(raw))]
    except ValueError as error:
        raise InputError(document.where(place), f"seeds: {error}", _SEEDS) from error
    _check_distinct(document, "seeds", found)
    if not found:
        raise InputError(document.where(place), "seeds: is empty, so there is no run")
    return found


def _listed_seeds(document: Document, part: Any, place: Place, key: str = "seeds") -> list[tuple[Any, Place]]:
    """Reads one seed, or a range of them; `key` is where the file names them."""
    try:
        span = seed_range(part) if isinstance(part, str) else None
    except ValueError as error:
        raise InputError(document.where(place), f"{key}: {error}", _SEEDS) from error
    if span is not None:
        return [(seed, place) for seed in span]
    try:
        return [(check_value("seed", part), place)]
    except InputError as error:
        raise InputError(document.where(place), f"{key}: {error.what}", _SEEDS) from error


def _check_distinct(document: Document, field: str, found: list[tuple[Any, Place]]) -> None:
    values = [value for value, _ in found]
    if len(values) > 1 and len(set(map(repr, values))) < len(values):
        value, place = next(pair for i, pair in enumerate(found) if repr(pair[0]) in map(repr, values[:i]))
        raise InputError(document.where(place), f"{field}: {value} stands twice")


def _typed(document: Document, field: str, value: Any, place: Place) -> Any:
    try:
        return check_value(field, value)
    except InputError as error:
        raise InputError(document.where(place), f"{field}: {error.what}", error.hint) from error


def _exclusions(document: Document, grids: list[Axes]) -> Iterator[tuple[Place, dict[str, list[Any]]]]:
    """Yields the place of each entry of exclude and, for each of its fields, the values that are left out."""
    entries = document.content.get("exclude", [])
    if not isinstance(entries, list):
        raise InputError(document.where(("exclude",)), "exclude: is not a list", "write - {field: value}")
    known = {field for axes in grids for field in axes}
    for index, entry in enumerate(entries):
        place: Place = ("exclude", index)
        if not isinstance(entry, dict) or not entry:
            raise InputError(document.where(place), "exclude: is not a mapping", "write - {field: value}")
        values = {}
        for field, raw in entry.items():
            if field not in known:
                raise InputError(
                    document.where((*place, field)), f"exclude: {field} is not set in this file", nearest(field, known)
                )
            here = (*place, field)
            if field == "seed":
                parts = raw if isinstance(raw, list) else [raw]
                values[field] = [seed for part in parts for seed, _ in _listed_seeds(document, part, here, "seed")]
            else:
                values[field] = [_typed(document, field, value, where) for value, where in _axis(field, raw, here)]
        yield place, values


def _has(point: Point, entry: Mapping[str, list[Any]]) -> bool:
    return all(field in point and point[field][0] in values for field, values in entry.items())
