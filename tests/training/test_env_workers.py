"""Environments in processes: the same numbers as here, their own failures, and nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from rlbatch.config import RunConfig
from rlbatch.rows import Ending, Row
from rlbatch.training import env_workers, stacked
from rlbatch.training.env_workers import EnvWorkers, RemoteInstances
from rlbatch.training.instances import Instances

DISCRETE = RunConfig.build(env_id="CartPole-v1", algo="dqn")
KEEPER = RunConfig.build(env_id="Probe/Keeper-v0", algo="sac")


BLOCKS = Path("/dev/shm")  # noqa: S108 - where Linux keeps shared memory


class Named(SharedMemory):
    """Shared memory that tells which blocks were made here; other processes of the machine make some too."""

    made: ClassVar[list[str]] = []

    def __init__(self, name: str | None = None, create: bool = False, size: int = 0) -> None:
        super().__init__(name, create, size)
        self.made.append(self.name)


@pytest.fixture(scope="module")
def workers() -> Iterator[EnvWorkers]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(env_workers, "SharedMemory", Named)
        workers = EnvWorkers(2, runs=3, modules=("probes",))
        yield workers
        workers.close()
    assert Named.made
    assert [name for name in Named.made if (BLOCKS / name).exists()] == []


def play(instances: Instances | RemoteInstances, actions: np.ndarray, count: int) -> list[np.ndarray]:
    """Everything that instances tell over some steps, each step with new seeds for the next episodes."""
    told: list[np.ndarray] = []
    instances.next_seeds[:] = np.arange(count)
    instances.reset(range(count))
    for step, taken in enumerate(actions):
        instances.next_seeds[:] = 100 + count * step + np.arange(count)
        instances.step(taken.copy(), range(count))
        told += [instances.observations.copy(), instances.next_observations.copy(), instances.rewards.copy()]
        told += [instances.terminated.copy(), instances.truncated.copy()]
    return told


@pytest.mark.parametrize(("config", "count"), [(DISCRETE, 6), (DISCRETE, 3), (KEEPER, 6)], ids=["6", "3", "keeper"])
def test_the_numbers_are_those_of_instances_here_to_the_bit(workers: EnvWorkers, config: RunConfig, count: int) -> None:
    generator = np.random.default_rng(0)
    if config is DISCRETE:
        actions: np.ndarray = generator.integers(0, 2, (60, count))
    else:
        actions = generator.uniform(-1, 1, (60, count, 2)).astype(np.float32)
    here, there = Instances(config, count, auto_reset=True), workers.make(config, count, auto_reset=True)
    try:
        pairs = list(zip(play(here, actions, count), play(there, actions, count), strict=True))
        assert all(np.array_equal(a, b) for a, b in pairs)
        assert any(a.any() for a, _ in pairs[3::5])  # episodes ended
    finally:
        there.close()


def test_a_failure_is_its_instances_own_and_keeps_its_evidence(workers: EnvWorkers) -> None:
    config = RunConfig.build(env_id="Probe/Broken-v0", algo="dqn", env_kwargs={"how": "raise", "at": 5})
    instances = workers.make(config, 3, auto_reset=True)
    try:
        instances.reset(range(3))
        for _ in range(4):
            instances.step(np.zeros(3, np.int64), range(3))
        instances.step(np.zeros(3, np.int64), [1])
        (index,) = instances.failures
        failure = instances.failures[index]
        assert (index, failure.where, failure.nonfinite) == (1, "step", False)
        assert "the probe was told to fail" in str(failure)
        assert "Traceback" in failure.__notes__[0]
    finally:
        instances.close()


def test_want_of_memory_in_a_process_is_told_here_and_no_failure(workers: EnvWorkers) -> None:
    config = RunConfig.build(env_id="Probe/Broken-v0", algo="dqn", env_kwargs={"how": "memory", "at": 3})
    instances = workers.make(config, 3, auto_reset=True)
    try:
        instances.reset(range(3))
        for _ in range(2):
            instances.step(np.zeros(3, np.int64), range(3))
        with pytest.raises(MemoryError):
            instances.step(np.zeros(3, np.int64), [2])
        assert not instances.failures
    finally:
        instances.close()


def test_a_process_that_dies_takes_its_own_instances_only() -> None:
    workers = EnvWorkers(2, runs=4, modules=("probes",))
    instances = workers.make(DISCRETE, 8, auto_reset=True)
    try:
        instances.reset(range(8))
        process = workers._hosts[0].process
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        instances.step(np.zeros(8, np.int64), range(8))
        assert set(instances.failures) == {0, 1, 2, 3}  # the first two of four runs, two environments each
        assert "exit code -9" in str(instances.failures[0])
        assert instances.rewards[4:].tolist() == [1.0] * 4
    finally:
        instances.close()
        workers.close()
    assert not any(host.process.is_alive() for host in workers._hosts)


def test_a_stack_trains_the_same_with_and_without_processes() -> None:
    settings: dict[str, Any] = {"learning_starts": 32, "batch_size": 16, "net_arch": (16,), "n_eval_episodes": 2}
    settings |= {"total_timesteps": 120, "n_evaluations": 2, "log_points": 3, "n_envs": 2}
    configs = [RunConfig.build(env_id="Probe/Keeper-v0", algo="sac", seed=seed, **settings) for seed in range(3)]
    told: dict[int, list[Any]] = {0: [], 2: []}
    for count, seen in told.items():

        def emit(run: int, report: Row | Ending, seen: list[Any] = seen) -> None:
            if isinstance(report, Ending):
                assert report.policy is not None
                seen.append((run, report.outcome, {k: v.tobytes() for k, v in report.policy.items()}))
            else:
                values = {tag: value for tag, value in report.values.items() if not tag.startswith("cost/")}
                seen.append((run, report.kind, report.timesteps, values, report.returns))

        stacked.train(configs, emit, lambda runs, steps: True, device="cpu", env_workers=count, modules=("probes",))
    assert told[0] == told[2]
    assert {row[1] for row in told[0]} == {"train", "eval", "ok"}
