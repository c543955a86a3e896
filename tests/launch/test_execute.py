"""Execution: what is left is trained, in worker processes whose death costs one run."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from engines import ENGINE
from here import train_here
from launch.kills import workers_of
from probes import DELAY

from rlbatch.env_ids import import_module
from rlbatch.errors import InputError, RefusedError
from rlbatch.experiment import Experiment
from rlbatch.grid import PlannedRun, Request, expand
from rlbatch.launch import Interrupted, execute, machine
from rlbatch.launch.crew import Crew, Stack
from rlbatch.launch.estimate import replay_bytes
from rlbatch.launch.process import NO_MEMORY, Worker
from rlbatch.results import RunFolder, find_runs

EXECUTE = importlib.import_module("rlbatch.launch.execute")  # the package has a function of this name
TINY: dict[str, Any] = {
    "total_timesteps": 300,
    "learning_starts": 64,
    "batch_size": 32,
    "net_arch": [8],
    "n_evaluations": 2,
    "n_eval_episodes": 2,
    "log_points": 5,
    "engine": ENGINE,
}
FORKING = """
import gymnasium, os, probes, time
class Forking(probes.Probe):
    def __init__(self):
        super().__init__(length=10)
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
gymnasium.register("Forking-v0", entry_point=Forking)
"""
DYING = """
import ctypes, gymnasium, os, probes
class Dying(probes.Probe):
    def __init__(self, how, at=400):
        super().__init__(length=10)
        self.how, self.at, self.steps = how, at, 0
    def step(self, action):
        self.steps += 1
        if self.steps > self.at:
            ctypes.string_at(0) if self.how == "segfault" else os._exit(0)
        return super().step(action)
