"""How does a process of its own measure something? It gets a job as one line of JSON and tells each finding as one.

The command that asks need not load torch, and what breaks the process breaks nothing else. It works in a folder that is
thrown away, on one thread, and ends when the command does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from rlbatch.env_ids import import_module
from rlbatch.errors import RlbatchError
from rlbatch.launch.crew import SIGNALS, Interrupted

Report = Callable[[dict[str, Any]], None]
_GRACE_S = 10.0


def surroundings(modules: Iterable[str]) -> dict[str, Any]:
    """Returns the part of a job that says where modules of the user's are found; see `take_over`."""
    named = list(modules)
    path = [str(Path(folder).resolve()) for folder in sys.path if folder] if named else []
    return {"modules": named, "directory": str(Path.cwd()), "path": path}


def take_over(job: Mapping[str, Any]) -> None:
    """Imports, in the measuring process, the modules that the command line named; raises InputError."""
    sys.path += [folder for folder in job["path"] if folder not in sys.path]
    for module in job["modules"]:
        import_module(module, directory=Path(job["directory"]))


def run(module: str, job: Mapping[str, Any], report: Report, *, patience: float | None = None) -> None:
    """Has a job done by a process of its own and reports every finding.

    Args:
        module: what the process runs; it calls `serve`.
        job: what it is told.
        report: takes a finding.
        patience: seconds within which each finding must come, else the process is ended; None for no limit.

    Raises:
        Interrupted: a signal ended the command.
        RlbatchError: what the process could not cope with, or it took too long.
    """
    with tempfile.TemporaryDirectory(prefix="rlbatch-measuring-") as folder, _signals():
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                text=True,
                start_new_session=True,  # a Ctrl-C in the terminal reaches this process alone
            )
        with _ended(process), _Watch(process, patience) as watch:
            with contextlib.suppress(BrokenPipeError):
                print(json.dumps(job), file=process.stdin, flush=True)
            for line in process.stdout or ():
                watch.wind()
                report(_checked(json.loads(line)))
            if process.wait() != 0:
                raise RlbatchError("", watch.fault() or _fault(process.returncode, log))


def serve(work: Callable[[dict[str, Any]], Iterator[dict[str, Any]]]) -> None:
    """Does the job on standard input, as its own process, and writes each finding to standard output."""
    messages = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    os.register_at_fork(after_in_child=lambda: os.close(messages.fileno()))
    job = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    threading.Thread(target=_end_with_driver, daemon=True).start()
    tempfile.tempdir = str(Path.cwd())
    try:
        for finding in work(job):
            print(json.dumps(finding), file=messages)
    except RlbatchError as error:
        told = {"where": error.where, "what": error.what, "hint": error.hint, "exit_code": error.exit_code}
        print(json.dumps({"error": told}), file=messages)


class _Watch:
    """Ends a process that says nothing for too long."""

    def __init__(self, process: subprocess.Popen[str], patience: float | None) -> None:
        self._process, self._patience = process, patience
        self._timer: threading.Timer | None = None
        self._ended = False

    def __enter__(self) -> _Watch:
        self.wind()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def wind(self) -> None:
        """Begins to wait for the next word."""
        if self._timer is not None:
            self._timer.cancel()
        if self._patience is not None:
            self._timer = threading.Timer(self._patience, self._end)
            self._timer.daemon = True
            self._timer.start()

    def fault(self) -> str:
        """Returns what was wrong if the process was ended here, else nothing."""
        return f"the measuring process said nothing for {self._patience:g} s and was ended" if self._ended else ""

    def _end(self) -> None:
        self._ended = True
        _kill(self._process)


def _fault(code: int, log: Path) -> str:
    said = (log.read_text(errors="replace").strip() or "no reason given").splitlines()[-1]
    return f"the measuring process ended with exit code {code}: {said}"


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turns `SIGNALS` into Interrupted."""

    def handle(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    before = {s: signal.signal(s, handle) for s in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Sees to it that a process, what it forked and its pipes are gone at the end."""
    try:
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe and pipe.close()


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _checked(message: dict[str, Any]) -> dict[str, Any]:
    """Returns a finding; raises what the process raised."""
    if "error" not in message:
        return message
    told = message["error"]
    error = RlbatchError(told["where"], told["what"], told["hint"])
    error.exit_code = told["exit_code"]
    raise error


def _end_with_driver() -> None:
    """Waits for the death of the command that asked, which closes standard input, and ends this process."""
    while os.read(0, 1):
        pass
    os._exit(1)
