"""Attempts of a cluster: a finished run comes to its place once, by a rename, and nothing finished is overwritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from launch.kills import SETTINGS

from rlbatch.experiment import ATTEMPTS, Experiment
from rlbatch.grid import PlannedRun, Request, expand
from rlbatch.launch import attempts, worker
from rlbatch.launch.attempts import attempts_in, new_attempt, publish, salvage, status_of, sweep_attempts
from rlbatch.launch.checkpoints import first_steps
from rlbatch.launch.execute import homes_of, left_to_do, stacks_left
from rlbatch.launch.job import Job, Resources, worker_job
from rlbatch.launch.plan import Capacity
from rlbatch.paths import run_path
from rlbatch.results import RunFolder, find_runs, run_record, write_json


@pytest.fixture
def runs() -> list[PlannedRun]:
    return expand(Request("CartPole-v1", batch_sizes=(32,), seeds=(0, 1), settings=SETTINGS))


@pytest.fixture
def experiment(tmp_path: Path, runs: list[PlannedRun]) -> Experiment:
    found = Experiment(tmp_path / "e")
    found.path.mkdir()
    found.add_plan([run.config for run in runs], [])
    return found


def jobs(experiment: Experiment, runs: list[PlannedRun]) -> list[Job]:
    return [Job(run.config, experiment.run(run.config), {}) for run in runs]


def write(home: Path, run: PlannedRun, outcome: str | None = "ok", **more: Any) -> RunFolder:
    """Makes a run folder by hand, finished unless `outcome` is None."""
    folder = RunFolder(home / run_path(run.config))
    folder.path.mkdir(parents=True)
    write_json(folder.config_path, run_record(run.config, **more))
    folder.metrics_path.write_text(f"{home.name}\n")
    final = dict.fromkeys(("return_mean", "auc", "best", "drawdown_max", "dispersion", "steps_to_threshold"))
    counts = dict.fromkeys(("timesteps", "updates", "samples", "seconds", "attempts"), 1)
    if outcome is not None:
        write_json(
            folder.result_path,
            counts | {"run_id": run.config.run_id, "outcome": outcome, "reason": ""} | {"final": final},
        )
    return folder


def test_every_attempt_has_a_folder_of_its_own(experiment: Experiment, runs: list[PlannedRun]) -> None:
    first, second = (new_attempt(experiment.path, jobs(experiment, runs)) for _ in range(2))
    assert (first.name, second.name) == ("000001", "000002")
    assert first.parent == second.parent
    half = new_attempt(experiment.path, jobs(experiment, runs[:1]))
    assert half.parent != first.parent
    assert set(attempts_in(experiment.path)) == {first, second, half}


def test_a_finished_run_comes_to_its_place_once(experiment: Experiment, runs: list[PlannedRun]) -> None:
    attempt, config = new_attempt(experiment.path, jobs(experiment, runs)), runs[0].config
    place = experiment.run(config)
    write(attempt, runs[0])
    write(attempt, runs[1], outcome=None)
    assert (publish(attempt, config, place) or {})["outcome"] == "ok"
    assert place.status() == "ok"
    assert publish(attempt, config, place) is None
    assert publish(attempt, runs[1].config, experiment.run(runs[1].config)) is None
    assert [run.path for run in find_runs(experiment.path)] == [place.path]


def test_an_attempt_that_was_thought_dead_overwrites_nothing(experiment: Experiment, runs: list[PlannedRun]) -> None:
    old, new = (new_attempt(experiment.path, jobs(experiment, runs)) for _ in range(2))
    for attempt in (old, new):
        write(attempt, runs[0])
    place = experiment.run(runs[0].config)
    assert publish(new, runs[0].config, place)
    assert publish(old, runs[0].config, place) is None
    assert place.metrics_path.read_text() == "000002\n"


def test_a_folder_that_appears_at_the_last_moment_is_not_replaced(
    experiment: Experiment, runs: list[PlannedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, place = new_attempt(experiment.path, jobs(experiment, runs)), experiment.run(runs[0].config)
    write(attempt, runs[0])
    move = attempts._move

    def late(source: Path, target: Path) -> None:
        write(experiment.path, runs[0])
        move(source, target)

    monkeypatch.setattr(attempts, "_move", late)
    with pytest.raises(OSError, match="not empty"):
        publish(attempt, runs[0].config, place)
    assert place.metrics_path.read_text() == "e\n"


def test_what_is_half_done_in_the_place_gives_way(experiment: Experiment, runs: list[PlannedRun]) -> None:
    place = write(experiment.path, runs[0], outcome=None)
    attempt = new_attempt(experiment.path, jobs(experiment, runs))
    write(attempt, runs[0])
    assert publish(attempt, runs[0].config, place)
    assert place.metrics_path.read_text() == "000001\n"


def test_a_foreign_record_is_not_taken(experiment: Experiment, runs: list[PlannedRun]) -> None:
    attempt = new_attempt(experiment.path, jobs(experiment, runs))
    made = write(attempt, runs[0])
    write_json(made.config_path, run_record(runs[1].config))
    assert publish(attempt, runs[0].config, experiment.run(runs[0].config)) is None
    made.config_path.write_text("{")
    salvage(experiment, [run.config for run in runs])
    assert find_runs(experiment.path) == []


def test_a_failed_run_that_is_tried_again_gives_up_its_place_and_keeps_count(
    experiment: Experiment, runs: list[PlannedRun]
) -> None:
    place = write(experiment.path, runs[0], outcome="crashed", attempt=3)
    attempt = new_attempt(experiment.path, jobs(experiment, runs[:1]))
    assert not place.path.exists()
    again = RunFolder(attempt / run_path(runs[0].config))
    assert (again.record()["attempt"], again.result()) == (3, None)


def test_what_no_driver_lived_to_take_is_taken_by_the_next(experiment: Experiment, runs: list[PlannedRun]) -> None:
    attempt = new_attempt(experiment.path, jobs(experiment, runs))
    write(attempt, runs[0], outcome="diverged")
    write(attempt, runs[1], outcome=None)
    assert set(experiment.statuses().values()) == {"partial"}
    salvage(experiment, [run.config for run in runs])
    assert sorted(experiment.statuses().values()) == ["diverged", "partial"]
    sweep_attempts(experiment)  # without a checkpoint there is nothing to go on from
    assert not (experiment.path / ATTEMPTS).exists()
    assert sorted(experiment.statuses().values()) == ["diverged", "planned"]


def test_what_an_attempt_has_finished_is_foretold_as_finished(experiment: Experiment, runs: list[PlannedRun]) -> None:
    attempt = new_attempt(experiment.path, jobs(experiment, runs))
    write(attempt, runs[0], outcome="crashed")
    write(attempt, runs[1], outcome=None)
    stray = new_attempt(experiment.path, jobs(experiment, runs[1:]))
    write(stray, runs[1]).config_path.write_text("{")  # not to be taken
    assert [status_of(experiment, run.config) for run in runs] == ["crashed", "partial"]
    assert (left_to_do(runs, experiment, False), left_to_do(runs, experiment, True)) == ([1], [0, 1])
    salvage(experiment, [run.config for run in runs])
    assert [status_of(experiment, run.config) for run in runs] == ["crashed", "partial"]
    assert (left_to_do(runs, experiment, False), left_to_do(runs, experiment, True)) == ([1], [0, 1])
    assert status_of(Experiment(experiment.path / "other"), runs[0].config) == "planned"


def test_the_stacks_that_are_foretold_go_on_from_an_attempts_checkpoint(
    experiment: Experiment, runs: list[PlannedRun]
) -> None:
    stack = jobs(experiment, runs)
    attempt = new_attempt(experiment.path, stack)
    here = [replace(job, folder=RunFolder(attempt / run_path(job.config))) for job in stack]
    told = worker_job(here, [2], None, Resources(homes=(attempt.resolve(),)))
    reached = [0]
    worker.work(told, lambda message: reached.append(message.get("timesteps", 0)), lambda: max(reached) >= 300)
    more = [*expand(Request("CartPole-v1", batch_sizes=(32,), seeds=(7,), settings=SETTINGS)), *runs]
    stacks = stacks_left(more, experiment, range(3), "auto", None, Capacity(1, None, 0))
    assert stacks == [[1, 2], [0]]
    parts = [[more[i].config for i in stack] for stack in stacks]
    (began, zero) = first_steps(homes_of(experiment), parts, "auto")
    assert (began >= 300, zero) == (True, 0)


def test_earlier_attempts_without_checkpoints_are_removed_but_the_last(
    experiment: Experiment, runs: list[PlannedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    useful = {"000001", "000002", "000004", "000005"}
    monkeypatch.setattr(attempts, "runs_in", lambda path: {"x"} if path.name in useful else set())
    for _ in range(8):
        new_attempt(experiment.path, jobs(experiment, runs))
    assert [path.name for path in attempts_in(experiment.path)] == ["000008", "000007", "000005", "000004"]
