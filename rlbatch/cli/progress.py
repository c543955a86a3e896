"""What does the user see while runs train? A live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter, deque
from collections.abc import Collection, Sequence
from statistics import fmean
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType

from rlbatch.cli.output import duration, number, plural
from rlbatch.cli.table import Arm, Screen, Terminal, arm_labels, arm_text, arms_table, bar_line, listed, percent
from rlbatch.config import RunConfig
from rlbatch.errors import printable

_LINE_EVERY_S = 10.0
_MEASURED_S = 60.0
"""Over how long the speed is measured: stacks differ in it."""
_ARMS_IN_LINE = 4


class Show(Protocol):
    """Shows progress between entering and leaving it."""

    def __enter__(self) -> Show: ...

    def __exit__(self, kind: type[BaseException] | None, /, *rest: object) -> None: ...

    def __call__(self, message: dict[str, Any]) -> None:
        """Takes one progress message of `launch.execute`."""
        ...


def progress(configs: Sequence[RunConfig], *, quiet: bool, left: Collection[int] | None = None) -> Show:
    """Returns how to show these runs: nothing, live or in lines; all of it goes to standard error.

    Args:
        configs: the runs, as messages number them.
        quiet: show nothing.
        left: indices of those that will be trained. Without it that is known of a run when it begins, and until all
            have begun the time left is told as the most it can be.
    """
    if quiet:
        return _Nothing()
    console = Terminal()
    if sys.stderr.isatty() and console.is_interactive:
        return _Live(_Runs(configs, left), console)
    return _Lines(_Runs(configs, left))


def run_label(config: RunConfig) -> str:
    """Returns how a run is called in a line of progress."""
    return f"{config.env_id} batch {config.batch_size} seed {config.seed}"


class _Nothing:
    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, kind: type[BaseException] | None, /, *rest: object) -> None:
        return None

    def __call__(self, message: dict[str, Any]) -> None:
        return None


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


class _Runs:
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


class _Lines(_Nothing):
    """A line when a single run starts or ends, or one of several ends not ok; at most one in ten seconds between."""

    def __init__(self, runs: _Runs) -> None:
        self._runs = runs
        self._single = len(runs.configs) == 1
        self._last = time.monotonic()

    def __call__(self, message: dict[str, Any]) -> None:
        self._runs.hear(message)
        kind = message["type"]
        if kind == "measuring" and not message["done"]:
            self._say(
                f"measuring what is not known of costs and score scales yet: {message['of']}, about a second each"
            )
        elif kind == "note":
            self._say(self._runs.notes[-1])
        elif kind == "started" and self._single:
            before = message.get("timesteps")
            self._say(f"{self._name(message['run'])}: {f'goes on at env step {before:,}' if before else 'started'}")
        elif kind == "finished" and (self._single or message["result"]["outcome"] != "ok"):
            self._say(f"{self._name(message['run'])}: {_ending(message['result'])}")
        if time.monotonic() - self._last < _LINE_EVERY_S:
            return
        if kind == "eval" and self._single:
            config = self._runs.configs[0]
            told = [f"{message['timesteps']:,}/{config.total_timesteps:,} steps", f"return {number(message['return'])}"]
            self._say(f"{self._name(0)}: {listed(*told, self._runs.speed_text(), self._runs.time_text())}")
        elif any(self._runs.begun) and not self._single:
            self._say(self._summary())

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # nobody reads on: training goes on
            print(line, file=sys.stderr, flush=True)

    def _name(self, run: int) -> str:
        config = self._runs.configs[run]
        arm = arm_text(self._runs.headings, self._runs.labels[run])
        return f"{'' if self._runs.headings[0] == 'env' else f'{config.env_id} '}{arm} seed {config.seed}"

    def _summary(self) -> str:
        """Returns how all runs stand, and the returns of arms in progress."""
        runs = self._runs.runs()
        ended = f"{self._runs.ended(runs)}/{len(runs)} runs done, {percent(self._runs.fraction(runs))}"
        over_all = listed(ended, self._runs.speed_text(), self._runs.time_text(), self._runs.failures_text())
        arms = [arm for arm in self._runs.arms() if arm.active and arm.returns]
        told = [
            f"{arm_text(self._runs.headings, arm.label)}: return {number(fmean(arm.returns))} "
            f"({plural(len(arm.returns), 'run')})"
            for arm in arms[:_ARMS_IN_LINE]
        ]
        more = len(arms) - _ARMS_IN_LINE
        told += [f"and {plural(more, 'more arm')}"] if more > 0 else []
        return f"{over_all}; {listed(*told)}" if told else over_all


class _Live(_Nothing):
    """On a terminal: a table of all arms with a line over all runs, or one line for a single run."""

    def __init__(self, runs: _Runs, console: Console) -> None:
        self._runs = runs
        self._over = False
        self._screen = Screen(self._draw, console)

    def __enter__(self) -> _Live:
        self._screen.show()
        return self

    def __exit__(self, kind: type[BaseException] | None, /, *rest: object) -> None:
        if kind is None:
            self._runs.end()
        self._over = True
        self._screen.leave(keep=any(self._runs.begun))
        with contextlib.suppress(OSError):  # the terminal is gone
            print(*(f"{note}\n" for note in self._runs.notes), sep="", end="", file=sys.stderr, flush=True)

    def __call__(self, message: dict[str, Any]) -> None:
        self._runs.hear(message)

    def _draw(self, width: int, height: int) -> RenderableType:
        """Returns what stands there now; in the end the whole table, which the terminal may scroll."""
        state = self._runs
        if not any(state.begun):
            done, asked = state.measured
            if done < asked:
                return bar_line(f"measuring costs {done}/{asked}", done / asked, [""], width=width)
            return bar_line("starting", 0.0, [""], width=width)
        runs, speed, left = state.runs(), state.speed_text(), state.time_text()
        if len(state.configs) == 1:
            value = state.returns[0]
            told = "" if value is None else f"return {number(value)}"
            texts = [listed(told, speed, left), listed(told, left), left, ""]
            return bar_line(run_label(state.configs[0]), state.fraction(runs), texts, width=width)
        arms = state.arms()
        failures = state.failures_text()
        texts = [listed(speed, left, failures), listed(left, failures), failures, ""]
        table = arms_table(state.headings, arms, width=width, height=len(arms) + 1 if self._over else height - 2)
        return Group(table, bar_line(f"{state.ended(runs)}/{len(runs)} runs", state.fraction(runs), texts, width=width))


def _ending(result: dict[str, Any]) -> str:
    """Returns how a run ended."""
    reason = f" ({printable(result['reason'])})" if result["reason"] else ""
    return f"{result['outcome']}{reason}, return {number(result['final']['return_mean'])}"
