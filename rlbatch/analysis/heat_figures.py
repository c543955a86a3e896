"""How do the batch size and a second setting work together? Heat maps, one for each setting that varies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlbatch import presets
from rlbatch.analysis.answer import Together
from rlbatch.analysis.arms import Arm
from rlbatch.analysis.comparison import ScoredTask
from rlbatch.analysis.figures import Figure, Picture, Series, by_batch, slug
from rlbatch.analysis.metrics import METRICS
from rlbatch.config import SETTINGS
from rlbatch.env_ids import bare_id


class _Cell(NamedTuple):
    """An arm with the values that it has on every axis."""

    settings: Mapping[str, Any]
    arm: Arm


def heat_maps(scored: ScoredTask, metric: str, reference: Mapping[str, Any]) -> list[Figure]:
    """Returns the mean score at each batch size and each value of a second axis, which the reader chooses.

    All other axes have one value each: as near as there are arms to the reference's, which are the declared ones, else
    the preset's, else the middle ones.

    Args:
        scored: the environment.
        metric: of a run.
        reference: the arm that was declared to be compared with.
    """
    cells = [
        _Cell({**one.fixed, "batch_size": batch, "learning_rate": rate}, arm)
        for one in scored.task.slices
        for (batch, rate), arm in one.cells.items()
        if arm.path in scored.arms
    ]
    names = [axis for axis in scored.task.axes if axis != "batch_size"]
    found = [_heat_map(scored, cells, axis, metric, reference) for axis in names]
    pictures = tuple(picture for picture in found if picture is not None)
    return [Figure(slug(scored.task.name, "heat"), pictures, ("second axis",))] if pictures else []


def environments(many: Sequence[Together], design: str) -> Figure:
    """Returns the mean score of each environment at each batch size, in each way of comparing them.

    Args:
        many: the same environments under one design.
        design: its settings in words; may be empty.
    """
    pictures = []
    for both in many:
        rows = [
            by_batch(
                name,
                {batch: samples[i] for batch, samples in both.samples.items()},
                {batch: means[i] for batch, means in both.means.items()},
            )
            for i, name in enumerate(both.names)
        ]
        pictures.append(
            Picture(
                slug("together", design, "environments", both.kind),
                f"{len(both.names)} environments{design}: mean score by batch size, {both.kind}",
                kind="heat",
                x_title="batch size",
                y_title="environment",
                log_x=False,
                series=tuple(map(_row, rows)),
                about="The colour is the mean over seeds; 0 and 1 are the ends of each environment's scale.",
                choice=(both.kind,),
                colour_title="mean score",
            )
        )
    return Figure(slug("together", design, "environments"), tuple(pictures), ("learning rates",))


def _heat_map(
    scored: ScoredTask, cells: Sequence[_Cell], axis: str, metric: str, reference: Mapping[str, Any]
) -> Picture | None:
    """Returns the map over one axis, or None where no batch size was trained at two of its values."""
    held, kept = _held(cells, axis, reference)
    values = sorted({_key(one.settings[axis]) for one in kept}, key=_order)
    if len(values) < 2:
        return None
    rows = []
    for value in values:
        samples = {
            one.settings["batch_size"]: scored.arms[one.arm.path].on_scale(metric)
            for one in kept
            if _key(one.settings[axis]) == value
        }
        rows.append(_row(by_batch(_words(json.loads(value)), samples)))
    others = ", ".join(f"{name} {_words(value)}" for name, value in held.items())
    about = f"The colour is the mean {metric} over seeds ({scored.scale.words})."
    about += f" Held at: {others}." if others else ""
    about += " A cell without runs is empty. A best cell at an edge may not be the best there is."
    return Picture(
        slug(scored.task.name, "heat", axis),
        f"{scored.task.name}: {METRICS[metric].about}, by batch size and {axis}",
        kind="heat",
        x_title="batch size",
        y_title=axis,
        log_x=False,
        series=tuple(rows),
        about=about,
        choice=(axis,),
        colour_title=f"mean {metric}",
    )


def _held(cells: Sequence[_Cell], axis: str, reference: Mapping[str, Any]) -> tuple[dict[str, Any], list[_Cell]]:
    """Returns the values of all axes but this one, nearest to the reference arm's, and the arms that have them."""
    names = [name for name in cells[0].settings if name not in (axis, "batch_size")]
    asked = {name: _reference_value(cells, name, reference) for name in names}
    groups: dict[str, list[_Cell]] = {}
    for one in cells:
        groups.setdefault(json.dumps([one.settings[name] for name in names]), []).append(one)
    varied = {key: len({_key(one.settings[axis]) for one in group}) for key, group in groups.items()}

    def nearness(key: str) -> tuple[bool, int, int]:
        same = [_key(value) == _key(asked[name]) for name, value in zip(names, json.loads(key), strict=True)]
        return varied[key] > 1, sum(same), len(groups[key])

    best = max(groups, key=nearness)
    several = {name for name in names if len({_key(one.settings[name]) for one in cells}) > 1}
    values = dict(zip(names, json.loads(best), strict=True))
    return {name: value for name, value in values.items() if name in several}, groups[best]


def _reference_value(cells: Sequence[_Cell], axis: str, reference: Mapping[str, Any]) -> Any:
    """Returns the declared value of an axis, else the preset's if it was trained, else the middle one that was."""
    values = sorted({_key(one.settings[axis]) for one in cells}, key=_order)
    if axis in reference:
        return reference[axis]
    first = cells[0].arm
    if axis != "learning_rate" and first.labels:
        given = presets.load(str(first.labels[0]["preset"]), first.algo, bare_id(first.env_id)).values
        usual = given.get(axis, SETTINGS[axis].default_for(first.algo))
        if _key(usual) in values:
            return usual
    return json.loads(values[len(values) // 2])


def _row(one: Series) -> Series:
    """Returns a row of a map: without its seeds, which are not drawn."""
    return Series(one.name, one.x, one.y, one.low, one.high)


def _key(value: Any) -> str:
    """Returns a text that equal values share, 1 and 1.0 among them."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return json.dumps(float(value) if number else value, sort_keys=True)


def _order(key: str) -> tuple[bool, float, str]:
    """Returns where a value stands among others: numbers by size, then texts and lists."""
    value = json.loads(key)
    number = isinstance(value, float)
    return not number, float(value) if number else np.inf, key


def _words(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
