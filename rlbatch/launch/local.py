"""How are runs trained on this machine? Several stacks at a time, each in a worker process of its own.

A worker that dies takes nothing with it but time. Its stack is tried once more; if that dies too, or memory was the
cause, as two halves, so that what kills it ends up alone, and a run that dies alone is recorded. Other stacks go on.
Ctrl-C and SIGTERM ask the workers to stop at the next vector step; the second one ends them at once.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from rlbatch.config import RunConfig, as_dict
from rlbatch.errors import InputError, RefusedError, RlbatchError, TemporaryError
from rlbatch.launch.checkpoints import continued
from rlbatch.launch.plan import plan_stacks
from rlbatch.launch.process import Worker
from rlbatch.recorder import record_crash
from rlbatch.results import RunFolder, storage
from rlbatch.training.checkpoint import INTERVAL_S

Report = Callable[[dict[str, Any]], None]
_GRACE_S = 30.0
_STALL_S = 600.0
"""Seconds without a word after which a worker counts as hung."""
_START_S = 120.0
"""The same until its first word, at least: loading torch on a busy machine takes long."""
_TICK_S = 1.0


@dataclass(frozen=True)
class Job:
    """One run to train: its config, its folder, and what config.json keeps beside the config."""

    config: RunConfig
    folder: RunFolder
    beside: dict[str, Any]


@dataclass(frozen=True)
class Resources:
    """With what runs are trained; no part of it belongs to a run's identity.

    Attributes:
        device: as asked.
        modules: to be imported by the workers.
        stack_width: most runs of a stack; None to let the planner choose.
        env_workers: processes that step the environments of a stack; 0 for none.
        memory: bytes, of which replays may fill half; None for no such limit.
        jobs: stacks that train at a time.
        checkpoints: the folder of all checkpoints; None keeps none.
        checkpoint_s: seconds of training between two of them.
    """

    device: str = "auto"
    modules: tuple[str, ...] = ()
    stack_width: int | None = None
    env_workers: int = 0
    memory: int | None = None
    jobs: int = 1
    checkpoints: Path | None = None
    checkpoint_s: float = INTERVAL_S


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """A signal ended the command.

    Attributes:
        exit_code: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


def train(jobs: Sequence[Job], report: Report, resources: Resources, *, logs: Path, lock: int) -> None:
    """Trains the jobs, several stacks at a time; raises what a worker could not cope with.

    Args:
        jobs: the runs.
        report: is told of progress, "run" and "runs" being indices of jobs.
        resources: with what.
        logs: a folder; each worker works in a folder inside it.
        lock: descriptor of the experiment's lock; workers inherit it, so it is held until the last of them is gone.

    Raises:
        Interrupted: a signal came.
        RlbatchError: a worker could not begin, or reported an error that concerns all runs.
    """
    crew = _Crew(jobs, report, resources, logs, lock)
    waiting = deque(_Stack(stack) for stack in stacks_of(jobs, resources))
    with _signals(crew):
        while waiting or crew.active:
            while waiting and len(crew.active) < resources.jobs and not crew.stopping:
                crew.start(waiting.popleft())
            if not crew.active:
                break
            waiting.extendleft(crew.hear())
    if crew.failure is not None:
        raise crew.failure
    if crew.signals:
        raise Interrupted(crew.signals[0])


def stacks_of(jobs: Sequence[Job], resources: Resources) -> list[list[int]]:
    """Returns which jobs train together, as indices: first those that go on, as they were, then all others."""
    kept = continued(resources.checkpoints, [(job.config, job.folder) for job in jobs])
    new = sorted(set(range(len(jobs))).difference(*kept))
    planned = plan_stacks(
        [jobs[index].config for index in new],
        width=resources.stack_width,
        memory=resources.memory,
        device=resources.device,
        jobs=resources.jobs,
    )
    return kept + [[new[place] for place in stack] for stack in planned]


def worker_job(jobs: Sequence[Job], widths: Sequence[int], lock: int, resources: Resources) -> dict[str, Any]:
    """Returns what a worker is told to do: the runs, stack after stack, and how many of them form each stack."""
    modules = resources.modules
    edges = list(itertools.accumulate(widths, initial=0))
    return {
        "runs": [
            {"config": as_dict(job.config), "folder": str(job.folder.path.resolve()), "beside": job.beside}
            for job in jobs
        ],
        "stacks": [list(range(a, b)) for a, b in itertools.pairwise(edges)],
        "lock": lock,
        "checkpoints": None if resources.checkpoints is None else str(resources.checkpoints.resolve()),
        "checkpoint_s": resources.checkpoint_s,
        "device": resources.device,
        "env_workers": resources.env_workers,
        "modules": list(modules),
        "directory": str(Path.cwd()),
        "path": [str(Path(folder).resolve()) for folder in sys.path if folder] if modules else [],
    }


def renumbered(message: dict[str, Any], indices: Sequence[int]) -> dict[str, Any]:
    """Returns a message whose run numbers count places in `indices` with the indices themselves in their stead."""
    told = dict(message)
    if "run" in message:
        told["run"] = indices[message["run"]]
    if "runs" in message:
        told["runs"] = [indices[run] for run in message["runs"]]
    return told


