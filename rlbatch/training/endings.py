"""How did a run end? The outcome, reason and evidence that an error leaves."""

from __future__ import annotations

import traceback

from rlbatch.rows import Ending
from rlbatch.training.envs import EnvironmentFailure


def outcome_of(error: BaseException) -> str:
    """Returns the outcome of a run that an error ended."""
    if isinstance(error, EnvironmentFailure):
        return "env_error"
    # torch's own errors, by name and text: processes that only step environments do not load torch
    on_gpu = isinstance(error, RuntimeError) and type(error).__name__ == "OutOfMemoryError"
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    if on_gpu or on_cpu or isinstance(error, MemoryError):
        return "out_of_memory"
    return "crashed"


def reason_of(error: BaseException) -> str:
    """Returns the error in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def evidence_of(error: BaseException) -> str:
    """Returns the traceback."""
    return "".join(traceback.format_exception(error))


def never_started(error: Exception, seconds: float) -> Ending:
    """Returns the ending of a run whose model or environments could not be made."""
    return Ending(outcome_of(error), reason_of(error), 0, 0, 0, seconds, evidence=evidence_of(error))
