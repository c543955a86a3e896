"""Checkpoints of an experiment: which runs go on, from where, and what becomes of those that cannot."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from launch.kills import differences

from rlbatch.errors import RefusedError
from rlbatch.experiment import Experiment
from rlbatch.grid import PlannedRun, Request, expand
from rlbatch.launch import check, checkpoints, execute, job, worker
from rlbatch.launch.checkpoints import choose, continued, first_steps, stack_folder, sweep
from rlbatch.launch.execute import stacks_left
from rlbatch.launch.machine import capacity
from rlbatch.results import RunFolder
from rlbatch.training import checkpoint_files

TINY: dict[str, Any] = {
    "total_timesteps": 300,
    "learning_starts": 64,
    "batch_size": 32,
    "net_arch": [8],
    "n_evaluations": 3,
    "n_eval_episodes": 2,
    "log_points": 30,
}


def plan(seeds: Sequence[int] = (0, 1), **settings: Any) -> list[PlannedRun]:
    return expand(Request("CartPole-v1", seeds=tuple(seeds), settings=TINY | settings))


class Site:
    """An experiment that is trained in this process, and stopped at chosen env steps."""

    def __init__(self, path: Path) -> None:
        self.experiment = Experiment(path)
        self.root = path / "_checkpoints"
        self.messages: list[dict[str, Any]] = []

    def train(self, planned: Sequence[PlannedRun], stop: int | None = None, **resources: Any) -> None:
        """Trains as a worker does, each stack up to an env step."""
        self.experiment.path.mkdir(parents=True, exist_ok=True)
        self.experiment.add_plan([run.config for run in planned], [])
        jobs = [job.Job(run.config, self.experiment.run(run.config), {"notes": run.notes}) for run in planned]
        known = job.Resources(homes=(self.experiment.path,), **resources)
        stacks = job.stacks_of(jobs, known)
        left = [index for stack in stacks for index in stack]
        told = job.worker_job([jobs[i] for i in left], [len(stack) for stack in stacks], 0, known)
        reached = 0

        def send(message: dict[str, Any]) -> None:
            nonlocal reached
            self.messages.append(message)
            reached = message.get("timesteps", reached) if message["type"] == "train" else reached

        worker.work(told, send, lambda: stop is not None and reached >= stop)

    def runs(self, planned: Sequence[PlannedRun]) -> list[tuple[Any, RunFolder]]:
        return [(run.config, self.experiment.run(run.config)) for run in planned]

    def choose(self, planned: Sequence[PlannedRun], device: str = "cpu") -> checkpoints.Start:
        return choose([self.experiment.path], [run.config for run in planned], device)

    def kept(self) -> list[checkpoint_files.Kept]:
        """All checkpoints, the newest first."""
        found = [kept for folder in self.root.iterdir() for kept in checkpoint_files.kept_in(folder)[0]]
        return sorted(found, key=lambda kept: -kept.step)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "e")


@pytest.fixture
def calm(tmp_path: Path) -> Callable[[Sequence[PlannedRun]], Path]:
    """Trains without a stop; returns the experiment's folder."""

    def train(planned: Sequence[PlannedRun]) -> Path:
        Site(tmp_path / "calm").train(planned)
        return tmp_path / "calm"

    return train


def test_a_stopped_stack_goes_on_as_it_was_and_its_record_has_no_seam(site: Site, calm: Any) -> None:
    runs = plan()
    site.train(runs, stop=100)
    site.train(runs, stop=180)
    assert [kept.step for kept in site.kept()] == [180, 100]
    assert [status for status in site.experiment.statuses().values()] == ["partial"] * 2
    site.train(runs)
    sweep(site.experiment)
    assert differences(calm(runs), site.experiment.path) == []
    begun = [message["timesteps"] for message in site.messages if message["type"] == "started"]
    assert begun == [0, 0, 100, 100, 180, 180]
    for run in runs:
        folder = site.experiment.run(run.config)
        assert folder.result()["attempts"] == folder.record()["attempt"] == 3  # type: ignore[index]
        told = folder.record()["attempts"]
        assert told == [{"attempt": 2, "from": 100, "notes": []}, {"attempt": 3, "from": 180, "notes": []}]
        rows = list(folder.rows())
        assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
        assert len(list(folder.path.glob("events.*"))) == 3


