"""What is concluded, as numbers and text that JSON can hold?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlbatch.analysis import efficiency
from rlbatch.analysis.answer import Answer, Part, Together
from rlbatch.analysis.caveats import caveats
from rlbatch.analysis.comparison import ScoredArm
from rlbatch.analysis.contrasts import Contrast, contrasts_of
from rlbatch.analysis.intervals import Floats
from rlbatch.analysis.looks import looks_at
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.recommend import overall, recommend
from rlbatch.analysis.scope import holds_for
from rlbatch.analysis.steadiness import steadiness_of
from rlbatch.analysis.ways import Way, good_rates
from rlbatch.curves import NEVER

_ON_A_SCALE = ("score", "difference")
"""Kinds of metrics that have a value on the environment's scale."""


def plain(found: Answer) -> dict[str, Any]:
    """Returns an answer as JSON has it; numbers that are not finite are null, batch sizes are texts as keys.

    A run that never reaches a mark has "never" there, as in result.json.
    """
    comparison = found.comparison
    return {
        "experiments": [str(path) for path in comparison.collected.experiments],
        "metric": found.metric,
        "delta": found.delta,
        "declared": found.declared,
        "complete": comparison.complete,
        "caveats": list(caveats(found)),
        "looks": {str(path): looks_at(path, len(plan.runs)) for path, plan in comparison.collected.plans.items()},
        "outside": [str(path) for path in comparison.collected.outside],
        "missing": [{"run": run.path, "status": run.status, "reason": run.reason} for run in comparison.missing],
        "unfinished": [{"run": run.path, "status": run.status} for run in comparison.unfinished],
        "parts": [_part(part, found.delta) for part in found.parts],
        "slope_differences": [_contrast(one) for one in contrasts_of(found.parts)],
        "together": [_together(both) for both in found.together],
    }


def plain_recommendations(found: Answer) -> dict[str, Any]:
    """Returns what `recommend` says as JSON has it."""
    return {
        "recommendations": [jsonable(one) for one in recommend(found)],
        "together": overall(found),
        "complete": found.comparison.complete,
        "declared": found.declared,
        "caveats": list(caveats(found)),
    }


def _arm(part: Part, cell: tuple[int, float], arm: ScoredArm) -> dict[str, Any]:
    batch, rate = cell
    return {
        "batch_size": batch,
        "learning_rate": rate,
        "path": arm.arm.path,
        "seeds": arm.curves.seeds,
        "values": {name: _told(values) for name, values in arm.values.items()},
        "reaching": _reaching(part, arm),
        "cost": efficiency.cost_of(arm.arm, part.scored.clock),
        "normalised": {name: arm.normalised(name) for name in arm.values if METRICS[name].kind in _ON_A_SCALE},
        "across": arm.across,
    }


def _way(part: Part, way: Way) -> dict[str, Any]:
    return {
        "kind": way.kind,
        "words": way.words,
        "notes": way.notes,
        "withheld": way.withheld,
        "samples": way.samples,
        "iqm": {batch: way.iqm(batch) for batch in way.samples},
        "tuned": {batch: _but(one._asdict(), "redrawn") for batch, one in way.tuned.items()},
        "verdicts": part.verdicts[way.kind],
    }


def _part(part: Part, delta: float) -> dict[str, Any]:
    scored = part.scored
    told: dict[str, Any] = jsonable(
        {
            "env_id": scored.task.env_id,
            "fixed": part.slice.fixed,
            "holds_for": holds_for(part),
            "scale": scored.scale,
            "marks": scored.marks,
            "budgets": part.budgets,
            "scaled": part.scaled,
            "ways": [_way(part, way) for way in part.ways],
            "rate_factor": part.rate_factor,
            "mark": part.mark,
            "front": part.front,
            "power_laws": [{"fixed": fixed, "law": law} for fixed, law in scored.power_laws(part.metric)],
            "seed_correlation": part.seed_correlation,
            "good_rates": good_rates(part.cells, part.metric, delta) if part.scaled else {},
            "steadiness": {
                one.metric: {"higher_is_steadier": True, "standings": one.standings}
                for one in steadiness_of(part, delta)
            },
            "arms": [_arm(part, cell, arm) for cell, arm in part.cells.items()],
        }
    )
    return told


def _contrast(one: Contrast) -> dict[str, Any]:
    told: dict[str, Any] = jsonable(
        {
            "where": one.where,
            "axis": one.axis,
            "value": one.value,
            "base_value": one.base_value,
            "also": one.also,
            "kind": one.kind,
            "batch_sizes": one.batch_sizes,
            "slope": one.slope.interval(),
            "base_slope": one.base_slope.interval(),
            "difference": one.difference.interval(),
        }
    )
    return told


def _reaching(part: Part, arm: ScoredArm) -> dict[str, dict[str, Any]]:
    """Returns mark -> axis -> whether and when the runs of an arm reach it."""
    spent = {axis: efficiency.amounts(arm.curves, axis, part.scored.clock) for axis in efficiency.AXES}
    known = {axis: one for axis, one in spent.items() if one is not None}
    ends = {axis: part.budgets[axis].least if axis in part.budgets else float(one[-1]) for axis, one in known.items()}
    return {
        mark: {axis: arm.reaching(mark, one, ends[axis]) for axis, one in known.items()} for mark in part.scored.marks
    }


def _told(values: Floats) -> list[float | str | None]:
    """Returns one number per run: "never" where it is infinite, None where it is not known."""
    return [NEVER if math.isinf(value) else jsonable(value) for value in values.tolist()]


def _together(both: Together) -> dict[str, Any]:
    told: dict[str, Any] = jsonable(_but({field.name: getattr(both, field.name) for field in fields(both)}, "samples"))
    return told


def _but(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns values without one of them: what was drawn anew fills pages."""
    return {key: value for key, value in values.items() if key != name}


def jsonable(value: Any) -> Any:
    """Returns a value made of what JSON has: tuples with names become objects, not-finite numbers null."""
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: jsonable(one) for name, one in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(name): jsonable(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | range):
        return [jsonable(one) for one in value]
    return str(value) if isinstance(value, Path) else value
