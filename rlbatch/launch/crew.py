"""What becomes of a stack whose worker dies? What all launchers share: workers are hired, heard, and lost.

A worker that dies takes nothing with it but time. Its stack is tried once more; if that dies too, or memory was the
cause, as two halves, so that what kills it ends up alone, and a run that dies alone is recorded. Other stacks go on.
Ctrl-C and SIGTERM ask the workers to stop at the next vector step; the second one ends them at once.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from rlbatch.errors import InputError, RefusedError, RlbatchError, TemporaryError
from rlbatch.launch.hand import Hand, Hire, Inbox
from rlbatch.launch.job import Job, Resources, renumbered, stacks_of
from rlbatch.recorder import record_crash

Report = Callable[[dict[str, Any]], None]
_GRACE_S = 30.0
_STALL_S = 600.0
"""Seconds without a word after which a worker counts as hung."""
_START_S = 600.0
"""The same until its first word: loading torch on a busy machine takes long."""
_TICK_S = 1.0
_LOSSES = 5
"""Times that a stack may lose its machine before it had got further than it was; then that counts as dying."""


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""End a command; its exit code is 128 and the signal's number."""


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """A signal ended the command.

    Attributes:
        exit_code: 128 and its number.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


def train(jobs: Sequence[Job], report: Report, resources: Resources, hire: Hire) -> None:
    """Trains the jobs, several stacks at a time; raises what a worker could not cope with.

    Args:
        jobs: the runs.
        report: is told of progress, "run" and "runs" being indices of jobs.
        resources: with what.
        hire: starts a worker.

    Raises:
        Interrupted: a signal came.
        RlbatchError: a worker could not begin, or reported an error that concerns all runs.
    """
    crew = Crew(jobs, report, hire)
    waiting = deque(Stack(stack) for stack in stacks_of(jobs, resources))
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


@dataclass
class Stack:
    """Jobs that train together, as indices, how far they are, and how often a worker died in them.

    Attributes:
        indices: of the jobs.
        deaths: of workers, by what the stack may have done.
        losses: of machines, since the stack last got further.
        reached: env steps of each run, the most that any worker told.
        began_at: the same when the worker began.
        begun: jobs that the worker has begun.
        finished: jobs that it has finished.
    """

    indices: list[int]
    deaths: int = 0
    losses: int = 0
    reached: int = 0
    began_at: int = 0
    begun: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)


class Crew:
    """The workers of one command.

    Attributes:
        active: worker -> its stack.
        signals: those that came.
        failure: what ends the command.
    """

    def __init__(self, jobs: Sequence[Job], report: Report, hire: Hire) -> None:
        self._jobs, self._report, self._hire = jobs, report, hire
        self._inbox: Inbox = SimpleQueue()
        self.active: dict[Hand, Stack] = {}
        self.signals: list[int] = []
        self.failure: RlbatchError | None = None
        self._deadline = threading.Timer(_GRACE_S, self.kill)
        self._deadline.daemon = True

    @property
    def stopping(self) -> bool:
        """Whether no more stacks are started."""
        return bool(self.signals) or self.failure is not None

    def start(self, stack: Stack) -> None:
        """Starts a worker for a stack."""
        try:
            worker = self._hire([self._jobs[index] for index in stack.indices], self._inbox)
        except RlbatchError as error:
            self.fail(error)
            return
        self.active[worker] = stack

    def hear(self) -> list[Stack]:
        """Takes the next message, if one comes soon, and ends who is silent; returns stacks that must be done again."""
        for worker, stack in self.active.items():
            patience = _STALL_S if stack.begun else _START_S
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
            worker.deliver(self._jobs[told["run"]])
            stack.finished.add(told["run"])
        stack.reached = max(stack.reached, told.get("timesteps", 0))
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

    def _after(self, worker: Hand, stack: Stack) -> list[Stack]:
        """Decides what becomes of a stack whose worker has ended; returns what must be done again."""
        worker.close()
        self._collect(worker, stack)
        lost = [index for index in stack.indices if index not in stack.finished]
        if self.stopping or not lost:
            return []
        further = stack.reached > stack.began_at
        losses = 0 if further else stack.losses + 1
        if worker.lost and losses <= _LOSSES:
            return [Stack(lost, stack.deaths, losses, stack.reached, stack.reached)]
        if not stack.begun:
            self.fail(RlbatchError(str(worker.log), "the worker ended before it began a run", "the log tells why"))
            return []
        if not stack.deaths and not worker.lacked_memory():
            return [Stack(lost, 1)]
        if len(lost) > 1:
            return [Stack(half, 1) for half in (lost[len(lost) // 2 :], lost[: len(lost) // 2])]
        self._bury(worker, lost[0])
        return []

    def _collect(self, worker: Hand, stack: Stack) -> None:
        """Takes in what the worker finished without coming to tell it."""
        for index in sorted(set(stack.indices) - stack.finished):
            result = worker.deliver(self._jobs[index])
            if result is not None:
                stack.finished.add(index)
                self._report({"type": "finished", "run": index, "result": result})

    def _bury(self, worker: Hand, index: int) -> None:
        """Records a run that its worker died in for good, and tells of it."""
        job, reason = self._jobs[index], f"its process {worker.how_it_ended()}"
        evidence = worker.log.read_text(errors="replace")[-20_000:] if worker.log.exists() else ""
        outcome = "hung" if worker.hung else "out_of_memory" if worker.lacked_memory() else "crashed"
        result = record_crash(worker.folder_of(job), job.config, outcome, reason, evidence)
        worker.deliver(job)
        self._report({"type": "finished", "run": index, "result": result})


@contextlib.contextmanager
def _signals(crew: Crew) -> Iterator[None]:
    """Turns `SIGNALS` into a stop: the first asks, the second kills."""

    def handle(signum: int, _frame: FrameType | None) -> None:
        crew.signals.append(signum)
        if len(crew.signals) == 1:
            crew.stop()
            with contextlib.suppress(OSError, RuntimeError):  # the signal may have come within another print
                print("stopping after this step; once more stops at once", file=sys.stderr, flush=True)
        else:
            crew.kill()

    before = {s: signal.signal(s, handle) for s in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        crew.close()


def _as_error(message: dict[str, Any]) -> RlbatchError:
    kinds = {kind.exit_code: kind for kind in (RlbatchError, InputError, RefusedError, TemporaryError)}
    return kinds[message["exit_code"]](message["where"], message["what"], message["hint"])
