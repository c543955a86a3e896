"""The worker: each stack goes to its engine, and what the engine says of its runs reaches the right ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlbatch import training
from rlbatch.config import RunConfig
from rlbatch.experiment import Experiment
from rlbatch.grid import PlannedRun, Request, expand
from rlbatch.launch import execute, job, worker
from rlbatch.rows import Ending, Row

Engine = Callable[..., None]


def plan(*arms: tuple[int, int], **settings: Any) -> list[PlannedRun]:
    """Returns a run for each (batch size, seed), in this order."""
    tiny = {"total_timesteps": 300, "learning_starts": 64, "n_evaluations": 1}
    return [
        run
        for batch, seed in arms
        for run in expand(Request("CartPole-v1", batch_sizes=(batch,), seeds=(seed,), settings=tiny | settings))
    ]


def finish(run: int, config: RunConfig, emit: Callable[[int, Row | Ending], None]) -> None:
    """Reports a run that is known by its return: a thousandth for each transition of its batch, and its seed."""
    known = config.seed + config.batch_size / 1000
    emit(run, Row("eval", 300, 0, 0, 1.0, {"eval/return_mean": known}, (known,), (1,)))
    emit(run, Ending("ok", "", 300, 236, 236 * config.batch_size, 1.0))


def finish_all(configs: Sequence[RunConfig], emit: Any, commit: Any, **_: Any) -> None:
    if commit(range(len(configs)), 300):
        for run in reversed(range(len(configs))):
            finish(run, configs[run], emit)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, in_process: None) -> Callable[..., list[tuple[str, Any, Any]]]:
    """Replaces the engines; returns a list that fills with (engine, (batch size, seed) of the stack, resources)."""

    def replace(does: Engine = finish_all) -> list[tuple[str, Any, Any]]:
        calls: list[tuple[str, Any, Any]] = []

        def engine(name: str) -> Engine:
            def train(configs: Sequence[RunConfig], emit: Any, commit: Any, **resources: Any) -> None:
                own = {key: value for key, value in resources.items() if key not in ("checkpoints", "alive")}
                calls.append((name, [(c.batch_size, c.seed) for c in configs], own))
                does(configs, emit, commit, **resources)

            return train

        for name in ("sb3", "stacked"):
            module = SimpleNamespace(train=engine(name))
            monkeypatch.setitem(sys.modules, f"rlbatch.training.{name}", module)
            monkeypatch.setattr(training, name, module, raising=False)
        return calls

    return replace


def test_each_stack_goes_to_its_engine_with_what_that_takes(tmp_path: Path, engines: Any) -> None:
    calls = engines()
    mixed = [*plan((16, 0), (32, 0), (16, 1), (32, 1), (16, 2)), *plan((64, 0), (64, 1), engine="sb3")]
    execute(mixed, Experiment(tmp_path / "e"), lambda m: None, env_workers=3, modules=["probes"], stack_width=2, jobs=1)
    own = {"device": "cpu", "env_workers": 3, "modules": ["probes"]}
    assert calls == [
        ("stacked", [(16, 0)], own),
        ("stacked", [(32, 0), (32, 1)], own),
        ("stacked", [(16, 1), (16, 2)], own),
        ("sb3", [(64, 0)], {"device": "cpu"}),
        ("sb3", [(64, 1)], {"device": "cpu"}),
    ]


def test_what_an_engine_says_of_a_run_reaches_that_run(
    tmp_path: Path, engines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines()
    monkeypatch.setattr(worker, "_TICK_S", 0.0)
    experiment = Experiment(tmp_path / "e")
    execute(plan((32, 1)), experiment, lambda m: None)
    messages: list[dict[str, Any]] = []
    outcomes = execute(plan((32, 0), (32, 1), (16, 5), (32, 7), (16, 6)), experiment, messages.append)
    assert [o.result["final"]["return_mean"] for o in outcomes] == [0.032, 1.032, 5.016, 7.032, 6.016]
    assert [o.result["run_id"] for o in outcomes] == [o.planned.config.run_id for o in outcomes]
    assert [o.folder.record()["stack_width"] for o in outcomes] == [2, 1, 2, 2, 2]
    told = [(m["type"], m.get("run", m.get("runs"))) for m in messages]
    assert told == [
        *(("device", None), ("started", 0), ("started", 3), ("tick", [0, 3]), ("tick", [0, 3])),
        *(("eval", 3), ("finished", 3), ("eval", 0), ("finished", 0)),
        *(("device", None), ("started", 2), ("started", 4), ("tick", [2, 4]), ("tick", [2, 4])),
        *(("eval", 4), ("finished", 4), ("eval", 2), ("finished", 2)),
    ]
    assert [m["timesteps"] for m in messages if m["type"] == "tick"] == [0, 300, 0, 300]


def test_all_runs_of_a_stack_have_begun_before_its_engine_does_anything(tmp_path: Path, engines: Any) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise MemoryError

    engines(die)
    experiment, told = Experiment(tmp_path / "e"), []
    with pytest.raises(MemoryError):
        execute(plan((16, 0), (32, 0), (16, 1)), experiment, told.append)
    assert [m["run"] for m in told if m["type"] == "started"] == [0, 2]
    assert sorted(experiment.statuses().values()) == ["partial", "partial", "planned"]


def test_the_driver_hears_now_and_then_that_an_evaluation_goes_on(
    tmp_path: Path, engines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_ALIVE_S", 0.0)

    def evaluate(configs: Sequence[RunConfig], emit: Any, commit: Any, alive: Any, **_: Any) -> None:
        alive()
        finish_all(configs, emit, commit)

    engines(evaluate)
    told: list[dict[str, Any]] = []
    execute(plan((16, 0)), Experiment(tmp_path / "e"), told.append)
    assert {"type": "alive"} in told


def test_a_run_that_has_ended_is_not_begun_again_by_the_steps_of_the_others(tmp_path: Path, engines: Any) -> None:
    def train(configs: Sequence[RunConfig], emit: Any, commit: Any, **_: Any) -> None:
        finish(0, configs[0], emit)
        commit((0, 1), 300)
        finish(1, configs[1], emit)

    engines(train)
    outcomes = execute(plan((16, 0), (16, 1)), Experiment(tmp_path / "e"), lambda m: None)
    assert [(o.result["outcome"], o.result["attempts"]) for o in outcomes] == [("ok", 1), ("ok", 1)]


def test_a_run_begins_when_it_is_first_heard_of_and_ticks_are_rare(tmp_path: Path, engines: Any) -> None:
    def train(configs: Sequence[RunConfig], emit: Any, commit: Any, **_: Any) -> None:
        for step in range(200):
            commit(range(len(configs)), step)
        finish_all(configs, emit, commit)

    engines(train)
    told: list[dict[str, Any]] = []
    execute(plan((16, 0), (16, 1)), Experiment(tmp_path / "e"), told.append)
    assert [m["run"] for m in told if m["type"] == "started"] == [0, 1]
    assert 1 <= sum(m["type"] == "tick" for m in told) <= 3


def test_the_worker_stops_between_stacks_when_asked(tmp_path: Path, engines: Any) -> None:
    calls = engines()
    stopping = False

    def send(message: dict[str, Any]) -> None:
        nonlocal stopping
        stopping = stopping or (message["type"] == "finished" and message["run"] == 0)

    experiment = Experiment(tmp_path / "e")
    jobs = [job.Job(run.config, experiment.run(run.config), {}) for run in plan((16, 0), (16, 1), (32, 0))]
    worker.work(job.worker_job(jobs, [2, 1], 0, job.Resources()), send, lambda: stopping)
    assert [stack for _, stack, _ in calls] == [[(16, 0), (16, 1)]]
    assert [job.folder.status() for job in jobs] == ["ok", "ok", "planned"]


def test_images_train_on_a_gpu_and_vectors_on_the_cpu_unless_a_device_is_named(
    tmp_path: Path, engines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlbatch.training import devices

    monkeypatch.setattr(devices, "available", lambda: [{"device": "cpu"}, {"device": "cuda:0"}])
    calls, told = engines(), []
    experiment = Experiment(tmp_path / "e")
    kinds = [{"observation": "image"}, {"observation": "discrete"}]
    settings = {"total_timesteps": 300, "learning_starts": 64, "n_evaluations": 1}
    planned = [run for k in kinds for run in expand(Request("Probe/Spaced-v0", settings=settings | {"env_kwargs": k}))]
    jobs = [job.Job(run.config, experiment.run(run.config), {}) for run in planned]
    worker.work(job.worker_job(jobs, [1, 1], 0, job.Resources()), told.append, lambda: False)
    assert [(engine, resources["device"]) for engine, _, resources in calls] == [("sb3", "cuda:0"), ("stacked", "cpu")]
    assert [m["device"] for m in told if m["type"] == "device"] == ["cuda:0", "cpu"]
    assert [job.folder.record()["device"] for job in jobs] == ["cuda:0", "cpu"]
