"""What is concluded, as numbers and text that JSON can hold?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlbatch.analysis.answer import Answer, Part, Together
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.questions import good_rates
from rlbatch.analysis.recommend import Recommendation
from rlbatch.analysis.steadiness import steadiness_of

_ON_A_SCALE = ("score", "difference")
"""Kinds of metrics that have a value on the environment's scale."""


def plain(found: Answer) -> dict[str, Any]:
    """Returns an answer as JSON has it; numbers that are not finite are null, batch sizes are texts as keys."""
    comparison = found.comparison
    return {
        "experiments": [str(path) for path in comparison.collected.experiments],
        "metric": found.metric,
        "delta": found.delta,
        "declared": found.declared,
        "complete": comparison.complete,
        "missing": [{"run": run.path, "status": run.status, "reason": run.reason} for run in comparison.missing],
        "unfinished": [{"run": run.path, "status": run.status} for run in comparison.unfinished],
        "parts": [_part(part, found.delta) for part in found.parts],
        "together": [_together(both) for both in found.together],
    }


def plain_recommendations(found: Sequence[Recommendation], together: Sequence[str]) -> dict[str, Any]:
    """Returns what is recommended as JSON has it."""
    return {"recommendations": [jsonable(one) for one in found], "together": list(together)}


def _part(part: Part, delta: float) -> dict[str, Any]:
    scored = part.scored
    arms = [
        {
            "batch_size": batch,
            "learning_rate": rate,
            "path": arm.arm.path,
            "seeds": arm.curves.seeds,
            "values": arm.values,
            "normalised": {name: arm.normalised(name) for name in arm.values if METRICS[name].kind in _ON_A_SCALE},
            "across": arm.across,
        }
        for (batch, rate), arm in part.cells.items()
    ]
    ways = [
        {
            "kind": way.kind,
            "words": way.words,
            "notes": way.notes,
            "samples": way.samples,
            "tuned": way.tuned,
            "verdicts": part.verdicts[way.kind],
        }
        for way in part.ways
    ]
    told: dict[str, Any] = jsonable(
        {
            "env_id": scored.task.env_id,
            "fixed": part.slice.fixed,
            "scale": scored.scale,
            "marks": scored.marks,
            "scaled": part.scaled,
            "ways": ways,
            "seed_correlation": part.seed_correlation,
            "good_rates": good_rates(part.cells, part.metric, delta) if part.scaled else {},
            "steadiness": {one.metric: one.standings for one in steadiness_of(part, delta)},
            "arms": arms,
        }
    )
    return told


def _together(both: Together) -> dict[str, Any]:
    told: dict[str, Any] = jsonable(
        {field.name: getattr(both, field.name) for field in fields(both) if field.name != "samples"}
    )
    return told


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
