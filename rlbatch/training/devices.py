"""Which devices can train here? Run as a module it prints them as JSON: the command line itself need not load torch."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from rlbatch.errors import InputError


def available() -> list[dict[str, Any]]:
    """Returns the devices: the CPU first, then each CUDA device, with name and memory in MiB."""
    devices: list[dict[str, Any]] = [{"device": "cpu", "name": f"{torch.get_num_threads()} threads", "memory_mb": None}]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            known = torch.cuda.get_device_properties(index)
            devices.append({"device": f"cuda:{index}", "name": known.name, "memory_mb": known.total_memory // 2**20})
    return devices


def resolve(asked: str, *, images: bool) -> str:
    """Returns torch's name for the asked device.

    Args:
        asked: auto, cpu, cuda or cuda:n. auto takes a GPU for image observations only: networks for vector
            observations are small, and Stable-Baselines3 moves every batch to the device.
        images: whether observations are images.

    Raises:
        InputError: there is no such device.
    """
    names = [device["device"] for device in available()]
    if asked == "auto":
        return names[1] if images and len(names) > 1 else "cpu"
    wanted = "cuda:0" if asked == "cuda" else asked
    if wanted not in names:
        raise InputError("--device", f"{asked} is not available here", f"available: {', '.join(names)}")
    return wanted


if __name__ == "__main__":
    json.dump({"torch": torch.__version__, "cuda": torch.version.cuda, "devices": available()}, sys.stdout)
