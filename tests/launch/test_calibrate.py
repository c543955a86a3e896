"""Before training: what is missing of costs and random play is measured once, and no failure there stops anything."""

from __future__ import annotations

import errno
import importlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rlbatch.errors import InputError, RlbatchError
from rlbatch.experiment import Experiment
from rlbatch.grid import PlannedRun, Request, expand
from rlbatch.launch import Interrupted, calibrate, execute, measuring
from rlbatch.references import low_of, read_references
from rlbatch.wallclock import by_machine, price_of, read_costs

CALIBRATE = importlib.import_module("rlbatch.launch.calibrate")
TINY: dict[str, Any] = {"total_timesteps": 200, "learning_starts": 64, "net_arch": [8], "n_evaluations": 1}
TINY |= {"n_eval_episodes": 1, "log_points": 2}
COST = {"t_env": 0.001, "t_update": 0.01, "queued_share": 0.0}
PLAY = {"random_mean": -7.0, "random_se": 0.5, "random_n": 100}
Jobs = list[dict[str, Any]]


def plan(env_id: str = "CartPole-v1", sizes: tuple[int, ...] = (16, 32), **settings: Any) -> list[PlannedRun]:
    return expand(Request(env_id, batch_sizes=sizes, settings=TINY | settings))


def answer(finding: Callable[[str, int], dict[str, Any]], *more: dict[str, Any]) -> Callable[..., None]:
    """Returns what stands for the measuring process: it gives the same answer for everything of a kind."""

    def run(module: str, job: Any, report: Any, *, patience: Any) -> None:
        for kind in ("references", "costs"):
            for index in range(len(job[kind])):
                report({"kind": kind, "index": index, **finding(kind, index)})
        for one in more:
            report(one)

    return run


def found(kind: str, index: int) -> dict[str, Any]:
    return {"found": COST if kind == "costs" else PLAY}


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    (tmp_path / "e").mkdir()
    return Experiment(tmp_path / "e")


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """What was asked of the measuring process, which answers at once."""
    asked: Jobs = []
    told = answer(found)

    def run(module: str, job: Any, report: Any, *, patience: Any) -> None:
        asked.append(json.loads(json.dumps(job)))
        told(module, job, report, patience=patience)

    monkeypatch.setattr(measuring, "run", run)
    return asked


def measure(planned: list[PlannedRun], experiment: Experiment, device: str = "auto", gpu: str | None = None) -> Jobs:
    messages: Jobs = []
    CALIBRATE.calibrate(
        [run.config for run in planned], experiment, messages.append, device=device, modules=(), gpu=gpu
    )
    return messages


def notes(messages: Jobs) -> list[str]:
    return [message["text"] for message in messages if message["type"] == "note"]


def test_each_kind_of_run_is_measured_once_and_only_what_is_new_later(experiment: Experiment, jobs: Jobs) -> None:
    seeds = expand(Request("CartPole-v1", batch_sizes=(16, 32), seeds=(0, 1), settings=TINY))
    told = measure(seeds, experiment)
    assert [config["batch_size"] for config in jobs[0]["costs"]] == [16, 32]
    assert (jobs[0]["references"], jobs[0]["device"]) == ([], "cpu")
    assert [(m["done"], m["of"]) for m in told] == [(0, 2), (1, 2), (2, 2), (2, 2)]
    assert not experiment.references_path.exists()
    before = experiment.cost_path.read_bytes()
    assert measure(seeds, experiment) == []
    assert experiment.cost_path.read_bytes() == before
    measure(plan(sizes=(16, 64)), experiment)
    assert [[config["batch_size"] for config in job["costs"]] for job in jobs] == [[16, 32], [64]]
    costs = read_costs(experiment.cost_path)
    assert [entry["kind"]["batch_size"] for entry in costs] == [16, 32, 64]
    assert price_of(costs, plan()[0].config) == (0.001, 0.01, (0.01, 0.01))


