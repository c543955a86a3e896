"""Which runs train together? Those that a stack can hold side by side, as many as fit into memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rlbatch.config import LABEL, SETTINGS, RunConfig, as_dict
from rlbatch.launch.estimate import replay_bytes

MAX_WIDTH = 32
"""Most runs of a stack, unless the user says otherwise."""

_STATIC = [name for name, setting in SETTINGS.items() if not setting.stackable and setting.role != LABEL]
"""Settings in which all runs of a stack agree."""


def plan_stacks(
    configs: Sequence[RunConfig], *, width: int | None = None, memory: int | None = None, device: str = "cpu"
) -> list[list[int]]:
    """Returns the stacks: lists of indices into `configs`, each ascending, in the order of their first runs.

    Runs of the sb3 engine stand alone. Runs of the stacked engine share a stack if their static settings are equal,
    and on a CPU, where padding costs more than it saves, their batch sizes too. What is too much for one stack is
    split evenly.

    Args:
        configs: the runs.
        width: most runs of a stack; None for `MAX_WIDTH`.
        memory: bytes, of which the replays of a stack may fill half; None for no such limit.
        device: as asked; auto is the CPU here, since only vector observations are stacked.
    """
    groups: dict[str, list[int]] = {}
    for index, config in enumerate(configs):
        groups.setdefault(_company(config, index, device), []).append(index)
    return sorted(
        stack for group in groups.values() for stack in _split(group, _widest(configs[group[0]], width, memory))
    )


def _company(config: RunConfig, index: int, device: str) -> str:
    """Returns a text that is equal for two runs if they can share a stack."""
    if config.engine == "sb3":
        return str(index)
    shared = [*_STATIC, "batch_size"] if not device.startswith("cuda") else _STATIC
    settings = as_dict(config)
    return json.dumps([settings[name] for name in shared], sort_keys=True)


def _widest(config: RunConfig, width: int | None, memory: int | None) -> int:
    """Returns how many runs such as this one a stack may hold, at least 1."""
    most = width or MAX_WIDTH
    return most if memory is None else max(1, min(most, memory // 2 // replay_bytes(config)))


def _split(group: Sequence[int], widest: int) -> Iterator[list[int]]:
    """Yields as few parts as possible, none wider than `widest`, whose sizes differ by 1 at most."""
    parts = -(-len(group) // widest)
    for part in range(parts):
        yield list(group[len(group) * part // parts : len(group) * (part + 1) // parts])
