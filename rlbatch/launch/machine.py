"""What is there to train with, and does it suffice? Of this machine, or of a cluster that is connected."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import psutil

from rlbatch.config import RunConfig
from rlbatch.errors import InputError
from rlbatch.launch.cluster import Cluster
from rlbatch.launch.estimate import replay_bytes
from rlbatch.launch.plan import Capacity, plan_stacks

_ANYWHERE = ("auto", "cpu", "cuda")
"""Devices that can be asked of a machine that is not known yet."""


def stacks_here(configs: Sequence[RunConfig], device: str, stack_width: int | None, there: Capacity) -> list[list[int]]:
    """Returns which of the runs train together, where there is so much to train with."""
    return plan_stacks(configs, width=stack_width, memory=there.memory, device=device, jobs=there.jobs)


def capacity(device: str, jobs: int | None = None, *, env_workers: int = 0, cluster: Cluster | None = None) -> Capacity:
    """Returns what this machine, or a cluster that is connected, has to train with; raises InputError if too little."""
    if cluster is not None:
        return cluster.capacity(device, env_workers, jobs)
    return Capacity(jobs or default_jobs(device), free_memory(device), free_memory("cpu"))


def default_jobs(device: str) -> int:
    """Returns how many stacks train at a time: one for each core that this process may use, one on a GPU."""
    return 1 if device.startswith("cuda") else len(os.sched_getaffinity(0))


def check_device(asked: str, cluster: Cluster | None = None) -> None:
    """Raises InputError unless the device exists. A GPU is looked for in a process of its own, which loads torch.

    Of a cluster nothing can be said here but that it gives the GPUs out itself.
    """
    if cluster is not None and asked not in _ANYWHERE:
        raise InputError("--device", f"{asked!r} cannot be asked of a cluster", f"allowed: {', '.join(_ANYWHERE)}")
    if asked in ("auto", "cpu") or cluster is not None:
        return
    kind, _, index = asked.partition(":")
    if kind != "cuda" or (":" in asked and not (index.isascii() and index.isdigit())):
        raise InputError("--device", f"{asked!r} is not a device", "allowed: auto, cpu, cuda, cuda:0, cuda:1, ...")
    found = probe_devices()
    names = [device["device"] for device in found["devices"]]
    if ("cuda:0" if asked == "cuda" else asked) not in names:
        raise InputError("--device", f"{asked} is not available here", f"available: {', '.join(names)}")


@functools.cache
def probe_devices() -> dict[str, Any]:
    """Returns {"torch", "cuda", "devices"} as a process of its own sees them; raises InputError if torch is broken."""
    command = [sys.executable, "-P", "-m", "rlbatch.training.devices"]
    output = subprocess.run(command, capture_output=True, check=False, text=True, timeout=120)
    if output.returncode != 0:
        reason = (output.stderr.strip() or "no reason given").splitlines()[-1]
        raise InputError("torch", f"cannot be loaded: {reason}", "install it again")
    return dict(json.loads(output.stdout))


def free_memory(device: str) -> int:
    """Returns the bytes that replays on a device can have: of a GPU all, of the main memory what is free now."""
    if not device.startswith("cuda"):
        return int(psutil.virtual_memory().available)
    return next(int(known["memory_mb"]) * 2**20 for known in _found(device))


def gpu_name(device: str) -> str | None:
    """Returns what the asked GPU of this machine is called; None for the CPU, and where there is no such GPU."""
    return next((str(known["name"]) for known in _found(device)), None) if device.startswith("cuda") else None


def _found(device: str) -> list[dict[str, Any]]:
    """Returns what is known of a GPU of this machine, or nothing."""
    name = "cuda:0" if device == "cuda" else device
    return [known for known in probe_devices()["devices"] if known["device"] == name]


def check_memory(configs: Sequence[RunConfig], device: str, stack_width: int | None, there: Capacity) -> None:
    """Raises InputError if the replays of the stacks that train at a time do not fit into memory.

    The engine sb3 keeps replays in main memory, wherever it trains.
    """
    needed: dict[str, list[int]] = {"stacked": [], "sb3": []}
    for stack in stacks_here(configs, device, stack_width, there):
        needed[configs[stack[0]].engine].append(sum(replay_bytes(configs[index]) for index in stack))
    for engine, sizes in needed.items():
        free = there.memory if engine == "stacked" else there.main
        largest = sorted(sizes, reverse=True)[: there.jobs]
        if free is not None and sum(largest) > free:
            first = next(config for config in configs if config.engine == engine)
            others = "" if len(largest) == 1 else f" ({len(largest)} stacks train at a time)"
            raise InputError(
                "buffer_size",
                f"replays of {first.buffer_size:,} transitions need {sum(largest) / 1e9:.1f} GB{others}, "
                f"{free / 1e9:.1f} GB are free",
                "--set buffer_size=N with a smaller N" + ("" if len(largest) == 1 else ", or --jobs 1"),
            )