def test_entries_name_the_machine_and_another_one_is_measured_beside_them(
    experiment: Experiment, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(plan(), experiment)
    first = read_costs(experiment.cost_path)
    assert set(first[0]["machine"]) == {"cpu", "cores", "gpu", "torch"}
    assert (first[0]["device"], first[0]["machine"]["gpu"]) == ("cpu", None)
    assert first[0]["machine"]["cpu"]
    measure(plan(), experiment, "cuda", "H")
    monkeypatch.setattr(CALIBRATE, "_cpu_name", lambda: "another")
    measure(plan(), experiment)
    assert len(jobs) == 3
    every = read_costs(experiment.cost_path)
    assert every[:2] == first
    assert [len(group) for group in by_machine(every)] == [2, 2, 2]
    assert [group[0]["device"] for group in by_machine(every)] == ["cpu", "cuda:0", "cpu"]


def test_without_the_gpu_that_was_asked_for_random_play_alone_is_measured(experiment: Experiment, jobs: Jobs) -> None:
    told = measure(plan("Probe/Spaced-v0"), experiment, "cuda")
    assert [(len(job["references"]), job["costs"]) for job in jobs] == [(1, [])]
    assert notes(told) == ["costs and score scales: there is no cuda:0 on this machine, so no costs are measured"]
    assert read_costs(experiment.cost_path) == []
    assert len(read_references(experiment.references_path)) == 1


def test_a_single_run_and_the_engine_sb3_have_no_costs(experiment: Experiment, jobs: Jobs) -> None:
    assert measure(plan(sizes=(16,)), experiment) == []
    assert measure(plan(engine="sb3"), experiment) == []
    assert jobs == []
    assert list(experiment.path.iterdir()) == []


def test_random_play_is_measured_where_no_value_is_listed_once_for_all_machines(
    experiment: Experiment, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(plan("Probe/Noisy-v0"), experiment)
    measure(plan("CartPole-v1", env_kwargs={"sutton_barto_reward": True}), experiment)
    monkeypatch.setattr(CALIBRATE, "_cpu_name", lambda: "another")
    measure(plan("Probe/Noisy-v0", sizes=(64, 128), learning_starts=128), experiment)
    asked = [[config["env_id"] for config in job["references"]] for job in jobs]
    assert asked == [["Probe/Noisy-v0"], ["CartPole-v1"], []]
    measured = read_references(experiment.references_path)
    assert low_of("Probe/Noisy-v0", {}, measured) == -7.0
    assert low_of("CartPole-v1", {"sutton_barto_reward": True}, measured) == -7.0


@pytest.mark.parametrize("wrong", [{"random_se": "x"}, {"random_se": -1.0}, {"random_n": 0}])
def test_random_play_that_makes_no_sense_is_refused_by_name(wrong: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    entry = {"env_id": "Own-v0", "env_kwargs": {}} | PLAY | wrong
    path.write_text(json.dumps({"schema": 1, "entries": [entry]}), encoding="utf-8")
    with pytest.raises(InputError, match=r"entry 0: random_se is .* episodes"):
        read_references(path)


def test_what_fails_is_a_note_and_the_rest_is_kept(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    def some(kind: str, index: int) -> dict[str, Any]:
        return {"failed": "it broke"} if index == 0 else found(kind, index)

    monkeypatch.setattr(measuring, "run", answer(some, {"kind": "left", "count": 1}))
    told = notes(measure(plan("Probe/Noisy-v0"), experiment))
    assert told == [
        "costs and score scales: Probe/Noisy-v0: the return of random play is not known: it broke",
        "costs and score scales: Probe/Noisy-v0: the cost of batch 16 is not known: it broke",
        "costs and score scales: 1 of 3 are left for the next command that trains here",
    ]
    assert [entry["kind"]["batch_size"] for entry in read_costs(experiment.cost_path)] == [32]


def test_a_disturbed_measurement_says_so_once(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        measuring, "run", answer(lambda kind, index: {"found": COST | {"queued_share": 0.2 + index / 10}})
    )
    (told,) = notes(measure(plan(), experiment))
    assert told.endswith("other processes took up to 30% of the time in which they were measured")


def test_a_process_that_dies_is_a_note_and_was_tried(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise RlbatchError("", "the measuring process ended with exit code 7")

    monkeypatch.setattr(measuring, "run", run)
    told = measure(plan(), experiment)
    assert notes(told) == ["costs and score scales: the measuring process ended with exit code 7"]
    assert told[-1] == {"type": "measuring", "done": 2, "of": 2}
    assert read_costs(experiment.cost_path) == []
    assert experiment.cost_path.exists()


@pytest.mark.usefixtures("jobs")
def test_a_full_disk_is_a_note_and_leaves_no_half_file(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("rlbatch.results.os.fsync", full)
    (told,) = notes(measure(plan(), experiment))
    assert "No space left on device" in told
    assert list(experiment.path.iterdir()) == []


@pytest.mark.parametrize("name", ["cost_path", "references_path"])
def test_a_file_that_cannot_be_read_is_left_as_it_is(name: str, experiment: Experiment, jobs: Jobs) -> None:
    path: Path = getattr(experiment, name)
    for text in ("{", '{"schema": 2, "entries": []}'):
        path.write_text(text)
        (told,) = notes(measure(plan(), experiment))
        assert path.name in told
        assert path.read_text() == text
    assert jobs == []


def test_ctrl_c_ends_the_command_and_keeps_what_was_measured(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(module: str, job: Any, report: Any, *, patience: Any) -> None:
        report({"kind": "costs", "index": 1, "found": COST})
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(measuring, "run", run)
    with pytest.raises(Interrupted):
        measure(plan(), experiment)
    assert [entry["kind"]["batch_size"] for entry in read_costs(experiment.cost_path)] == [32]


def work(monkeypatch: pytest.MonkeyPatch, planned: list[PlannedRun]) -> Jobs:
    """Returns what the measuring process would say, its measurements being short."""
    monkeypatch.setattr(CALIBRATE, "_COST_S", 0.02)
    monkeypatch.setattr(CALIBRATE, "EPISODES", 3)
    asked = {name: [CALIBRATE.as_dict(run.config) for run in planned] for name in ("references", "costs")}
    return list(CALIBRATE.work(asked | {"device": "cpu", **measuring.surroundings(())}))


def test_the_process_plays_and_measures_and_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = plan("Probe/Broken-v0", sizes=(16,), env_kwargs={"at": 25})
    told = work(monkeypatch, [*broken, *plan("Probe/Noisy-v0", sizes=(16,))])
    assert [(one["kind"], one.get("index")) for one in told] == [
        ("references", 0),
        ("references", 1),
        ("costs", 0),
        ("costs", 1),
    ]
    assert ["found" in one for one in told] == [False, True, False, True]
    assert "told to fail" in told[0]["failed"]
    assert "told to fail" in told[2]["failed"]
    assert told[1]["found"]["random_n"] == 3
    assert told[3]["found"]["t_update"] > 0


def test_nothing_is_begun_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CALIBRATE, "_BEGIN_S", 0.0)
    assert work(monkeypatch, plan()) == [{"kind": "left", "count": 4}]


@pytest.mark.usefixtures("in_process")
def test_execute_measures_when_asked_before_it_trains_and_not_where_all_is_done(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, bool]] = []

    def note(configs: Any, where: Experiment, report: Any, **_: Any) -> None:
        calls.append((len(configs), any(path.name == "config.json" for path in where.path.rglob("*"))))

    monkeypatch.setattr(importlib.import_module("rlbatch.launch.execute"), "calibrate", note)
    execute(plan(), experiment, lambda message: None)
    assert calls == []
    execute(plan(), experiment, lambda message: None, calibration=True)  # all is done, but nothing was ever measured
    assert calls == [(2, True)]
    experiment.cost_path.write_text('{"schema": 1, "entries": []}')
    execute(plan(), experiment, lambda message: None, calibration=True)
    assert len(calls) == 1
    grown = plan(sizes=(16, 32, 64))
    execute(grown, experiment, lambda message: None, calibration=True)
    assert calls[1:] == [(3, True)]
    other = Experiment(experiment.path.parent / "f")
    execute(plan(), other, lambda message: None, calibration=True)
    assert calls[2:] == [(2, False)]


def test_a_real_process_measures_and_an_environment_that_ends_or_stops_it_stops_nothing_else(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = psutil.Process().children(recursive=True)
    probes = ("probes",)
    for how, patience, said in (("die", 60.0, "exit code 7"), ("hang", 4.0, "said nothing for 4 s and was ended")):
        monkeypatch.setattr(CALIBRATE, "_PATIENCE_S", patience)
        told: Jobs = []
        broken = plan("Probe/Broken-v0", env_kwargs={"how": how, "at": 25})
        configs = [run.config for run in [*plan("Probe/Noisy-v0"), *broken]]
        monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
        CALIBRATE.calibrate(configs, Experiment(experiment.path), told.append, device="cpu", modules=probes)
        (note,) = [text for text in notes(told) if "measuring process" in text]
        assert said in note
        assert psutil.Process().children(recursive=True) == before
    (entry,) = read_references(experiment.references_path)
    assert (entry["env_id"], entry["random_n"]) == ("Probe/Noisy-v0", 100)
    assert calibrate.machine_here()["torch"]
