"""What does the user see while runs train? A progress bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from rlbatch.cli.output import duration, number
from rlbatch.config import RunConfig
from rlbatch.errors import printable

_LINE_EVERY_S = 10.0


class Show(Protocol):
    """Shows progress between entering and leaving it."""

    def __enter__(self) -> Show: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, message: dict[str, Any]) -> None:
        """Takes one progress message of `launch.execute`."""
        ...


def progress(configs: Sequence[RunConfig], *, quiet: bool) -> Show:
    """Returns how to show these runs: nothing, a bar or lines; all of it goes to standard error."""
    if quiet:
        return _Nothing()
    return _Bar(configs) if sys.stderr.isatty() else _Lines(configs)


def run_label(config: RunConfig) -> str:
    """Returns how a run is called in a line of progress."""
    return f"{config.env_id} batch {config.batch_size} seed {config.seed}"


class _Nothing:
    def __enter__(self) -> _Nothing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, message: dict[str, Any]) -> None:
        return None


class _Pace:
    """Env steps taken and left over all runs, and how fast they go."""

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self.configs = configs
        self.taken = 0
        self.left = sum(config.total_timesteps for config in configs)
        self._at = dict.fromkeys(range(len(configs)), 0)
        self._trained = 0
        self._started: float | None = None

    def hear(self, message: dict[str, Any]) -> None:
        """Takes a message into account."""
        run = message.get("run")
        if run is None:
            return
        now = self.configs[run].total_timesteps if message["type"] == "finished" else message.get("timesteps", 0)
        gained = max(now - self._at[run], 0)
        self._at[run] += gained
        self.taken += gained
        self.left -= gained
        if message["type"] in ("tick", "train"):
            if self._started is None:
                self._started = time.monotonic()
            else:
                self._trained += gained

    def speed(self) -> float | None:
        """Returns env steps per second, or None before anything is known."""
        spent = time.monotonic() - self._started if self._started is not None else 0.0
        return self._trained / spent if spent > 0.5 and self._trained else None

    def text(self) -> str:
        """Returns speed and time left."""
        speed = self.speed()
        scope = " in all" if len(self.configs) > 1 else ""
        return "" if speed is None else f"{speed:,.0f} steps/s, {duration(self.left / speed)} left{scope}"


class _Lines(_Nothing):
    """One line per run that starts or ends, and at most one every ten seconds between."""

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self._pace = _Pace(configs)
        self._last = time.monotonic()

    def __enter__(self) -> _Lines:
        return self

    def __call__(self, message: dict[str, Any]) -> None:
        self._pace.hear(message)
        if "run" not in message:
            return
        config = self._pace.configs[message["run"]]
        if message["type"] == "started":
            self._say(f"{run_label(config)}: started")
        elif message["type"] == "finished":
            result = message["result"]
            reason = f" ({printable(result['reason'])})" if result["reason"] else ""
            self._say(
                f"{run_label(config)}: {result['outcome']}{reason}, return {number(result['final']['return_mean'])}"
            )
        elif message["type"] == "eval" and time.monotonic() - self._last >= _LINE_EVERY_S:
            steps = f"{message['timesteps']:,}/{config.total_timesteps:,} steps"
            self._say(f"{run_label(config)}: {steps}, return {number(message['return'])}, {self._pace.text()}")

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # nobody reads on: training goes on
            print(line, file=sys.stderr, flush=True)


class _Bar:
    """A bar over the env steps of all runs, with the run in progress, its last return, the speed and the time left."""

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self._pace = _Pace(configs)
        self._returns = ""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
        )
        self._bar = Progress(*columns, TextColumn("{task.fields[told]}", markup=False), console=Console(stderr=True))
        self._task: TaskID = self._bar.add_task("starting", total=self._pace.left, told="")

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, message: dict[str, Any]) -> None:
        self._pace.hear(message)
        if "run" not in message:
            return
        config = self._pace.configs[message["run"]]
        if message["type"] == "eval":
            self._returns = f"return {number(message['return'])}  "
        count = len(self._pace.configs)
        which = f" [{message['run'] + 1}/{count}]" if count > 1 else ""
        told = self._returns + self._pace.text()
        self._bar.update(self._task, completed=self._pace.taken, description=run_label(config) + which, told=told)
