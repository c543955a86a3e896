"""What belongs to an experiment folder? Its plan, its lock, and the state of each of its runs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlbatch import plans
from rlbatch.config import RunConfig
from rlbatch.errors import BusyError, InputError, RlbatchError
from rlbatch.paths import run_path
from rlbatch.plans import Declared, Plan
from rlbatch.results import RunFolder, find_runs, storage

LOCK_WAIT_S = 5.0
"""How long a second command waits for the workers of a first one to die."""

ATTEMPTS = "_attempts"
"""Where stacks train on a cluster: a folder of the experiment's shape for each attempt at a stack."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True)
class Experiment:
    """The folder of one experiment."""

    path: Path

    @property
    def plan_path(self) -> Path:
        """Which runs were asked for, by which commands."""
        return self.path / "experiment.yaml"

    @property
    def cost_path(self) -> Path:
        """What env steps and updates cost; see `wallclock`."""
        return self.path / "cost.json"

    @property
    def references_path(self) -> Path:
        """What random play brings in environments that are not listed; see `references`."""
        return self.path / "references.json"

    def run(self, config: RunConfig) -> RunFolder:
        """Returns the folder of a run in this experiment."""
        return RunFolder(self.path / run_path(config))

    def planned(self) -> dict[str, str]:
        """Returns run path -> run id of what is asked for now; raises like `plan`."""
        return self.plan().runs

    def plan(self) -> Plan:
        """Returns what is asked for now; raises like `plans.asked_now`."""
        return plans.asked_now(self.plan_path)

    def commands(self) -> list[str]:
        """Returns the commands that asked for runs, the oldest first, as a shell takes them; raises like `plan`."""
        return plans.commands(self.plan_path)

    def statuses(self) -> dict[str, str]:
        """Returns run path -> status of all runs, planned or found.

        A status is "planned", "partial", "running", "unreadable" (damaged or of another version) or an outcome.
        """
        runs = {path: RunFolder(self.path / path) for path in self.planned()}
        runs |= {str(run.path.relative_to(self.path)): run for run in find_runs(self.path)}
        busy = self.locked()
        states = {path: _status(run) for path, run in sorted(runs.items())}
        attempted = self.attempted()
        states |= {path: "partial" for path, state in states.items() if state == "planned" and path in attempted}
        return {path: "running" if busy and state == "partial" else state for path, state in states.items()}

    def progress(self, paths: Iterable[str]) -> dict[str, float]:
        """Returns run path -> share of its env steps that it has taken, for those of these runs that can tell."""
        found = {}
        for path in paths:
            run = RunFolder(self.path / path)
            if run.exists():
                with contextlib.suppress(RlbatchError):
                    found[path] = run.progress()
        return found

    def begun(self, path: str) -> bool:
        """Tells whether a run was begun, in its place or by an attempt on a cluster."""
        homes = (self.path, *self.path.glob(f"{ATTEMPTS}/*/*"))
        return any(RunFolder(home / path).exists() for home in homes)

    def attempted(self) -> dict[str, list[RunFolder]]:
        """Returns run path -> its folders with the attempts on a cluster, all found in one walk."""
        found: dict[str, list[RunFolder]] = {}
        for home in self.path.glob(f"{ATTEMPTS}/*/*"):
            for run in find_runs(home):
                found.setdefault(str(run.path.relative_to(home)), []).append(run)
        return found

    def add_plan(self, configs: Sequence[RunConfig], argv: Sequence[str], *, confirms: str = "") -> None:
        """Merges the runs of one command into the plan; see `plans.add_plan`."""
        plans.add_plan(self.plan_path, configs, argv, confirms=confirms)

    def replace_plan(self, declared: Declared, argv: Sequence[str]) -> None:
        """Makes a file's runs the plan; see `plans.replace_plan`."""
        plans.replace_plan(self.plan_path, declared, argv)

    def check_usable(self) -> None:
        """Checks that rlbatch may write here: a folder of its own whose plan it can read, or one that can be made.

        Raises:
            InputError: neither is so.
            RefusedError: the plan has another schema.
        """
        where = str(self.path)
        try:
            with contextlib.suppress(FileNotFoundError):
                self.path.stat()
            target = next(p for p in (self.path, *self.path.parents) if os.path.lexists(p))
            if not target.is_dir():
                raise InputError("--out", f"{str(target)!r} is not a folder")
            if not os.access(target, os.W_OK | os.X_OK) or str(target.resolve()).startswith("/proc"):
                raise InputError("--out", f"{str(target)!r} cannot be written to")
            foreign = target == self.path and any(self.path.iterdir()) and not self.plan_path.exists()
        except OSError as error:
            raise InputError("--out", f"{where!r} cannot be used: {error.strerror}") from error
        except ValueError as error:
            raise InputError("--out", f"{where!r} is not a path: {error}") from error
        if foreign and not (self.path / ".lock").exists():
            raise InputError("--name", f"{where!r} exists and is not an rlbatch experiment", "choose another --name")
        plans.read_plans(self.plan_path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Makes the folder and holds it against other commands; yields the descriptor that workers inherit.

        The kernel frees the lock when the last holder dies, so no lock can be stale.

        Raises:
            InputError: the folder cannot be made.
            TemporaryError: the disk is full.
            BusyError: another live command holds it, also after 5 s.
        """
        try:
            with storage(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise InputError("--out", f"{str(self.path)!r} cannot be made: {error.strerror}") from error
        try:
            self._wait_for(descriptor)
            with contextlib.suppress(OSError):  # who holds it is only told to others: a full disk must not prevent it
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def locked(self) -> bool:
        """Tells whether a live command holds the folder."""
        try:
            with (self.path / ".lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _wait_for(self, descriptor: int) -> None:
        give_up = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                if time.monotonic() > give_up:
                    holder = os.pread(descriptor, 200, 0).decode(errors="replace")
                    process = re.search(r"\d+", holder)
                    who = f" (process {process[0]})" if process else ""
                    hint = "wait for it, or use another --name"
                    raise BusyError(str(self.path), f"another rlbatch command works here{who}", hint) from error
                time.sleep(0.1)
            else:
                return


def _status(run: RunFolder) -> str:
    try:
        run.check_evaluations()
        return run.status()
    except RlbatchError:
        return "unreadable"


def experiment_at(out: Path, name: str) -> Experiment:
    """Returns the experiment of this name below a results folder; raises InputError for a name no folder can have."""
    if not NAME.fullmatch(name) or name.endswith("."):
        raise InputError("--name", f"{name!r} cannot be a folder's name", "letters, digits and . _ + -, at most 100")
    if not str(out).strip() or "\0" in str(out):
        raise InputError("--out", f"{str(out)!r} is not a path")
    return Experiment(out / name)