@dataclass
class _Stack:
    """Jobs that train together, as indices, how far they are, and how often a worker died in them."""

    indices: list[int]
    deaths: int = 0
    begun: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)


class _Crew:
    """The workers of one command.

    Attributes:
        active: worker -> its stack.
        signals: those that came.
        failure: what ends the command.
    """

    def __init__(self, jobs: Sequence[Job], report: Report, resources: Resources, logs: Path, lock: int) -> None:
        self._jobs, self._report, self._resources, self._logs, self._lock = jobs, report, resources, logs, lock
        self._inbox: SimpleQueue[tuple[Worker, dict[str, Any] | None]] = SimpleQueue()
        self.active: dict[Worker, _Stack] = {}
        self.signals: list[int] = []
        self.failure: RlbatchError | None = None
        self._deadline = threading.Timer(_GRACE_S, self.kill)
        self._deadline.daemon = True

    @property
    def stopping(self) -> bool:
        """Whether no more stacks are started."""
        return bool(self.signals) or self.failure is not None

    def start(self, stack: _Stack) -> None:
        """Starts a worker for a stack."""
        folder = self._logs / self._jobs[stack.indices[0]].config.run_id
        jobs = [self._jobs[index] for index in stack.indices]
        try:
            with storage(folder):
                folder.mkdir(parents=True, exist_ok=True)
                worker = Worker(folder, self._lock, self._inbox)
        except RlbatchError as error:
            self.fail(error)
            return
        self.active[worker] = stack
        worker.say(dumps(worker_job(jobs, [len(jobs)], self._lock, self._resources)))

    def hear(self) -> list[_Stack]:
        """Takes the next message, if one comes soon, and ends who is silent; returns stacks that must be done again."""
        for worker, stack in self.active.items():
            patience = _STALL_S if stack.begun else max(_STALL_S, _START_S)
            if time.monotonic() - worker.heard > patience:
                worker.hung = True
                worker.kill()
        try:
            worker, message = self._inbox.get(timeout=_TICK_S)
        except Empty:
            return []
        if message is None:
            return self._after(worker, self.active.pop(worker))
        stack = self.active[worker]
        if message["type"] == "error":
            self.fail(_as_error(message))
            return []
        told = renumbered(message, stack.indices)
        if "run" in told:
            stack.begun.add(told["run"])
        if told["type"] == "finished":
            stack.finished.add(told["run"])
        self._report(told)
        return []

    def fail(self, error: RlbatchError) -> None:
        """Remembers why the command ends, and asks all workers to stop."""
        self.failure = self.failure or error
        self.stop()

    def stop(self) -> None:
        """Asks all workers to stop at the next vector step; who has not after 30 s is ended."""
        for worker in list(self.active):
            worker.say("stop")
        if not self._deadline.is_alive():
            with contextlib.suppress(RuntimeError):  # it has been started before
                self._deadline.start()

    def kill(self) -> None:
        """Ends all workers at once."""
        for worker in list(self.active):
            worker.kill()

    def close(self) -> None:
        """Sees to it that no worker is left."""
        self._deadline.cancel()
        for worker in self.active:
            worker.close()

    def _after(self, worker: Worker, stack: _Stack) -> list[_Stack]:
        """Decides what becomes of a stack whose worker has ended; returns what must be done again."""
        worker.close()
        lost = [index for index in stack.indices if index not in stack.finished]
        if self.stopping or not lost:
            return []
        if not stack.begun:
            self.fail(RlbatchError(str(worker.log), "the worker ended before it began a run", "the log tells why"))
            return []
        if not stack.deaths and not worker.lacked_memory():
            return [_Stack(lost, 1)]
        if len(lost) > 1:
            return [_Stack(half, 1) for half in (lost[len(lost) // 2 :], lost[: len(lost) // 2])]
        self._bury(worker, lost[0])
        return []

    def _bury(self, worker: Worker, index: int) -> None:
        """Records a run that its worker died in for good, and tells of it."""
        job, reason = self._jobs[index], f"its process {worker.how_it_ended()}"
        evidence = worker.log.read_text(errors="replace")[-20_000:]
        outcome = "hung" if worker.hung else "out_of_memory" if worker.lacked_memory() else "crashed"
        result = record_crash(job.folder, job.config, outcome, reason, evidence)
        self._report({"type": "finished", "run": index, "result": result})


@contextlib.contextmanager
def _signals(crew: _Crew) -> Iterator[None]:
    """Turns SIGINT, SIGTERM and SIGHUP into a stop: the first asks, the second kills."""

    def handle(signum: int, _frame: FrameType | None) -> None:
        crew.signals.append(signum)
        if len(crew.signals) == 1:
            crew.stop()
            with contextlib.suppress(OSError, RuntimeError):  # the signal may have come within another print
                print("stopping after this step; once more stops at once", file=sys.stderr, flush=True)
        else:
            crew.kill()

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        crew.close()


def _as_error(message: dict[str, Any]) -> RlbatchError:
    kinds = {kind.exit_code: kind for kind in (RlbatchError, InputError, RefusedError, TemporaryError)}
    return kinds[message["exit_code"]](message["where"], message["what"], message["hint"])