gymnasium.register("Dying-v0", entry_point=Dying)
"""


def plan(env_id: str = "CartPole-v1", seeds: tuple[int, ...] = (0,), **settings: Any) -> list[PlannedRun]:
    return expand(Request(env_id, seeds=seeds, settings=TINY | settings))


def ignore(message: dict[str, Any]) -> None:
    pass


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.mark.usefixtures("in_process")
def test_what_is_finished_is_not_trained_again_and_no_file_changes(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "e")
    first = execute(plan(seeds=(0, 1)), experiment, ignore)
    assert [o.new for o in first] == [True, True]
    before = files(experiment.path)
    again = execute(plan(seeds=(0, 1)), experiment, ignore)
    assert [o.new for o in again] == [False, False]
    assert files(experiment.path) == before
    grown = execute(plan(seeds=(0, 1, 2)), experiment, ignore)
    assert [o.new for o in grown] == [False, False, True]
    assert [o.result for o in grown[:2]] == [o.result for o in first]


@pytest.mark.usefixtures("in_process")
def test_failed_runs_stay_until_asked_and_diverged_ones_for_good(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "e")
    (run,) = plan()
    execute([run], experiment, ignore)
    path = experiment.run(run.config).result_path
    for outcome, retried in (("env_error", True), ("diverged", False)):
        result = json.loads(path.read_text()) | {"outcome": outcome}
        path.write_text(json.dumps(result))
        assert not execute([run], experiment, ignore)[0].new
        assert execute([run], experiment, ignore, retry_failed=True)[0].new is retried
    assert json.loads(path.read_text())["attempts"] == 2


@pytest.mark.usefixtures("in_process")
def test_a_tampered_run_is_refused_before_anything_starts(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "e")
    (run,) = plan()
    execute([run], experiment, ignore)
    path = experiment.run(run.config).config_path
    record = json.loads(path.read_text())
    record["config"]["gamma"] = 0.5
    path.write_text(json.dumps(record))
    with pytest.raises(RefusedError, match="changed by hand"):
        execute([run], experiment, ignore)


@pytest.mark.usefixtures("in_process")
def test_a_foreign_folder_in_a_runs_place_is_refused_and_the_plan_stays(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "e")
    (run,) = plan()
    execute([run], experiment, ignore)
    folder, before = experiment.run(run.config), files(experiment.path)
    other = json.loads(folder.result_path.read_text()) | {"run_id": "0" * 16}
    kept = folder.result_path.read_text()
    for damage in ("other result", "{}", "no config", "link"):
        if damage == "no config":
            folder.config_path.unlink()
        elif damage == "link":
            folder.path.rename(tmp_path / "elsewhere")
            folder.path.symlink_to(tmp_path / "elsewhere")
        else:
            folder.result_path.write_text(json.dumps(other) if damage == "other result" else damage)
        plan_before = experiment.plan_path.read_bytes()
        with pytest.raises((RefusedError, InputError)):
            execute([run, *plan(seeds=(7,))], experiment, ignore)
        assert experiment.plan_path.read_bytes() == plan_before
        folder.result_path.write_text(kept)
    assert before[str(experiment.plan_path)] == experiment.plan_path.read_bytes()


@pytest.mark.usefixtures("in_process")
def test_a_run_that_was_killed_while_its_first_file_was_written_begins_again(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "e")
    (run,) = plan()
    folder = experiment.run(run.config)
    folder.path.mkdir(parents=True)
    experiment.add_plan([run.config], [])
    (folder.path / ".config.json.123").write_text("{")
    (outcome,) = execute([run], experiment, ignore)
    assert (outcome.result["outcome"], outcome.result["attempts"]) == ("ok", 1)
    assert not list(folder.path.glob(".*"))


@pytest.mark.parametrize("part", ["s000", "arm", "dqn"])
@pytest.mark.usefixtures("in_process")
def test_a_link_that_leads_out_of_the_experiment_is_refused_wherever_it_stands(tmp_path: Path, part: str) -> None:
    experiment = Experiment(tmp_path / "e")
    (run,) = plan()
    execute([run], experiment, ignore)
    run_folder = experiment.run(run.config).path
    place = {"s000": run_folder, "arm": run_folder.parent, "dqn": run_folder.parent.parent}[part]
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="leads out of"):
        execute([run], experiment, ignore)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda:-1", "gpu"])
def test_an_unknown_device_is_bad_input_and_nothing_is_written(tmp_path: Path, device: str) -> None:
    with pytest.raises(InputError, match="--device"):
        execute(plan(), Experiment(tmp_path / "e"), ignore, device=device)
    assert list(tmp_path.iterdir()) == []


def test_a_replay_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Little:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    with pytest.raises(InputError, match="GB"):
        execute(plan(), Experiment(tmp_path / "e"), ignore)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_process_trains_tells_and_leaves_only_the_experiment(tmp_path: Path) -> None:
    messages: list[dict[str, Any]] = []
    experiment = Experiment(tmp_path / "e")
    (outcome,) = execute(
        plan("HalfCheetah-v5", total_timesteps=100), experiment, messages.append, argv=["rlbatch", "--token=x"]
    )
    assert outcome.result["outcome"] == "ok"
    kinds = [m["type"] for m in messages]
    assert (kinds[0], kinds[1], kinds[-1]) == ("device", "started", "finished")
    assert kinds.count("train") == 5
    assert kinds.count("eval") == 3
    assert {p.name for p in tmp_path.iterdir()} == {"e"}
    assert {p.name for p in experiment.path.iterdir()} == {"HalfCheetah-v5", "_logs", ".lock", "experiment.yaml"}
    record = outcome.folder.record()
    assert record["provenance"]["argv"] == ["rlbatch", "--token=***"]
    assert record["device"] == "cpu"
    assert record["provenance"]["versions"]["torch"]


def test_a_worker_that_dies_costs_one_run_and_the_next_goes_on(tmp_path: Path) -> None:
    Path("dying.py").write_text(DYING)
    import_module("dying")
    experiment = Experiment(tmp_path / "e")
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), before])
    ways = ({"how": "segfault", "at": 400}, {"how": "exit", "at": 0}, {"how": "exit", "at": 10_000})
    try:
        planned = [run for way in ways for run in plan("dying:Dying-v0", env_kwargs=way, total_timesteps=600)]
        *doomed, fine = execute(planned, experiment, ignore, modules=["dying"], jobs=2)
    finally:
        os.environ["PYTHONPATH"] = before
    for outcome, said in zip(doomed, ("SIGSEGV", "exit code 0"), strict=True):  # while training, and at first
        assert outcome.result["outcome"] == "crashed"
        assert said in outcome.result["reason"]
        assert outcome.folder.error_path.exists()
    assert fine.result["outcome"] == "ok"


def weights_and_rows(experiment: Experiment) -> dict[str, Any]:
    """What the runs of an experiment say, clocks and costs aside."""
    told: dict[str, Any] = {}
    for run in find_runs(experiment.path):
        clocks = ("seconds", "cost/")
        rows = [{tag: v for tag, v in row.items() if not tag.startswith(clocks)} for row in run.rows()]
        told[str(run.path.relative_to(experiment.path))] = rows, run.policy_path.read_bytes()
    return told


MEETING = """
import gymnasium, os, time
from pathlib import Path
from gymnasium.envs.classic_control import CartPoleEnv
class Meeting(CartPoleEnv):
    def reset(self, **options):
        there = os.environ.get("MEETING")
        if there:
            Path(there, str(os.getpid())).touch()
            deadline = time.monotonic() + 60
            while len(list(Path(there).iterdir())) < 2:
                assert time.monotonic() < deadline, "nobody else came"
                time.sleep(0.05)
        return super().reset(**options)
