"""What is a worker on a cluster to its driver? A Ray task that starts the worker's process and passes on what it says.

The worker is the same process as on one machine. Its task feeds it, watches a file for the driver's word, and tells how
it ended. Only text travels: the job as JSON, messages as JSON lines.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from rlbatch import __version__
from rlbatch.errors import RlbatchError
from rlbatch.launch.attempts import publish
from rlbatch.launch.job import Job
from rlbatch.launch.process import Worker
from rlbatch.paths import run_path
from rlbatch.results import RunFolder, write_bytes

_CONTROL = "control"
"""File in an attempt's folder with the driver's last word: go, stop or kill."""
_TICK_S = 0.5
_GRACE_S = 15.0
"""How long a task may take to end its worker before Ray ends the task."""


class Needs(NamedTuple):
    """What a task asks of Ray: CPUs, GPUs or a fraction of one, bytes of main memory."""

    cpus: int
    gpus: float
    memory: int


class RayWorker:
    """A worker on a cluster, as its crew sees it: see `crew.Hand`.

    Args:
        attempt: the folder that it works in and writes to, on a path that all nodes share.
        job: what `job.worker_job` returns, as JSON.
        needs: of its task.
        inbox: gets (worker, message) for everything it says, and (worker, None) when it has ended.
    """

    def __init__(
        self, attempt: Path, job: str, needs: Needs, inbox: SimpleQueue[tuple[Any, dict[str, Any] | None]]
    ) -> None:
        import ray

        self.log, self.hung, self.lost = attempt / "worker.log", False, False
        self._attempt, self._ray = attempt, ray
        self._placed, self._over = False, threading.Event()
        self._heard, self._killed_at = time.monotonic(), 0.0
        self._how, self._no_memory = "was ended with its Ray task", False
        write_bytes(attempt / _CONTROL, b"go")
        task = ray.remote(attend).options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus or None,
            memory=needs.memory,
            num_returns="streaming",
            max_retries=0,  # the crew knows better
            name=f"rlbatch {attempt.parent.name}/{attempt.name}",
        )
        self._stream = task.remote(str(attempt), job, __version__)
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()

    @property
    def heard(self) -> float:
        """Monotonic seconds when it last said something; now, as long as Ray has not placed it."""
        return self._heard if self._placed else time.monotonic()

    def say(self, line: str) -> None:
        """Leaves a word for the worker."""
        with contextlib.suppress(OSError):
            write_bytes(self._attempt / _CONTROL, line.encode())
        if not self._placed:
            self._cancel()

    def kill(self) -> None:
        """Has the task end the worker; Ray ends the task if that does not come about."""
        if not self._killed_at:
            self._killed_at = time.monotonic()
            self.say("kill")
        elif time.monotonic() - self._killed_at > _GRACE_S:
            self._cancel()

    def close(self) -> None:
        """Sees to it that it ends."""
        if not self._over.is_set():
            self.say("kill")
            if not self._over.wait(_GRACE_S):
                self._cancel()

    def how_it_ended(self) -> str:
        """Returns how, in words that follow "its process"."""
        return "made no progress and was ended" if self.hung else self._how

    def lacked_memory(self) -> bool:
        """Tells whether it ended for want of memory: its own, or its node's, for which Ray ends tasks."""
        return self._no_memory and not self.hung

    def folder_of(self, job: Job) -> RunFolder:
        """Returns where it keeps the record of a run: in the attempt's folder."""
        return RunFolder(self._attempt / run_path(job.config))

    def deliver(self, job: Job) -> dict[str, Any] | None:
        """Brings the record of a run to its place if the attempt has finished it."""
        return publish(self._attempt, job.config, job.folder)

    def _cancel(self) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.cancel(self._stream, force=True)

    def _listen(self, inbox: SimpleQueue[tuple[Any, dict[str, Any] | None]]) -> None:
        """Passes on what the task says, and learns how it ended."""
        exceptions = self._ray.exceptions
        try:
            for reference in self._stream:
                message = json.loads(self._ray.get(reference))
                self._heard, self._placed = time.monotonic(), True
                if message["type"] == "ended":
                    self._how, self._no_memory = message["how"], message["lacked_memory"]
                elif message["type"] != "placed":
                    inbox.put((self, message))
        except (exceptions.NodeDiedError, exceptions.LocalRayletDiedError):
            self.lost, self._how = True, "was lost with its node"
        except exceptions.OutOfMemoryError:
            self._no_memory, self._how = True, "was ended by Ray for want of memory"
        except (exceptions.WorkerCrashedError, exceptions.TaskCancelledError):
            pass
        except exceptions.RayError as error:
            told = str(error).strip().splitlines() or [repr(error)]
            where, what = "--launcher ray", f"the task could not run: {told[-1]}"
            inbox.put((self, {"type": "error", "where": where, "what": what, "hint": "", "exit_code": 1}))
        self._over.set()
        inbox.put((self, None))


def attend(attempt: str, job: str, version: str) -> Iterator[str]:
    """Runs a worker in its folder, as a Ray task, and yields its messages as JSON lines, last how it ended.

    Args:
        attempt: the folder.
        job: what the worker is told.
        version: the driver's version of rlbatch.
    """
    folder = Path(attempt)
    yield json.dumps({"type": "placed"})
    try:
        _check_node(folder, version)
    except RlbatchError as error:
        told = {"where": error.where, "what": error.what, "hint": error.hint, "exit_code": error.exit_code}
        yield json.dumps({"type": "error", **told})
        return
    inbox: SimpleQueue[tuple[Worker, dict[str, Any] | None]] = SimpleQueue()
    worker = Worker(folder, None, inbox)
    try:
        worker.say(job)
        yield from _conversation(worker, inbox, folder / _CONTROL)
        worker.close()
        ended = {"type": "ended", "how": worker.how_it_ended(), "lacked_memory": worker.lacked_memory()}
        yield json.dumps(ended)
    finally:
        worker.kill()


def _check_node(folder: Path, version: str) -> None:
    """Raises RlbatchError unless the node can train for this driver."""
    node = f"node {socket.gethostname()}"
    if version != __version__:
        raise RlbatchError(node, f"has rlbatch {__version__}, this command is {version}", "install the same everywhere")
    if not (folder / _CONTROL).is_file():
        raise RlbatchError(node, f"does not see {folder}", "--out must lie on a path that all nodes share")


def _conversation(
    worker: Worker, inbox: SimpleQueue[tuple[Worker, dict[str, Any] | None]], control: Path
) -> Iterator[str]:
    """Yields what a worker says until it has ended, and passes on to it what the driver says."""
    heeded = "go"
    while True:
        message: dict[str, Any] | None = {}
        with contextlib.suppress(Empty):
            _, message = inbox.get(timeout=_TICK_S)
        if message is None:
            return
        if message:
            yield json.dumps(message)
        word = _word(control)
        if word == "kill":
            worker.kill()
        elif word != heeded:
            worker.say(word)
        heeded = word


def _word(control: Path) -> str:
    """Returns the driver's last word. The attempt is over if its folder is gone; another error may pass."""
    try:
        return control.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "kill"
    except OSError:
        return "go"
