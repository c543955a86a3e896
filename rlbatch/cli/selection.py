"""Which of an experiment's runs are meant? Those with the named values, or the first that are left to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlbatch.config import SETTINGS, check_name, check_value
from rlbatch.errors import InputError
from rlbatch.experiment import Experiment
from rlbatch.grid import PlannedRun
from rlbatch.launch.execute import left_to_do
from rlbatch.values import layers, seed_range


def only(planned: Sequence[PlannedRun], wanted: Sequence[tuple[str, Any]]) -> list[PlannedRun]:
    """Returns the runs whose resolved settings have all wanted values, where a list means any of its values.

    Args:
        planned: the runs.
        wanted: field of `RunConfig` and value, as --only gives them; a field stands once.

    Raises:
        InputError: a field or value is none, or no run has it.
    """
    kept = list(planned)
    for index, (field, raw) in enumerate(wanted):
        check_name(field)
        if field in (name for name, _ in wanted[:index]):
            raise InputError("--only", f"{field} is given twice", f"write {field}=[a,b] for any of two")
        values = _values(field, raw)
        matching = [run for run in kept if any(value in values for value in _own(run, field))]
        if not matching:
            there = list(dict.fromkeys(str(value) for run in kept for value in _own(run, field)))
            shown = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
            raise InputError("--only", f"no run has {field}={raw}", f"the runs have {shown}")
        kept = matching
    return kept


def first_left(
    planned: Sequence[PlannedRun], experiment: Experiment, limit: int, *, retry_failed: bool
) -> list[PlannedRun]:
    """Returns the first `limit` runs that are left to do, in the order of the plan, among those that are finished."""
    left = left_to_do(planned, experiment, retry_failed)
    dropped = set(left[limit:])
    return [run for index, run in enumerate(planned) if index not in dropped]


def _own(run: PlannedRun, field: str) -> list[Any]:
    """Returns the values a run has in a field: several where two designs share it."""
    return [getattr(run.config, field), *(labels[field] for labels in run.also if field in labels)]


def _values(field: str, raw: Any) -> list[Any]:
    """Returns the typed values that are wanted; raises InputError."""
    try:
        span = seed_range(raw) if field == "seed" and isinstance(raw, str) else None
    except ValueError as error:
        raise InputError("--only", f"{field}: {error}") from error
    if span is not None:
        return list(span)
    listed = SETTINGS[field].check is layers
    several = isinstance(raw, list) and (not listed or any(isinstance(part, list) for part in raw))
    return [check_value(field, value) for value in (raw if several else [raw])]
