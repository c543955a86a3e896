"""How wide should a stack be here, and is a GPU worth it? Measured by a process of its own, which tells each case.

Run as a module it does the measuring: the job comes as one JSON line on standard input, every case goes out as one on
standard output. The rows of a stack are written to folders that are thrown away, so that what they cost is real.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from rlbatch.config import RunConfig, as_dict, from_dict
from rlbatch.environments import describe, import_module
from rlbatch.errors import InputError, RlbatchError
from rlbatch.grid import Request, expand
from rlbatch.launch.crew import Interrupted
from rlbatch.launch.estimate import replay_bytes
from rlbatch.launch.machine import free_memory
from rlbatch.recorder import Recorder
from rlbatch.results import RunFolder
from rlbatch.rows import Row

Report = Callable[[dict[str, Any]], None]
_WARM_UP = 500
"""Env steps of random acting; more where a batch is larger."""
_BUFFER = 50_000
_GRACE_S = 10.0


def plan(request: Request, widths: Sequence[int]) -> list[RunConfig]:
    """Returns a run for each batch size: the request's, but with less to wait for and to store.

    Acting is random for 500 env steps, or as many as the batch has transitions, and the replay holds at most 50,000
    transitions, unless the request says otherwise. A DQN explores as it does at last: a random action costs nothing.

    Raises:
        InputError: as `grid.expand`, or the runs cannot be stacked, or their replays do not fit into memory.
    """
    for name, why in _NOT_HERE.items():
        if name in request.settings or (name == "seed" and request.seeds):
            raise InputError(name, "cannot be set here", why)
    configs = []
    for batch_size in request.batch_sizes:
        settings = {"learning_starts": max(batch_size, _WARM_UP)} | dict(request.settings)
        (run,) = expand(replace(request, batch_sizes=(batch_size,), settings=settings))
        if run.config.engine != "stacked":
            raise InputError("--env", f"{request.env_id}: {run.origins['engine']}", "only stacks are measured")
        asked = run.config.buffer_size if "buffer_size" in request.settings else _BUFFER
        buffer_size = min(run.config.buffer_size, run.config.total_timesteps, asked)
        config = replace(run.config, buffer_size=buffer_size)
        configs.append(replace(config, exploration_initial_eps=config.exploration_final_eps))
    needed, free = max(widths) * max(map(replay_bytes, configs)), free_memory("cpu")
    if needed > free:
        told = f"the replays of {max(widths)} runs need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        raise InputError("--width", told, "fewer, or --set buffer_size=N with a smaller N")
    return configs


_NOT_HERE = {
    "seed": "the runs of a stack have the seeds 0, 1, 2, ...",
    "engine": "the stacked engine is measured beside Stable-Baselines3",
    "layer_norm": "Stable-Baselines3's networks have none",
}
"""Settings that would make it another comparison, each with the reason."""


def job_of(
    configs: Sequence[RunConfig],
    widths: Sequence[int],
    device: str,
    *,
    seconds: float,
    repeats: int,
    env_workers: int = 0,
    modules: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns what the measuring process is told.

    Args:
        configs: from `plan`.
        widths: runs of a stack.
        device: cpu, cuda, cuda:n, or auto for the CPU and every GPU.
        seconds: how long each side trains in each case.
        repeats: stretches into which these are divided.
        env_workers: processes that step the environments of a stack; 0 for none.
        modules: to be imported there; the command line named them.
    """
    return {
        "configs": [as_dict(config) for config in configs],
        "widths": list(widths),
        "device": device,
        "seconds": seconds,
        "repeats": repeats,
        "env_workers": env_workers,
        "modules": list(modules),
        "directory": str(Path.cwd()),
        "path": [str(Path(folder).resolve()) for folder in sys.path if folder] if modules else [],
    }


