"""What is a worker to its driver? A process in a session of its own that is told its job and heard until it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rlbatch.launch.job import Job
from rlbatch.results import RunFolder

NO_MEMORY = 77
"""Exit code of a worker whose runs do not fit into memory together."""
_GRACE_S = 30.0


class Worker:
    """A worker process, its log, and the pipes to it.

    Args:
        folder: where it works, with its log.
        lock: descriptor of the experiment's lock, which it inherits; None far from the experiment's driver.
        inbox: gets (worker, message) for everything it says, and (worker, None) when it has ended.

    Attributes:
        log: what it and its environments print.
        heard: monotonic seconds when it last said something.
        hung: whether it was killed because it said nothing for too long.
        lost: whether it ended with its machine, which its driver would not live to see.
    """

    lost = False

    def __init__(self, folder: Path, lock: int | None, inbox: SimpleQueue[tuple[Any, dict[str, Any] | None]]) -> None:
        self.log = folder / "worker.log"
        self.heard, self.hung = time.monotonic(), False
        self._kills = _memory_kills()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rlbatch.launch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                text=True,
                pass_fds=[] if lock is None else [lock],
                start_new_session=True,  # a Ctrl-C in the terminal reaches the driver alone
            )
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()

    def say(self, line: str) -> None:
        """Writes a line to the worker, if it still listens."""
        with contextlib.suppress(OSError, ValueError):
            print(line, file=self.process.stdin, flush=True)

    def kill(self) -> None:
        """Ends the worker and the processes that step its environments, whatever they are doing."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Sees to it that it ends, by itself if it does so in time, and closes the pipes."""
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.process.stdin and self.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE_S)
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe and pipe.close()

    def how_it_ended(self) -> str:
        """Returns how, in words that follow "its process"."""
        code = self.process.returncode
        if self.hung:
            return "made no progress and was ended"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def lacked_memory(self) -> bool:
        """Tells whether it ended for want of memory, or the system ended processes for that while it ran."""
        killed = self.process.returncode == -signal.SIGKILL and not self.hung
        return self.process.returncode == NO_MEMORY or (killed and _memory_kills() > self._kills)

    def folder_of(self, job: Job) -> RunFolder:
        """Returns where it keeps the record of a run in training: where it belongs."""
        return job.folder

    def deliver(self, _job: Job) -> dict[str, Any] | None:
        """Brings nothing: records are written where they belong."""
        return None

    def _listen(self, inbox: SimpleQueue[tuple[Any, dict[str, Any] | None]]) -> None:
        for line in self.process.stdout or ():
            self.heard = time.monotonic()
            with contextlib.suppress(json.JSONDecodeError):  # cut by a kill
                inbox.put((self, json.loads(line)))
        self.process.wait()
        inbox.put((self, None))


def _memory_kills() -> int:
    """Returns how many processes the kernel has ended for want of memory since it started; 0 where it does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
