"""How will the runs be compared, as the file declares it before they are trained? The block `analysis`, checked.

The block is free; the keys that are known here are checked, and a key that looks like a known one is refused. So is
what would be kept and ignored: two keys that mean the same and differ, and another level than that of the verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbatch import presets
from rlbatch.config import SETTINGS, check_value
from rlbatch.env_ids import bare_id
from rlbatch.errors import InputError, nearest
from rlbatch.grid import PlannedRun
from rlbatch.plans import SYNONYMS
from rlbatch.strict_yaml import Document
from rlbatch.values import Check, Choice, Real

SCORES = ("auc", "final", "return_mean", "best")
"""Scores of a run that a comparison can be about."""

_FRACTION = Real(0, 1, above_low=True, below_high=True)
_KNOWN: dict[str, Check] = {
    "metric": Choice(SCORES),
    "score": Choice(SCORES),
    "equivalence": _FRACTION,
    "margin": _FRACTION,
    "delta": _FRACTION,
}
"""Key -> what it may be. equivalence, margin and delta are one thing, a part of the environment's reference range, and
so are metric and score: `plans.SYNONYMS`."""
ALPHA = 0.05
"""The level of all tests."""
_FREE = ("alpha", "reference", "compare", "scale", "choose", "per", "confirm", "test", "repeat")


def declared_analysis(document: Document, planned: Sequence[PlannedRun]) -> dict[str, Any]:
    """Returns the block, with the preset's batch size as the reference arm where it names none and there is one.

    Raises:
        InputError: it is no mapping, or a known key has a value it cannot have, or no run is the reference.
    """
    block = document.content.get("analysis", {})
    if not isinstance(block, dict):
        raise InputError(document.where(("analysis",)), "analysis: is not a mapping")
    for key, value in block.items():
        where = document.where(("analysis", key))
        if key in _KNOWN:
            try:
                _KNOWN[key](value)
            except ValueError as error:
                raise InputError(where, f"analysis: {key}: {error}") from error
            _check_alone(key, block, where)
        elif key == "alpha" and value != ALPHA:
            raise InputError(where, f"analysis: alpha: {value!r} is not the level of the tests", f"write {ALPHA}")
        elif key in ("reference", "compare"):
            _check_arm(value, f"analysis: {key}", where, planned)
        elif key not in _FREE and (hint := nearest(key, (*_KNOWN, *_FREE))):
            raise InputError(where, f"analysis: {key} is not a key that is known", hint)
    batches = _preset_batches(planned) & {run.config.batch_size for run in planned}
    if "reference" in block or len(batches) != 1:
        return dict(block)
    return block | {"reference": {"batch_size": batches.pop()}}


def _check_alone(key: str, block: Mapping[str, Any], where: str) -> None:
    """Raises InputError where another key of the block means the same and says something else."""
    meaning = SYNONYMS.get(key, key)
    for other, value in block.items():
        if other != key and SYNONYMS.get(other, other) == meaning and value != block[key]:
            raise InputError(where, f"analysis: {key} and {other} mean the same and differ", f"write {meaning} alone")


def _check_arm(value: Any, what: str, where: str, planned: Sequence[PlannedRun]) -> None:
    """Raises InputError unless some run has these values."""
    if not isinstance(value, Mapping) or not value:
        raise InputError(where, f"{what}: is not a mapping", "write {field: value}")
    for field, given in value.items():
        if field not in SETTINGS or field == "seed":
            raise InputError(where, f"{what}: {field} is not a setting of an arm", nearest(field, SETTINGS))
        try:
            typed = check_value(field, given)
        except InputError as error:
            raise InputError(where, f"{what}: {field}: {error.what}", error.hint) from error
        known = [getattr(run.config, field) for run in planned]
        known += [labels[field] for run in planned for labels in run.also if field in labels]
        if typed not in known:
            values = ", ".join(dict.fromkeys(map(str, known)))
            raise InputError(where, f"{what}: no run has {field}: {given}", f"the runs have {values}")


def _preset_batches(planned: Sequence[PlannedRun]) -> set[int]:
    """Returns the batch sizes that the presets of these runs have."""
    kinds = {(c.preset, c.algo, bare_id(c.env_id)) for c in (run.config for run in planned)}
    return {presets.load(*kind).values.get("batch_size", SETTINGS["batch_size"].default_for(kind[1])) for kind in kinds}