def run(job: Mapping[str, Any], report: Report) -> None:
    """Has a job measured by a process of its own and reports every case.

    Raises:
        Interrupted: a signal ended the command.
        RlbatchError: what the process could not cope with.
    """
    with tempfile.TemporaryDirectory(prefix="rlbatch-bench-") as folder, _signals():
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rlbatch.launch.bench"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                text=True,
                start_new_session=True,  # a Ctrl-C in the terminal reaches this process alone
            )
        with _ended(process):
            with contextlib.suppress(BrokenPipeError):
                print(json.dumps(job), file=process.stdin, flush=True)
            for line in process.stdout or ():
                report(_checked(json.loads(line)))
            if process.wait() != 0:
                said = (log.read_text(errors="replace").strip() or "no reason given").splitlines()[-1]
                raise RlbatchError("", f"the measuring process ended with exit code {process.returncode}: {said}")


def work(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Measures a job and yields its cases. The rows go to folders below the directory for temporary files."""
    sys.path += [folder for folder in job["path"] if folder not in sys.path]
    for module in job["modules"]:
        import_module(module, directory=Path(job["directory"]))
    from rlbatch.training import bench, devices

    every = [device["device"] for device in devices.available()]
    asked = bench.Plan(
        configs=[from_dict(config) for config in job["configs"]],
        widths=job["widths"],
        devices=every if job["device"] == "auto" else [devices.resolve(job["device"], images=False)],
        seconds=job["seconds"],
        repeats=job["repeats"],
        env_workers=job["env_workers"],
        modules=job["modules"],
    )
    for case in bench.measure(asked, _recorders):
        yield asdict(case)


def main() -> None:
    """Measures the job on standard input, as its own process."""
    messages = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    os.register_at_fork(after_in_child=lambda: os.close(messages.fileno()))
    job = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    threading.Thread(target=_end_with_driver, daemon=True).start()
    tempfile.tempdir = str(Path.cwd())
    try:
        for case in work(job):
            print(json.dumps(case), file=messages)
    except RlbatchError as error:
        told = {"where": error.where, "what": error.what, "hint": error.hint, "exit_code": error.exit_code}
        print(json.dumps({"error": told}), file=messages)


def fitted(case: Mapping[str, Any]) -> bool:
    """Tells whether a stack was measured; else it did not fit into the memory of its device."""
    return "env_steps_per_s" in case


def verdicts(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns for each batch size which case is fastest, and whether a GPU beats the CPU (None: not both measured)."""
    found = []
    measured = [case for case in cases if fitted(case)]
    for batch_size in dict.fromkeys(case["batch_size"] for case in measured):
        mine = [case for case in measured if case["batch_size"] == batch_size]
        best = max(mine, key=_speed)
        on_cpu = [case for case in mine if case["device"] == "cpu"]
        on_gpu = [case for case in mine if case["device"] != "cpu"]
        both = bool(on_cpu and on_gpu)
        words = (
            f"batch {batch_size}: width {best['width']} on {best['device']} is fastest, {_speed(best):,.0f} env steps/s"
        )
        if both:
            other = max(on_cpu if best in on_gpu else on_gpu, key=_speed)
            verdict = "the GPU beats the CPU" if best in on_gpu else "the GPU does not beat the CPU"
            words += f"; {verdict}: {other['device']} comes to {_speed(other):,.0f} with width {other['width']}"
        found.append(
            {
                "batch_size": batch_size,
                "device": best["device"],
                "width": best["width"],
                "env_steps_per_s": best["env_steps_per_s"],
                "gpu_beats_cpu": best in on_gpu if both else None,
                "words": words,
            }
        )
    return found


def _speed(case: Mapping[str, Any]) -> float:
    return float(case["env_steps_per_s"])


@contextlib.contextmanager
def _recorders(configs: Sequence[RunConfig]) -> Iterator[Callable[[int, Row], object]]:
    """Opens the records of some runs for as long as they are measured."""
    threshold = describe(configs[0].env_id, configs[0].env_kwargs).threshold
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        recorders = []
        for number, config in enumerate(configs):
            recorders.append(Recorder(RunFolder(Path(folder) / str(number)), config, threshold))
            stack.callback(recorders[-1].close)
        yield lambda run, row: recorders[run].emit(row)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turns SIGINT, SIGTERM and SIGHUP into Interrupted."""

    def handle(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Sees to it that a process and its pipes are gone at the end."""
    try:
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe and pipe.close()


def _checked(message: dict[str, Any]) -> dict[str, Any]:
    """Returns a case; raises what the process raised."""
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


if __name__ == "__main__":
    main()
