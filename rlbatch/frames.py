"""What do many runs say? Their results or their rows as one table, with every setting as a column."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbatch.config import as_dict
from rlbatch.errors import InputError, nearest
from rlbatch.results import RunFolder, find_runs

if TYPE_CHECKING:
    import polars

KINDS = ("runs", "eval", "train")
_FROM_RESULT = ("timesteps", "updates", "samples", "seconds", "reason", "resume_exact", "attempts")


def load(folder: str | Path, rows: str = "runs") -> polars.DataFrame:
    """Returns the runs at or below a folder as a frame, in the order of their paths.

    Columns: `folder`, `run_id`, `arm_id` and `status` (an outcome, or partial); every field of `RunConfig`
    (`env_kwargs` as JSON); then, for "runs", the counts and final scores of result.json, null while a run is not
    finished, and for the rows their counts and tags, `returns` and `lengths` being lists with one number per episode.

    Args:
        folder: of a run, of an experiment, or of several.
        rows: "runs" for one line per run, "eval" for one per evaluation, "train" for one per train row.

    Raises:
        InputError: there is no such folder or kind, or a file cannot be read.
        RefusedError: a run has a newer schema, or was changed by hand.
    """
    import polars  # a second that commands without tables need not wait

    if rows not in KINDS:
        raise InputError("rows", f"{rows!r} cannot be loaded", nearest(rows, KINDS) or f"allowed: {', '.join(KINDS)}")
    root = Path(folder)
    if not root.is_dir():
        raise InputError(str(folder), "is not a folder")
    lines = [line for run in find_runs(root) for line in _lines(run, rows)]
    return polars.DataFrame(lines, infer_schema_length=None)


def read_tags(run: RunFolder, tags: Sequence[str]) -> polars.DataFrame:
    """Returns the train rows of a run: `timesteps`, and each of these tags as a number, null where there is none.

    A last line without its end, as a kill leaves it, is skipped.

    Raises:
        InputError: the rows cannot be read.
    """
    import polars

    path = run.metrics_path
    try:
        rows = path.read_bytes()
        schema = {"kind": polars.String, "timesteps": polars.Int64} | dict.fromkeys(tags, polars.Float64)
        frame = polars.read_ndjson(rows[: rows.rfind(b"\n") + 1], schema=schema)
    except (OSError, polars.exceptions.PolarsError) as error:
        raise InputError(str(path), f"cannot be read: {error}") from error
    return frame.filter((polars.col("kind") == "train") & polars.col("timesteps").is_not_null())


def _lines(run: RunFolder, rows: str) -> Iterator[dict[str, Any]]:
    """Yields a run's lines."""
    record, config, result = run.record(), run.config(), run.result()
    settings = as_dict(config) | {"env_kwargs": json.dumps(config.env_kwargs, sort_keys=True)}
    settings |= {name: str(settings[name]) for name in ("ent_coef", "target_entropy") if settings[name] is not None}
    named = {"folder": str(run.path), "run_id": record["run_id"], "arm_id": record["arm_id"], "status": run.status()}
    if rows != "runs":
        yield from (named | settings | row for row in run.rows(rows))
        return
    told = dict.fromkeys(_FROM_RESULT) if result is None else {name: result[name] for name in _FROM_RESULT}
    final = {} if result is None else dict(result["final"])
    crossing = final.pop("steps_to_threshold", None)
    reached = {"reached_threshold": None if crossing is None else crossing != "never"}
    reached["steps_to_threshold"] = crossing if isinstance(crossing, int | float) else None
    yield named | settings | told | final | reached
