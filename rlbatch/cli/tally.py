"""How far are the runs in training? Their steps, speed, time left and returns, counted from what is told of them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Collection, Sequence
from typing import Any

from rlbatch.cli.arm_labels import arm_labels
from rlbatch.cli.output import duration
from rlbatch.cli.table import Arm, listed
from rlbatch.config import RunConfig
from rlbatch.errors import printable

_MEASURED_S = 60.0
"""Over how long the speed is measured: stacks differ in it."""


class Tally:
    """How far the runs are. A message changes single entries and no length, so another thread may read meanwhile."""

    def __init__(self, configs: Sequence[RunConfig], left: Collection[int] | None = None) -> None:
        self.configs = configs
        self.outcomes: list[str | None] = [None] * len(configs)
        self.returns: list[float | None] = [None] * len(configs)
        self.begun = [False] * len(configs)
        self.measured = (0, 0)
        self.notes: list[str] = []
        self._steps = [0] * len(configs)
        self._counts = [left is None or run in left for run in range(len(configs))]
        self._sure = left is not None
        self._pace = _Pace()
        arms: dict[str, list[int]] = {}
        for run, config in enumerate(configs):
            arms.setdefault(config.arm_id, []).append(run)
        self._arms = list(arms.values())
        self.headings, labels = arm_labels([configs[runs[0]] for runs in self._arms])
        self.labels = {run: label for runs, label in zip(self._arms, labels, strict=True) for run in runs}

    def hear(self, message: dict[str, Any]) -> None:
        """Takes a message into account."""
        if message["type"] == "measuring":
            self.measured = (message["done"], message["of"])
        elif message["type"] == "note":
            self.notes.append(f"note: {printable(message['text'])}")
        told = message["result"] if message["type"] == "finished" else message
        gained = 0
        for run in message.get("runs", [message["run"]] if "run" in message else []):
            self._counts[run] = self.begun[run] = True  # in this order: who has begun counts
            steps = min(told.get("timesteps", 0), self.configs[run].total_timesteps)
            if message["type"] != "started":  # what was done before is no speed of now
                gained += max(steps - self._steps[run], 0)
            self._steps[run] = max(steps, self._steps[run])
            if message["type"] == "eval":
                self.returns[run] = message["return"]
            elif message["type"] == "finished":
                self.outcomes[run] = told["outcome"]
        if gained:
            self._pace.gain(gained)

    def end(self) -> None:
        """Takes into account that no message comes any more: what never began was finished before."""
        self._counts = list(self.begun)

    def runs(self) -> list[int]:
        """Returns the runs that count: those that will be trained, as far as that is known."""
        return [run for run, counts in enumerate(self._counts) if counts]

    def ended(self, runs: Sequence[int]) -> int:
        """Returns how many of these runs ended."""
        return sum(self.outcomes[run] is not None for run in runs)

    def fraction(self, runs: Sequence[int]) -> float:
        """Returns which part of their env steps these runs need no more, 0 to 1."""
        total = sum(self.configs[run].total_timesteps for run in runs)
        return (total - sum(map(self._left, runs))) / total

    def arms(self) -> list[Arm]:
        """Returns how the arms stand that have runs that count."""
        counted = ([run for run in runs if self._counts[run]] for runs in self._arms)
        return [self._arm(runs) for runs in counted if runs]

    def speed_text(self) -> str:
        """Returns the env steps per second of all runs together, or nothing."""
        speed = self._pace.speed()
        return "" if speed is None else f"{speed:,.0f} steps/s"

    def time_text(self) -> str:
        """Returns how long the runs that count will take, or nothing."""
        runs, speed = self.runs(), self._pace.speed()
        steps = sum(map(self._left, runs))
        if speed is None or not steps:
            return ""
        sure = self._sure or all(self.begun[run] for run in runs)
        return f"{'' if sure else 'at most '}{duration(steps / speed)} left"

    def failures_text(self) -> str:
        """Returns how many runs ended with which outcome other than ok, or nothing."""
        counts = Counter(outcome for outcome in self.outcomes if outcome not in (None, "ok"))
        return listed(*(f"{count} {outcome}" for outcome, count in counts.items()))

    def _left(self, run: int) -> int:
        return 0 if self.outcomes[run] is not None else self.configs[run].total_timesteps - self._steps[run]

    def _arm(self, runs: list[int]) -> Arm:
        return Arm(
            label=self.labels[runs[0]],
            ended=self.ended(runs),
            runs=len(runs),
            begun=any(self.begun[run] for run in runs),
            fraction=self.fraction(runs),
            returns=[value for run in runs if (value := self.returns[run]) is not None],
            not_ok=sum(self.outcomes[run] not in (None, "ok") for run in runs),
        )


class _Pace:
    """How many env steps per second all runs take together."""

    def __init__(self) -> None:
        self._taken = 0
        self._marks: deque[tuple[float, int]] = deque()

    def gain(self, steps: int) -> None:
        """Takes steps into account; the first ones only start the clock, for nobody saw when they began."""
        now = time.monotonic()
        if not self._marks:
            self._marks.append((now, 0))
            return
        self._taken += steps
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, self._taken))
        while len(self._marks) > 1 and now - self._marks[1][0] >= _MEASURED_S:
            self._marks.popleft()

    def speed(self) -> float | None:
        """Returns env steps per second over the last minute, or None before anything is known."""
        if not self._marks:
            return None
        then, before = self._marks[0]
        spent, taken = time.monotonic() - then, self._taken - before
        return taken / spent if spent > 0.5 and taken else None
