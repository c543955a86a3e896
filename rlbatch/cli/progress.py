"""What does the user see while runs train? A live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Collection, Sequence
from statistics import fmean
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType

from rlbatch.cli.arm_labels import arm_text
from rlbatch.cli.output import number, plural
from rlbatch.cli.screen import Screen, Terminal
from rlbatch.cli.table import arms_table, bar_line, listed, percent
from rlbatch.cli.tally import Tally
from rlbatch.config import RunConfig
from rlbatch.errors import printable

_LINE_EVERY_S = 10.0
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
        return _Live(Tally(configs, left), console)
    return _Lines(Tally(configs, left))


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


class _Lines(_Nothing):
    """A line when a single run starts or ends, or one of several ends not ok; at most one in ten seconds between."""

    def __init__(self, runs: Tally) -> None:
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

    def __init__(self, runs: Tally, console: Console) -> None:
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
