"""How wide should a stack be here, and is a GPU worth it? Measured by a process of its own, which tells each case.

Run as a module it does the measuring: the job comes as one JSON line on standard input, every case goes out as one on
standard output. The rows of a stack are written to folders that are thrown away, so that what they cost is real.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rlbatch.config import RunConfig, as_dict, from_dict
from rlbatch.environments import describe
from rlbatch.errors import InputError
from rlbatch.grid import Request, expand
from rlbatch.launch import measuring
from rlbatch.launch.estimate import replay_bytes
from rlbatch.launch.machine import free_memory
from rlbatch.recorder import Recorder
from rlbatch.results import RunFolder
from rlbatch.rows import Row

_WARM_UP = 500
"""Env steps of random acting; more where a batch is larger."""
_BUFFER = 50_000


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
        **measuring.surroundings(modules),
    }


def run(job: Mapping[str, Any], report: measuring.Report) -> None:
    """Has a job measured by a process of its own and reports every case; raises as `measuring.run`."""
    measuring.run("rlbatch.launch.bench", job, report)


def work(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Measures a job and yields its cases. The rows go to folders below the directory for temporary files."""
    measuring.take_over(job)
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


if __name__ == "__main__":
    measuring.serve(work)