def test_what_came_after_the_checkpoint_is_told_once(site: Site, calm: Any) -> None:
    runs = plan()
    site.train(runs, stop=100)
    shutil.copytree(site.root, site.root.with_name("_spare"))
    site.train(runs, stop=250)
    shutil.rmtree(site.root)
    site.root.with_name("_spare").rename(site.root)
    site.train(runs)
    sweep(site.experiment)
    assert differences(calm(runs), site.experiment.path) == []


def test_a_stack_goes_on_without_its_finished_runs_and_in_halves(site: Site, calm: Any) -> None:
    runs = plan(range(4))
    whole = calm(runs)
    site.train(runs, stop=100)
    finished = site.experiment.run(runs[2].config)
    shutil.rmtree(finished.path)
    shutil.copytree(whole / finished.path.relative_to(site.experiment.path), finished.path)
    left = [run for run in runs if run is not runs[2]]
    assert continued([site.experiment.path], site.runs(runs)) == [[0, 1, 3]]
    site.train(left[:2], stop=150)
    site.train(left[2:])
    assert site.choose(left[:2]).kept == site.kept()[0]
    assert len(list(site.root.iterdir())) == 2
    assert continued([site.experiment.path], site.runs(left)) == [[0, 1]]
    site.train(left[:2])
    sweep(site.experiment)
    assert differences(whole, site.experiment.path) == []
    attempts = [site.experiment.run(run.config).record()["attempt"] for run in runs]
    assert attempts == [3, 3, 1, 2]


def test_stacks_that_go_on_come_first_and_the_others_are_planned(site: Site) -> None:
    site.train(plan((1, 2)), stop=100)
    jobs = [job.Job(run.config, site.experiment.run(run.config), {}) for run in plan(range(5))]
    assert job.stacks_of(jobs, job.Resources(homes=(site.experiment.path,))) == [[1, 2], [0, 3, 4]]
    assert job.stacks_of(jobs, job.Resources()) == [[0, 1, 2, 3, 4]]


@pytest.mark.usefixtures("in_process")
def test_the_plan_that_is_foretold_is_the_one_that_is_carried_out(site: Site) -> None:
    runs = plan(range(5))
    site.train([runs[1], runs[3]], stop=100)
    site.train([runs[4]], stop=150)
    stacks = stacks_left(runs, site.experiment, range(5), "auto", None, capacity("auto", 1))
    parts = [[runs[i].config for i in stack] for stack in stacks]
    starts = first_steps([site.experiment.path], parts, "auto")
    assert sorted(zip(starts, stacks, strict=True)) == [(0, [0, 2]), (100, [1, 3]), (150, [4])]
    site.messages.clear()
    execute(runs, site.experiment, site.messages.append, jobs=1)
    began = [(m["run"], m["timesteps"]) for m in site.messages if m["type"] == "started"]
    assert began == [(run, start) for stack, start in zip(stacks, starts, strict=True) for run in stack]


def test_a_checkpoint_that_would_not_be_used_is_not_foretold(site: Site) -> None:
    runs = plan()
    for stop in (100, 150):
        site.train(runs, stop=stop)
    damage(site.kept()[0].path / "state.safetensors")
    assert first_steps([site.experiment.path], [[run.config for run in runs]], "auto") == [100]
    damage(site.kept()[1].path / "state.safetensors")
    assert first_steps([site.experiment.path], [[run.config for run in runs]], "auto") == [0]


def damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-5] + b"....." if content else b".")


