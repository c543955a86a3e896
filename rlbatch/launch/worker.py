"""What does a worker process do? It trains the stacks of one job and writes the folders of their runs.

The job comes as one JSON line on standard input; progress goes out as JSON lines on standard output. When standard
input says stop, or closes because the driver died, training stops at the next vector step. Everything that environments
print goes to the log.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rlbatch.config import from_dict
from rlbatch.env_ids import import_module
from rlbatch.environments import describe, image_observations
from rlbatch.errors import RlbatchError
from rlbatch.launch.checkpoints import CHECKPOINTS, Start, choose, stack_folder, take_over
from rlbatch.launch.process import NO_MEMORY
from rlbatch.recorder import Recorder
from rlbatch.results import RunFolder
from rlbatch.rows import Ending, Row
from rlbatch.training.checkpoint import Checkpoints

Send = Callable[[dict[str, Any]], None]
_TICK_S = 0.5
_ALIVE_S = 5.0
_ORPHAN_S = 10.0
"""How long a worker whose driver died may take to the next vector step."""


def main() -> None:
    """Runs the job on standard input, as its own process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what a Ctrl-C means
    messages = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    # a process that an environment forks must neither keep the driver waiting nor hold the experiment's lock
    held = [messages.fileno(), *([] if job["lock"] is None else [job["lock"]])]
    os.register_at_fork(after_in_child=partial(_close, *held))
    stop = threading.Event()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()

    def send(message: dict[str, Any]) -> None:
        try:
            print(json.dumps(message), file=messages)
        except BrokenPipeError:
            stop.set()

    try:
        work(job, send, stop.is_set)
    except RlbatchError as error:
        told = {"where": error.where, "what": error.what, "hint": error.hint, "exit_code": error.exit_code}
        send({"type": "error", **told})
    except MemoryError:
        traceback.print_exc()
        sys.exit(NO_MEMORY)


def work(job: dict[str, Any], send: Send, stopping: Callable[[], bool]) -> None:
    """Trains the stacks of a job, one after the other.

    Args:
        job: what `job.worker_job` returns: paths are absolute, and modules are found as the driver found them.
        send: takes one progress message.
        stopping: tells whether to stop at the next vector step.
    """
    import torch

    torch.set_num_threads(1)
    sys.path += [folder for folder in job["path"] if folder not in sys.path]
    for module in job["modules"]:
        import_module(module, directory=Path(job["directory"]))
    for stack in job["stacks"]:
        if stopping():
            return
        clerk = _Clerk(job, stack, send, stopping)
        try:
            clerk.begin()
            _train(clerk, job)
        finally:
            clerk.close()


def _train(clerk: _Clerk, job: dict[str, Any]) -> None:
    """Has one stack trained by its engine."""
    if clerk.configs[0].engine == "sb3":
        from rlbatch.training import sb3

        sb3.train(clerk.configs, clerk.emit, clerk.commit, device=clerk.device)
    else:
        from rlbatch.training import stacked

        stacked.train(
            clerk.configs,
            clerk.emit,
            clerk.commit,
            device=clerk.device,
            env_workers=job["env_workers"],
            modules=job["modules"],
            checkpoints=clerk.checkpoints,
            alive=clerk.alive,
        )


class _Clerk:
    """Keeps a recorder for each run of a stack that is in progress and tells the driver what happens.

    The engine numbers runs within the stack, the driver within the job.
    """

    def __init__(self, job: dict[str, Any], stack: Sequence[int], send: Send, stopping: Callable[[], bool]) -> None:
        from rlbatch.training import devices

        self._asked = [job["runs"][index] for index in stack]
        self._stack = stack
        self._send = send
        self._stopping = stopping
        self._begun: set[int] = set()
        self._recorders: dict[int, Recorder] = {}
        self._told = 0.0
        self._job, self._start = job, Start()
        self.checkpoints: Checkpoints | None = None
        self.configs = [from_dict(run["config"]) for run in self._asked]
        first = self.configs[0]
        images = image_observations(describe(first.env_id, first.env_kwargs).observation_space)
        self.device = devices.resolve(job["device"], images=images)
        send({"type": "device", "device": self.device})

    def begin(self) -> None:
        """Opens the record of every run, at its checkpoint if there is one: whatever happens next, they have begun."""
        start, homes = Start(), [Path(home) for home in self._job["homes"]]
        if homes and self.configs[0].engine == "stacked":
            run_ids = [config.run_id for config in self.configs]
            start = choose(homes, self.configs, self.device)
            self.checkpoints = Checkpoints(
                stack_folder(homes[0] / CHECKPOINTS, run_ids),
                device=self.device,
                interval_s=self._job["checkpoint_s"],
                mark=lambda run_id: self._recorders[run_ids.index(run_id)].mark(),
                note=_log,
                start=start.kept,
                resume=start.resume,
            )
        for note in start.notes:
            _log(note)
        self._start = start
        for asked, config in zip(self._asked, self.configs, strict=True):
            take_over(config, RunFolder(Path(asked["folder"])), start, homes)
        self.commit(range(len(self.configs)), 0 if start.kept is None else start.kept.manifest["timesteps"])

    def emit(self, run: int, report: Row | Ending) -> None:
        """Records a row or an ending."""
        recorder = self._recorders[run]
        if isinstance(report, Ending):
            result = recorder.finish(report)
            del self._recorders[run]
            self._send({"type": "finished", "run": self._stack[run], "result": result})
            return
        row = recorder.emit(report)
        shown = {"eval": "eval/return_mean", "train": "rollout/return_mean"}[row.kind]
        told = {"timesteps": row.timesteps, "updates": row.updates, "seconds": row.seconds, "return": row.values[shown]}
        self._send({"type": row.kind, "run": self._stack[run], **told})

    def commit(self, runs: Sequence[int], timesteps: int) -> bool:
        """Hears that these runs have taken so many env steps; False asks to stop.

        Opens a run's record when it is first heard of, and tells the driver now and then how far the runs are.
        """
        for run in [run for run in runs if run not in self._begun]:
            self._recorders[run] = self._open(run)
            self._begun.add(run)
            self._send({"type": "started", "run": self._stack[run], "timesteps": timesteps})
        now = time.monotonic()
        if now - self._told >= _TICK_S:
            self._told = now
            self._send({"type": "tick", "runs": [self._stack[run] for run in runs], "timesteps": timesteps})
        return not self._stopping()

    def alive(self) -> None:
        """Tells the driver now and then that something is done, though no run takes a step."""
        now = time.monotonic()
        if now - self._told >= _ALIVE_S:
            self._told = now
            self._send({"type": "alive"})

    def close(self) -> None:
        """Closes what is left of runs that did not end; if all did, their checkpoints have served."""
        for recorder in self._recorders.values():
            recorder.close()
        if self.checkpoints is not None and not self._recorders:
            self.checkpoints.close()

    def _open(self, run: int) -> Recorder:
        asked = self._asked[run]
        beside = asked["beside"] | {"device": self.device, "stack_width": len(self._stack)}
        config = self.configs[run]
        threshold = describe(config.env_id, config.env_kwargs).threshold
        mark, notes = self._start.marks.get(config.run_id), self._start.notes
        return Recorder(RunFolder(Path(asked["folder"])), config, threshold, start=mark, remarks=notes, **beside)


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _listen(stop: threading.Event) -> None:
    """Waits for the driver's word, or for its death, which ends standard input and soon this process."""
    word = sys.stdin.readline()
    stop.set()
    if not word:
        time.sleep(_ORPHAN_S)
        os._exit(1)


if __name__ == "__main__":
    main()
