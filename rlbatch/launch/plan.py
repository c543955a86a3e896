"""Which runs train together? Those that a stack can hold side by side, divided so that no core is idle for long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rlbatch.config import LABEL, SETTINGS, RunConfig, as_dict
from rlbatch.launch.cost import makespan, stack_seconds
from rlbatch.launch.estimate import replay_bytes
from rlbatch.training.padding import padded_rows

MAX_WIDTH = 32
"""Most runs of a stack, unless the user says otherwise."""

_WORTH_IT = 0.95
"""Stacks are divided where everything ends this much earlier, by the cost model."""
_ABOUT_AS_LONG = 0.9
"""Stacks that take this part of the longest are divided together with it."""

_STATIC = [name for name, setting in SETTINGS.items() if not setting.stackable and setting.role != LABEL]
"""Settings in which all runs of a stack agree."""


class Capacity(NamedTuple):
    """What there is to train with.

    Attributes:
        jobs: stacks that train at a time.
        memory: bytes that replays on the device can have together; None if that is not known.
        main: the same of main memory, where the engine sb3 keeps its replays.
    """

    jobs: int
    memory: int | None
    main: int


def plan_stacks(
    configs: Sequence[RunConfig],
    *,
    width: int | None = None,
    memory: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
) -> list[list[int]]:
    """Returns the stacks: lists of indices into `configs`, each ascending; those that take longest come first.

    Runs of the sb3 engine stand alone. Runs of the stacked engine share a stack if their static settings are equal,
    and on a CPU, where more padding costs more than it saves, also the rows that their batches are padded to anyway
    (8 and 16 share them). What is too much for one stack is split evenly. Stacks are split further while that lets
    several workers end earlier.

    A pure function: the same arguments give the same plan, and on a CPU no number of a run depends on it.

    Args:
        configs: the runs.
        width: most runs of a stack; None for `MAX_WIDTH`, and for splits where they pay.
        memory: bytes, of which the replays of the stacks that train at a time may fill half; None for no such limit.
        device: as asked; auto is the CPU here, since only vector observations are stacked.
        jobs: stacks that train at a time.
    """
    groups: dict[str, list[int]] = {}
    for index, config in enumerate(configs):
        groups.setdefault(_company(config, index, device), []).append(index)
    share = None if memory is None else memory // jobs
    stacks = [part for group in groups.values() for part in _split(group, _widest(configs[group[0]], width, share))]
    if jobs == 1:
        return sorted(stacks)
    seconds = {tuple(stack): stack_seconds([configs[index] for index in stack]) for stack in stacks}
    if width is None:
        seconds = _divided(configs, seconds, jobs)
    return [list(stack) for stack in sorted(seconds, key=lambda stack: (-seconds[stack], stack))]


def _divided(
    configs: Sequence[RunConfig], seconds: dict[tuple[int, ...], float], jobs: int
) -> dict[tuple[int, ...], float]:
    """Returns the stacks with the seconds they take, the longest halved as long as everything ends earlier by that."""
    while seconds:
        longest = max(seconds.values())
        finer: dict[tuple[int, ...], float] = {}
        for stack, spent in seconds.items():
            middle = len(stack) // 2 if spent > _ABOUT_AS_LONG * longest else 0
            for part in (stack[:middle], stack[middle:]):
                if part:
                    finer[part] = stack_seconds([configs[index] for index in part]) if middle else spent
        if makespan(list(finer.values()), jobs) > _WORTH_IT * makespan(list(seconds.values()), jobs):
            break
        seconds = finer
    return seconds


def _company(config: RunConfig, index: int, device: str) -> str:
    """Returns a text that is equal for two runs if they can share a stack."""
    if config.engine == "sb3":
        return str(index)
    settings = as_dict(config)
    rows = 0 if device.startswith("cuda") else padded_rows(config.batch_size, config.activation_fn)
    return json.dumps([rows, *(settings[name] for name in _STATIC)], sort_keys=True)


def _widest(config: RunConfig, width: int | None, memory: int | None) -> int:
    """Returns how many runs such as this one a stack may hold, at least 1."""
    most = width or MAX_WIDTH
    return most if memory is None else max(1, min(most, memory // 2 // replay_bytes(config)))


def _split(group: Sequence[int], widest: int) -> Iterator[list[int]]:
    """Yields as few parts as possible, none wider than `widest`, whose sizes differ by 1 at most."""
    parts = -(-len(group) // widest)
    for part in range(parts):
        yield list(group[len(group) * part // parts : len(group) * (part + 1) // parts])
