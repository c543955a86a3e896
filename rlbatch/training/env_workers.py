"""How are expensive environments stepped in parallel? In processes that own slices of the instances.

The numbers are those of `instances.Instances`, to the bit: every instance is seeded and stepped the same way, only
elsewhere. Observations, rewards and actions are in shared memory; a pipe says what to do and brings back what went
wrong.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rlbatch.config import RunConfig, as_dict, from_dict
from rlbatch.env_ids import import_module
from rlbatch.environments import describe
from rlbatch.training.endings import evidence_of
from rlbatch.training.envs import EnvironmentFailure
from rlbatch.training.instances import Arrays, Instances

_PATIENCE_S = 5.0
"""How long a process may take to end."""


class EnvWorkers:
    """Processes that step environments.

    Args:
        count: how many.
        runs: R; where there are enough of them, all instances of a run are in one process.
        modules: what each imports first; they register environments.
    """

    def __init__(self, count: int, runs: int, modules: Sequence[str] = ()) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy torch and the threads that it may have
        self._hosts: list[_Host] = []
        self._runs = runs
        self._made = 0
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, list(modules)))
            process.start()
            there.close()
            self._hosts.append(_Host(process, here))

    def make(self, config: RunConfig, count: int, *, auto_reset: bool) -> RemoteInstances:
        """Returns N instances of a run's environment, spread over the processes."""
        self._made += 1
        unit = count // self._runs if self._runs >= len(self._hosts) else 1
        hosts, units = len(self._hosts), count // unit
        edges = [units * i // hosts * unit for i in range(hosts + 1)]
        parts = [_Part(host, a, b) for host, a, b in zip(self._hosts, edges[:-1], edges[1:], strict=True) if b > a]
        return RemoteInstances(parts, self._made, config, count, auto_reset=auto_reset)

    def close(self) -> None:
        """Ends the processes."""
        deadline = time.monotonic() + _PATIENCE_S
        for host in self._hosts:
            host.pipe.close()
        for host in self._hosts:
            host.process.join(max(deadline - time.monotonic(), 0.0))
            host.process.kill()
            host.process.join()


class _Host(NamedTuple):
    """A process and the pipe to it."""

    process: BaseProcess
    pipe: Connection


class _Part(NamedTuple):
    """The instances start..end-1, and where they are."""

    host: _Host
    start: int
    end: int


class RemoteInstances:
    """`Instances` whose environments live in other processes; the same attributes and methods."""

    def __init__(self, parts: Sequence[_Part], number: int, config: RunConfig, count: int, *, auto_reset: bool) -> None:
        environment = describe(config.env_id, config.env_kwargs)
        self._number = number
        self._shared = _Shared.create(
            count, spaces.flatdim(environment.observation_space), _action_like(environment.action_space)
        )
        arrays = self._shared.arrays
        self.next_seeds = arrays.next_seeds
        self.observations, self.next_observations = arrays.observations, arrays.next_observations
        self.rewards, self.terminated, self.truncated = arrays.rewards, arrays.terminated, arrays.truncated
        self.failures: dict[int, EnvironmentFailure] = {}
        self._parts = parts
        told = {"config": as_dict(config), "auto_reset": auto_reset, "shared": self._shared.description}
        self._ask("make", range(count), told)

    def reset(self, which: Sequence[int]) -> None:
        """Starts an episode in the given instances, with their next seeds."""
        self._ask("reset", which)

    def step(self, actions: Sequence[Any] | NDArray[Any], which: Sequence[int]) -> None:
        """Takes one step in the given instances; `actions` has one for each of the N."""
        self._shared.actions[...] = actions
        self.terminated[...] = False
        self.truncated[...] = False
        self._ask("step", which)

    def close(self) -> None:
        """Closes the instances and gives the shared memory back."""
        with contextlib.suppress(OSError, EOFError):
            self._ask("close", range(len(self.rewards)))
        self._shared.close()

    def _ask(self, what: str, which: Sequence[int], told: Any = None) -> None:
        """Has every process do its part, all at once, and takes what went wrong; raises MemoryError."""
        chosen = self._shared.chosen
        chosen[...] = False
        chosen[list(which)] = True
        asked = [part for part in self._parts if chosen[part.start : part.end].any()]
        for part in asked:
            with contextlib.suppress(OSError):  # what cannot hear does not answer either
                part.host.pipe.send((what, self._number, part.start, part.end, told))
        lacking = 0
        for part in asked:
            try:
                told_back = part.host.pipe.recv()
                lacking += told_back is None
                self._take_failures(told_back or {})
            except (EOFError, OSError):
                part.host.process.join(_PATIENCE_S)
                death = f"its process ended with exit code {part.host.process.exitcode}"
                for index in range(part.start, part.end):
                    self.failures.setdefault(index, EnvironmentFailure(what, death))
        if lacking:
            raise MemoryError(f"{lacking} processes that step environments")

    def _take_failures(self, told: dict[int, tuple[str, str, bool, str]]) -> None:
        for index, (where, what, nonfinite, evidence) in told.items():
            failure = EnvironmentFailure(where, what, nonfinite=nonfinite)
            failure.add_note(evidence)
            self.failures.setdefault(index, failure)


class _Shared(NamedTuple):
    """Arrays of N instances in shared memory.

    Attributes:
        memory: the block.
        description: what another process needs to find the same arrays.
        arrays: what `Instances` reads and writes.
        actions: (N, ...).
        chosen: (N,) which instances an order is for.
    """

    memory: SharedMemory
    description: dict[str, Any]
    arrays: Arrays
    actions: NDArray[Any]
    chosen: NDArray[np.bool_]

    @classmethod
    def create(cls, count: int, size: int, action: NDArray[Any]) -> _Shared:
        """Returns new arrays for observations of `size` numbers and actions like the given one."""
        shapes = {
            "observations": ((count, size), "float32"),
            "next_observations": ((count, size), "float32"),
            "rewards": ((count,), "float64"),
            "terminated": ((count,), "bool"),
            "truncated": ((count,), "bool"),
            "next_seeds": ((count,), "int64"),
            "actions": ((count, *action.shape), action.dtype.name),
            "chosen": ((count,), "bool"),
        }
        needed = sum(_padded_bytes(shape, kind) for shape, kind in shapes.values())
        return cls._over(SharedMemory(create=True, size=needed), shapes)

    @classmethod
    def attach(cls, description: dict[str, Any]) -> _Shared:
        """Returns the arrays that another process created."""
        return cls._over(SharedMemory(description["name"]), description["shapes"])

    @classmethod
    def _over(cls, memory: SharedMemory, shapes: dict[str, Any]) -> _Shared:
        found, start = {}, 0
        for name, (shape, kind) in shapes.items():
            found[name] = np.ndarray(tuple(shape), kind, memory.buf, start)
            start += _padded_bytes(shape, kind)
        actions, chosen = found.pop("actions"), found.pop("chosen")
        return cls(memory, {"name": memory.name, "shapes": shapes}, Arrays(**found), actions, chosen)

    def close(self) -> None:
        """Gives the memory back; the arrays must not be used any more."""
        self.memory.close()
        with contextlib.suppress(FileNotFoundError):
            self.memory.unlink()


def _padded_bytes(shape: Sequence[int], kind: str) -> int:
    return -(-int(np.prod(shape)) * np.dtype(kind).itemsize // 64) * 64


def _action_like(space: spaces.Space[Any]) -> NDArray[Any]:
    """Returns an array of the shape and type of one action as the agents give it."""
    if isinstance(space, spaces.Discrete):
        return np.zeros((), np.int64)
    return np.zeros(space.shape or (), np.result_type(np.float32, space.dtype or np.float32))


def _serve(pipe: Connection, modules: Sequence[str]) -> None:
    """Does what the pipe says until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    for module in modules:
        import_module(module)
    hosted: dict[int, tuple[Instances, _Shared]] = {}
    while True:
        try:
            what, number, start, end, told = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(_obey(hosted, what, number, slice(start, end), told))


def _die_with_parent() -> None:
    """Ends this process when the one that started it is gone, even in the middle of a step that hangs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _obey(
    hosted: dict[int, tuple[Instances, _Shared]], what: str, number: int, mine: slice, told: Any
) -> dict[int, tuple[str, str, bool, str]] | None:
    """Makes, resets, steps or closes this process's slice of some instances.

    Returns:
        What is wrong with which; None for want of memory.
    """
    try:
        if what == "make":
            shared = _Shared.attach(told["shared"])
            made = Instances(
                from_dict(told["config"]),
                mine.stop - mine.start,
                auto_reset=told["auto_reset"],
                arrays=shared.arrays.part(mine),
            )
            hosted[number] = (made, shared)
        instances, shared = hosted[number]
        which = np.flatnonzero(shared.chosen[mine]).tolist()
        if what == "reset":
            instances.reset(which)
        elif what == "step":
            instances.step(shared.actions[mine].copy(), which)  # an environment may keep its action
        elif what == "close":
            instances.close()
            del hosted[number]
        failures = instances.failures
    except MemoryError:
        return None
    except Exception as error:  # noqa: BLE001 - one stack's trouble must not end the environments of the others
        failure = EnvironmentFailure(what, repr(error))
        failure.__cause__ = error
        failures = dict.fromkeys(range(mine.stop - mine.start), failure)
    return {
        index + mine.start: (f.where, str(f).removeprefix(f"{f.where}: "), f.nonfinite, evidence_of(f))
        for index, f in failures.items()
    }