gymnasium.register("Meeting-v0", entry_point=Meeting, max_episode_steps=200)
"""
"""Where there is a place to meet, no process begins before another one is there."""


def test_what_comes_out_does_not_depend_on_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("meeting.py").write_text(MEETING)
    import_module("meeting")
    planned = plan("meeting:Meeting-v0", seeds=(0, 1, 2), engine="stacked")
    several, one, place = Experiment(tmp_path / "several"), Experiment(tmp_path / "one"), tmp_path / "place"
    place.mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("MEETING", str(place))
        outcomes = execute(planned, several, ignore, modules=["meeting"], stack_width=1, jobs=3)
    assert {outcome.result["outcome"] for outcome in outcomes} == {"ok"}  # they met, so they trained side by side
    with monkeypatch.context() as patch:
        train_here(patch)
        execute(planned, one, ignore, jobs=1)
    assert len(weights_and_rows(one)) == 3
    assert weights_and_rows(several) == weights_and_rows(one)


class Ended:
    """A worker that has ended."""

    hung = lost = False

    def __init__(self, log: Path, *, lacked_memory: bool = False) -> None:
        self.log, self._lacked_memory = log, lacked_memory
        log.touch()

    def close(self) -> None:
        pass

    def deliver(self, job: Any) -> None:
        pass

    def lacked_memory(self) -> bool:
        return self._lacked_memory

    def how_it_ended(self) -> str:
        return "was killed by SIGKILL"


def never(stack: Any, inbox: Any) -> Any:
    raise AssertionError("nobody is hired here")


def again(staff: Crew, worker: Ended, stack: Stack) -> list[tuple[list[int], int]]:
    """What must be done again, as (runs, deaths)."""
    stack.begun |= set(stack.indices)
    return [(one.indices, one.deaths) for one in staff._after(worker, stack)]  # type: ignore[arg-type]


def test_a_stack_is_tried_once_more_and_then_halved_and_for_want_of_memory_at_once(tmp_path: Path) -> None:
    jobs = [EXECUTE._job(run, Experiment(tmp_path / "e"), {}) for run in plan(seeds=(0, 1, 2))]
    told: list[dict[str, Any]] = []
    staff = Crew(jobs, told.append, never)
    ended, full = Ended(tmp_path / "log"), Ended(tmp_path / "log", lacked_memory=True)
    assert again(staff, ended, Stack([0, 1, 2])) == [([0, 1, 2], 1)]
    assert again(staff, ended, Stack([0, 1, 2], finished={1})) == [([0, 2], 1)]
    assert again(staff, ended, Stack([0, 1, 2], 1)) == [([1, 2], 1), ([0], 1)]
    assert again(staff, full, Stack([0, 1, 2])) == [([1, 2], 1), ([0], 1)]
    assert again(staff, ended, Stack([2], finished={2})) == []
    assert told == []
    assert staff.failure is None


def test_a_lost_machine_is_not_the_stacks_fault_unless_it_is_lost_again_and_again(tmp_path: Path) -> None:
    jobs = [EXECUTE._job(run, Experiment(tmp_path / "e"), {}) for run in plan(seeds=(0, 1))]
    staff, lost = Crew(jobs, ignore, never), Ended(tmp_path / "log")
    lost.lost = True
    stack = Stack([0, 1], begun={0, 1})
    for losses in range(1, 6):
        (stack,) = staff._after(lost, stack)  # type: ignore[arg-type]
        assert (stack.indices, stack.deaths, stack.losses) == ([0, 1], 0, losses)
    stack.reached = 10  # it got further
    (stack,) = staff._after(lost, stack)  # type: ignore[arg-type]
    assert (stack.deaths, stack.losses, stack.began_at) == (0, 0, 10)
    stack.losses, stack.begun = 5, {0, 1}
    (stack,) = staff._after(lost, stack)  # type: ignore[arg-type]
    assert stack.deaths == 1
    assert staff.failure is None


def test_a_worker_that_begins_no_run_ends_the_command(tmp_path: Path) -> None:
    jobs = [EXECUTE._job(run, Experiment(tmp_path / "e"), {}) for run in plan(seeds=(0, 1))]
    staff = Crew(jobs, ignore, never)
    assert staff._after(Ended(tmp_path / "log"), Stack([0, 1])) == []  # type: ignore[arg-type]
    assert "ended before it began a run" in str(staff.failure)
    assert staff.stopping


def test_a_worker_without_memory_says_so_by_its_exit_code(tmp_path: Path) -> None:
    worker = Worker.__new__(Worker)
    worker._kills, worker.hung = 10**9, False
    for code, lacks in ((NO_MEMORY, True), (1, False), (-signal.SIGKILL, False), (-signal.SIGSEGV, False)):
        worker.process = SimpleNamespace(returncode=code)  # type: ignore[assignment]
        assert worker.lacked_memory() is lacks
    worker._kills = -1  # the system has ended a process since
    worker.process = SimpleNamespace(returncode=-signal.SIGKILL)  # type: ignore[assignment]
    assert worker.lacked_memory()


def test_stacks_are_narrower_where_their_replays_would_fill_more_than_half_of_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = replay_bytes(plan(engine="stacked")[0].config)

    class Little:
        available = 2 * 3 * one

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    cards = [{"device": "cpu", "memory_mb": None}, {"device": "cuda:0", "memory_mb": 1}, {"device": "cuda:1"}]
    monkeypatch.setattr(machine, "probe_devices", lambda: {"devices": cards})
    there = machine.capacity
    runs = [run.config for run in plan(seeds=tuple(range(12)), engine="stacked")]
    assert [len(stack) for stack in machine.stacks_here(runs, "auto", None, there("auto", 1))] == [3, 3, 3, 3]
    assert [len(stack) for stack in machine.stacks_here(runs, "cpu", 2, there("cpu", 1))] == [2] * 6
    assert (machine.free_memory("cuda"), machine.free_memory("cuda:0")) == (2**20, 2**20)
    assert [len(stack) for stack in machine.stacks_here(runs, "cuda", None, there("cuda"))] == [12]
    machine.check_memory(runs, "cpu", None, there("cpu", 1))  # a stack is never wider than what fits
    Little.available = one - 1
    with pytest.raises(InputError, match="buffer_size"):
        machine.check_memory(runs, "cpu", None, there("cpu", 1))
    machine.check_memory(runs, "cuda", None, there("cuda"))  # stacked replays lie on the GPU, those of sb3 never do
    by_sb3 = [run.config for run in plan(engine="sb3")]
    Little.available = replay_bytes(by_sb3[0]) - 1
    with pytest.raises(InputError, match="buffer_size"):
        machine.check_memory(by_sb3, "cuda", None, there("cuda"))


def test_a_process_that_an_environment_forked_does_not_keep_the_driver(tmp_path: Path) -> None:
    Path("forking.py").write_text(FORKING)
    import_module("forking")
    experiment = Experiment(tmp_path / "e")
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), before])
    try:
        planned = plan("forking:Forking-v0", total_timesteps=100)
        started = time.monotonic()
        (outcome,) = execute(planned, experiment, ignore, modules=["forking"])
    finally:
        os.environ["PYTHONPATH"] = before
        for child in psutil.process_iter(["cmdline"]):
            if "rlbatch.launch.worker" in (child.info["cmdline"] or ()) and child.ppid() == 1:
                child.kill()
    assert outcome.result["outcome"] == "ok"
    assert time.monotonic() - started < 200
    assert not experiment.locked()


def test_ctrl_c_stops_between_steps_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(tmp_path / "e")
    delay = tmp_path / "slow"
    monkeypatch.setenv(DELAY, str(delay))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    settings = {"total_timesteps": 400, "engine": "sb3"}  # one after the other, so one is finished
    runs = plan("Probe/Delayed-v0", seeds=(0, 1), **settings)

    def interrupt(message: dict[str, Any]) -> None:
        if message["type"] == "finished":
            delay.touch()  # the second run is to be at work when the signal comes
        if message["type"] == "train" and message["run"] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        execute(runs, experiment, interrupt, modules=["probes"], jobs=1)
    delay.unlink()
    assert caught.value.exit_code == 130
    assert sorted(experiment.statuses().values()) == ["ok", "partial"]
    for row in experiment.run(runs[1].config).rows():
        assert row["timesteps"] < 400
    assert not experiment.locked()
    with monkeypatch.context() as patch:
        train_here(patch)
        outcomes = execute(runs, experiment, ignore, modules=["probes"])
    assert [o.new for o in outcomes] == [False, True]
    assert [o.result["attempts"] for o in outcomes] == [1, 2]
    counts = [sum(1 for _ in o.folder.rows("train")) for o in outcomes]
    assert counts == [5, 5]


def test_the_lock_is_held_until_the_last_worker_is_gone(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "e")
    inbox: SimpleQueue[Any] = SimpleQueue()
    with experiment.lock() as descriptor:
        worker = Worker(tmp_path, descriptor, inbox)
    assert experiment.locked()
    worker.kill()
    assert inbox.get(timeout=20) == (worker, None)
    assert not experiment.locked()
    assert worker.how_it_ended() == "was killed by SIGKILL"
    worker.close()


def test_a_killed_driver_takes_its_worker_along_and_the_same_command_finishes(tmp_path: Path) -> None:
    words = [
        "train",
        "--env",
        "CartPole-v1",
        "--batch",
        "32",
        "--steps",
        "20000",
        "--set",
        "learning_starts=64",
        "--engine",
        ENGINE,
        "--out",
        "o",
        "-q",
    ]
    command = [sys.executable, "-m", "rlbatch.cli", *words]
    with subprocess.Popen(command) as driver:
        worker = _wait(lambda: workers_of(driver))[0]
        metrics = _wait(lambda: list(Path("o").rglob("metrics.jsonl")))[0]
        _wait(lambda: metrics.stat().st_size > 5000)
        driver.kill()
    assert psutil.wait_procs([worker], timeout=20)[1] == []
    experiment = Experiment(Path("o/CartPole-v1-dqn"))
    assert not experiment.locked()
    assert list(experiment.statuses().values()) == ["partial"]
    assert RunFolder(metrics.parent).result() is None


def _wait(condition: Any) -> Any:
    give_up = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return found
