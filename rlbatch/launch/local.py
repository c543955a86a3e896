"""How are runs trained on this machine? In a worker process that the driver feeds, hears and, if need be, replaces.

A worker that dies takes nothing with it but time: a new one trains the stack it died in as two halves, so that what
killed it, memory or one run, ends up alone; a run that dies alone is recorded as crashed. Ctrl-C and SIGTERM ask the
worker to stop at the next vector step; the second one ends it at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rlbatch.config import RunConfig, as_dict
from rlbatch.errors import InputError, RefusedError, RlbatchError, TemporaryError
from rlbatch.launch.checkpoints import continued
from rlbatch.launch.plan import plan_stacks
from rlbatch.recorder import record_crash
from rlbatch.results import RunFolder, storage
from rlbatch.training.checkpoint import INTERVAL_S

_GRACE_S = 30


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
        stack_width: most runs of a stack; None for `plan.MAX_WIDTH`.
        env_workers: processes that step the environments of a stack; 0 for none.
        memory: bytes, of which the replays of a stack may fill half; None for no such limit.
        checkpoints: the folder of all checkpoints; None keeps none.
        checkpoint_s: seconds of training between two of them.
    """

    device: str = "auto"
    modules: tuple[str, ...] = ()
    stack_width: int | None = None
    env_workers: int = 0
    memory: int | None = None
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


def train(
    jobs: Sequence[Job],
    report: Callable[[dict[str, Any]], None],
    resources: Resources,
    *,
    logs: Path,
    lock: int,
) -> None:
    """Trains the jobs, stack after stack, in one worker after the other; raises what a worker could not cope with.

    Args:
        jobs: the runs.
        report: is told of progress, "run" and "runs" being indices of jobs.
        resources: with what.
        logs: a folder; the worker works in a folder inside it.
        lock: descriptor of the experiment's lock; workers inherit it, so it is held until the last of them is gone.
    """
    stacks = stacks_of(jobs, resources)
    while stacks:
        left = [index for stack in stacks for index in stack]
        folder = logs / jobs[left[0]].config.run_id
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
            worker = _Worker(folder, lock)
        widths = [len(stack) for stack in stacks]
        worker.say(json.dumps(worker_job([jobs[i] for i in left], widths, lock, resources)))
        with _signals(worker) as seen:
            begun, finished = _follow(worker, left, report)
        if seen:
            raise Interrupted(seen[0])
        if not begun:
            raise RlbatchError(str(worker.log), "the worker ended before it began a run", "the log tells why")
        again = []
        for stack in stacks:
            lost = [index for index in stack if index in begun - finished]
            if len(lost) == 1:
                report(_bury(worker, jobs[lost[0]], lost[0]))
            elif lost:
                again += [lost[: len(lost) // 2], lost[len(lost) // 2 :]]
        stacks = again + [stack for stack in stacks if not begun.intersection(stack)]


def stacks_of(jobs: Sequence[Job], resources: Resources) -> list[list[int]]:
    """Returns which jobs train together, as indices: first those that go on, as they were, then all others."""
    width, memory, device = resources.stack_width, resources.memory, resources.device
    kept = continued(resources.checkpoints, [(job.config, job.folder) for job in jobs])
    new = sorted(set(range(len(jobs))).difference(*kept))
    planned = plan_stacks([jobs[index].config for index in new], width=width, memory=memory, device=device)
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


class _Worker:
    """A worker process and the pipes to it."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.log = folder / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rlbatch.launch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                text=True,
                pass_fds=[lock],
                start_new_session=True,  # a Ctrl-C in the terminal reaches the driver alone
            )

    def say(self, line: str) -> None:
        """Writes a line to the worker, if it still listens."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            print(line, file=self.process.stdin, flush=True)

    def kill(self) -> None:
        """Ends the worker and the processes that step its environments, whatever they are doing."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yields what the worker says until it ends."""
        for line in self.process.stdout or ():
            yield json.loads(line)
        self.process.wait()


def _follow(worker: _Worker, left: list[int], report: Callable[[dict[str, Any]], None]) -> tuple[set[int], set[int]]:
    """Passes the worker's messages on until it ends; returns the jobs that it began and those that it finished."""
    begun: set[int] = set()
    finished: set[int] = set()
    for message in worker.messages():
        if message["type"] == "error":
            raise _as_error(message)
        told = renumbered(message, left)
        if "run" in told:
            begun.add(told["run"])
            if told["type"] == "finished":
                finished.add(told["run"])
        report(told)
    return begun, finished


def _bury(worker: _Worker, job: Job, index: int) -> dict[str, Any]:
    """Records a run that a worker died in; returns the message that tells of it."""
    code = worker.process.returncode
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    tail = worker.log.read_text(errors="replace")[-20_000:]
    result = record_crash(job.folder, job.config, f"its process was {how}" if code < 0 else f"its process {how}", tail)
    return {"type": "finished", "run": index, "result": result}


@contextlib.contextmanager
def _signals(worker: _Worker) -> Iterator[list[int]]:
    """Turns SIGINT, SIGTERM and SIGHUP into a stop: the first asks, the second or 30 s kill. Yields those that came."""
    seen: list[int] = []
    deadline = threading.Timer(_GRACE_S, worker.kill)
    deadline.daemon = True

    def handle(signum: int, _frame: FrameType | None) -> None:
        seen.append(signum)
        if len(seen) == 1:
            worker.say("stop")
            deadline.start()
            with contextlib.suppress(OSError, RuntimeError):  # the signal may have come within another print
                print("stopping after this step; once more stops at once", file=sys.stderr, flush=True)
        else:
            worker.kill()

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield seen
    finally:
        deadline.cancel()
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if worker.process.poll() is None:
            with contextlib.suppress(OSError):
                worker.process.stdin and worker.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(_GRACE_S)
            worker.kill()
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _as_error(message: dict[str, Any]) -> RlbatchError:
    kinds = {kind.exit_code: kind for kind in (RlbatchError, InputError, RefusedError, TemporaryError)}
    return kinds[message["exit_code"]](message["where"], message["what"], message["hint"])