@pytest.mark.parametrize("file", ["manifest.json", "state.safetensors"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_then_to_zero(file: str, site: Site, calm: Any) -> None:
    runs = plan()
    for stop in (100, 150, 200):
        site.train(runs, stop=stop)
    newest, before = site.kept()
    damage(newest.path / file)
    start = site.choose(runs)
    assert start.kept == before
    assert len(start.notes) == 1
    site.train(runs, stop=250)
    assert site.kept()[0].step > 200
    record = site.experiment.run(runs[0].config).record()
    assert record["attempts"][-1]["from"] == before.manifest["timesteps"]
    assert newest.path.name in record["attempts"][-1]["notes"][0]
    for kept in site.kept():
        damage(kept.path / file)
    start = site.choose(runs)
    assert (start.kept, start.resume, dict(start.marks), len(start.notes)) == (None, None, {}, 2)
    site.train(runs)
    assert not stack_folder(site.root, [run.config.run_id for run in runs]).exists()
    sweep(site.experiment)
    assert differences(calm(runs), site.experiment.path) == []
    assert site.experiment.run(runs[0].config).record()["attempts"][-1]["from"] == 0


@pytest.mark.parametrize("how", ["shorter", "changed", "missing", "config"])
def test_a_record_that_is_not_what_it_was_starts_its_stack_from_zero(how: str, site: Site, calm: Any) -> None:
    runs = plan()
    site.train(runs, stop=100)
    folder = site.experiment.run(runs[1].config)
    content = folder.metrics_path.read_bytes()
    if how == "missing":
        folder.metrics_path.unlink()
    elif how == "config":
        shutil.rmtree(folder.path)
    else:
        folder.metrics_path.write_bytes(content[:-1] if how == "shorter" else content.replace(b"1", b"2", 1))
    (note,) = site.choose(runs).notes
    assert "is not what it was then" in note or "config.json" in note
    site.train(runs)
    sweep(site.experiment)
    assert differences(calm(runs), site.experiment.path) == []


def test_a_checkpoint_of_other_versions_is_not_continued(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.train(plan(), stop=100)
    monkeypatch.setattr(checkpoint_files, "versions", lambda: {"torch": "0"})
    start = site.choose(plan())
    assert start.kept is None
    assert "was written with" in start.notes[0]


def test_a_checkpoint_of_a_newer_schema_is_not_continued(site: Site) -> None:
    site.train(plan(), stop=100)
    (kept,) = site.kept()
    path = kept.path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 2}))
    start = site.choose(plan())
    assert start.kept is None
    assert "schema 2" in start.notes[0]


def test_a_half_done_run_is_refused_on_another_kind_of_device(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.train(plan(), stop=100)
    for name in ("check_device", "check_memory", "capacity"):
        monkeypatch.setattr(importlib.import_module("rlbatch.launch.execute"), name, lambda *_, **__: None)
    with pytest.raises(RefusedError, match="half done on the device cpu") as caught:
        check(plan(), site.experiment, "cuda:0")
    assert caught.value.exit_code == 5
    check(plan(), site.experiment, "auto")
    check(plan((7,)), site.experiment, "cuda:0")
    with pytest.raises(RefusedError, match="--device cpu"):
        site.choose(plan(), "cuda:0")


@pytest.mark.usefixtures("in_process")
def test_a_failed_run_that_is_tried_again_starts_from_zero(site: Site) -> None:
    runs = plan()
    site.train(runs, stop=100)
    result = {"outcome": "crashed", "run_id": runs[0].config.run_id, "reason": "", "timesteps": 1, "updates": 1}
    result |= {"samples": 1, "seconds": 1.0, "attempts": 1, "final": dict.fromkeys(_FINAL)}
    site.experiment.run(runs[0].config).result_path.write_text(json.dumps(result))
    assert continued([site.experiment.path], site.runs(runs)) == [[1]]
    assert site.choose(runs).kept is None
    site.messages.clear()
    execute(runs, site.experiment, site.messages.append, retry_failed=True)
    started = [(m["run"], m["timesteps"]) for m in site.messages if m["type"] == "started"]
    assert sorted(started) == [(0, 0), (1, 100)]
    assert not site.root.exists()


_FINAL = ("return_mean", "auc", "best", "drawdown_max", "dispersion", "steps_to_threshold")


def test_checkpoints_of_runs_that_nobody_asked_for_now_stay(site: Site) -> None:
    site.train(plan((0, 1)), stop=100)
    site.train(plan((2, 3), gamma=0.9))
    sweep(site.experiment)
    assert len(site.kept()) == 1
    site.train(plan((0, 1)))
    sweep(site.experiment)
    sweep(site.experiment)
    assert not site.root.exists()


def test_the_other_engine_starts_from_zero_and_keeps_none(site: Site) -> None:
    runs = plan((0,), engine="sb3")
    site.train(runs, stop=100)
    assert not site.root.exists()
    site.train(runs)
    assert site.experiment.run(runs[0].config).record()["attempts"] == [{"attempt": 2, "from": 0, "notes": []}]
