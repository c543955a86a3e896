"""Which runs of a stack have ended, and as what? Each ends alone, when it fails, when it diverges, or at the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlbatch.config import RunConfig
from rlbatch.rows import Emit
from rlbatch.training.agents import Agents
from rlbatch.training.endings import evidence_of, outcome_of, reason_of
from rlbatch.training.envs import EnvironmentFailure
from rlbatch.training.stack_rows import StackRows
from rlbatch.training.state import Arrays

_WATCHED = {
    "update/q_mean": "q",
    "update/loss": "loss",
    "update/critic_loss": "loss",
    "update/actor_loss": "loss",
    "update/ent_coef_loss": "loss",
}
"""Tag -> what is said not to be finite where its mean is not."""


@dataclass
class Position:
    """How far every run of a stack is.

    Attributes:
        env_steps: that were taken.
        updates: that were made.
    """

    env_steps: int = 0
    updates: int = 0


class StackEndings:
    """Ends the runs of a stack, and tells of each once.

    Args:
        configs: the R runs, in the stack's order.
        agents: their networks.
        rows: what an ending says.
        emit: takes it.
        at: how far they are.

    Attributes:
        live: the runs that have not ended; always the same list.
    """

    def __init__(self, configs: Sequence[RunConfig], agents: Agents, rows: StackRows, emit: Emit, at: Position) -> None:
        self.live = list(range(len(configs)))
        self._envs, self._agents, self._rows, self._emit, self._at = configs[0].n_envs, agents, rows, emit, at
        self._bad: dict[str, NDArray[np.bool_]] = {}

    def finish(self) -> None:
        """Ends the runs that came through."""
        for run in list(self.live):
            self._end(run, "ok", policy=self._agents.weights(run))

    def fail_all(self, error: Exception) -> None:
        """Ends every run that is left with an error that is not one run's own."""
        for run in list(self.live):
            self._end(run, outcome_of(error), reason_of(error), evidence=evidence_of(error))

    def fail(self, failures: Mapping[int, EnvironmentFailure]) -> None:
        """Ends the runs with an environment that failed; of E environments per run, by the environment's number."""
        for index, failure in failures.items():
            if index // self._envs in self.live:
                self.fail_one(index // self._envs, failure)

    def fail_one(self, run: int, failure: EnvironmentFailure) -> None:
        """Ends a run whose environment failed; after its weights went bad that is a divergence."""
        where = None
        if not self._agents.finite()[run]:
            where = "parameters"
        elif failure.nonfinite:
            where = failure.where
        diverged = where == "parameters"
        self._end(
            run,
            "diverged" if diverged else "env_error",
            self._not_finite(where) if diverged else reason_of(failure),
            where=where,
            evidence=evidence_of(failure),
        )

    def diverge(self, which: NDArray[np.bool_], where: str) -> None:
        """Ends the given runs, (R,) bool, as diverged: `where` they are not finite."""
        for run in [run for run in self.live if which[run]]:
            self._end(run, "diverged", self._not_finite(where), where=where)

    def diverge_by_parameters(self) -> None:
        """Ends the runs whose parameters are not finite."""
        self.diverge(~self._agents.finite(), "parameters")

    def look_for_nonfinite(self) -> None:
        """Ends the runs whose measurements since the last look, or whose parameters, are not finite."""
        self.note(self._agents.sums.peek(_WATCHED))
        for where, which in self._bad.items():
            self.diverge(which, where)
        self._bad = {}
        self.diverge_by_parameters()

    def note(self, means: Mapping[str, NDArray[np.float64]]) -> None:
        """Remembers, until the next look, the runs whose measurements, (R,) by tag, are not finite."""
        for tag, where in _WATCHED.items():
            if tag in means and not np.isfinite(means[tag]).all():
                self._bad[where] = self._bad.get(where, False) | ~np.isfinite(means[tag])

    def is_noted(self, run: int) -> bool:
        """Tells whether a run is about to end as diverged."""
        return any(bad[run] for bad in self._bad.values())

    def state(self) -> Arrays:
        """Returns what was noted since the last look, (R,) each."""
        return dict(self._bad)

    def restore(self, state: Arrays) -> None:
        """Takes over what `state` returned."""
        self._bad = dict(state)

    def _end(self, run: int, outcome: str, reason: str = "", *, where: str | None = None, **known: Any) -> None:
        at = self._at
        nonfinite = None if where is None else {"timesteps": at.env_steps, "where": where}
        self.live.remove(run)
        self._emit(run, self._rows.ending(run, outcome, reason, at.env_steps, at.updates, nonfinite, **known))

    def _not_finite(self, where: str | None) -> str:
        return f"{where} not finite at env step {self._at.env_steps}"
