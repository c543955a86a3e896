"""Collecting: which runs count, which are named as missing, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from analysis.folders import config, plan, write

from rlbatch.analysis.collect import collect
from rlbatch.errors import InputError, RefusedError
from rlbatch.experiment import Experiment
from rlbatch.paths import run_path
from rlbatch.results import find_runs, write_json

RISING = [10, 20, 30, 40, 50]


def statuses(*folders: Path) -> list[str]:
    return [run.status for run in collect(folders).runs]


def test_every_planned_run_is_there_with_its_status(tmp_path: Path) -> None:
    runs = [config(seed=seed) for seed in range(6)]
    plan(tmp_path, runs)
    write(tmp_path, runs[0], RISING)
    write(tmp_path, runs[1], RISING[:2], "diverged", "loss is not finite")
    write(tmp_path, runs[2], RISING[:3], None)
    write(tmp_path, runs[3], [], "env_error", "it fell")
    (write(tmp_path, runs[4], RISING) / "config.json").write_text("{}")
    collected = collect([tmp_path])
    told = [(run.seed, run.status, run.reason, len(run.returns)) for run in collected.runs]
    assert told[:4] == [(0, "ok", "", 5), (1, "diverged", "loss is not finite", 2), (2, "partial", "", 3),
                        (3, "env_error", "it fell", 0)]  # fmt: skip
    assert told[4][:2] == (4, "unreadable")
    assert "schema" in told[4][2]
    assert told[5] == (5, "planned", "", 0)
    assert collected.runs[0].returns.tolist() == [[mean, mean] for mean in RISING]
    assert collected.experiments == (tmp_path,)
    assert collected.outside == ()


def test_runs_outside_the_plan_are_listed_and_not_read(tmp_path: Path) -> None:
    plan(tmp_path, [config(seed=0)])
    write(tmp_path, config(seed=0), RISING)
    other = write(tmp_path, config(seed=9), RISING)
    collected = collect([tmp_path])
    assert [run.seed for run in collected.runs] == [0]
    assert collected.outside == (other,)


def test_without_a_plan_the_runs_that_are_there_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "x", config(seed=0), RISING)
    write(tmp_path / "x", config(seed=1), RISING)
    assert statuses(tmp_path / "x") == ["ok", "ok"]


def test_a_folder_of_experiments_and_a_part_of_one_are_understood(tmp_path: Path) -> None:
    for name, env_id in (("a", "CartPole-v1"), ("b", "Acrobot-v1")):
        own = [config(env_id=env_id, batch_size=size) for size in (16, 32)]
        plan(tmp_path / name, own, metric="auc")
        write(tmp_path / name, own[0], RISING)
    whole = collect([tmp_path])
    assert [run.config.env_id if run.config else None for run in whole.runs] == [
        "Acrobot-v1",
        None,
        "CartPole-v1",
        None,
    ]
    assert whole.analysis == {"metric": "auc"}
    part = collect([tmp_path / "a" / "CartPole-v1" / "dqn"])
    assert [run.status for run in part.runs] == ["ok", "planned"]
    assert part.analysis == {"metric": "auc"}
    arm = collect([(tmp_path / "a" / run_path(config(batch_size=16))).parent, tmp_path / "b"])
    assert [run.status for run in arm.runs] == ["ok", "planned", "ok"]


def test_a_run_in_two_folders_counts_once_from_where_it_came_further(tmp_path: Path) -> None:
    for name in ("a", "b"):
        plan(tmp_path / name, [config(seed=seed) for seed in (0, 1)])
    write(tmp_path / "a", config(seed=0), RISING[:2], None)
    write(tmp_path / "b", config(seed=0), RISING)
    write(tmp_path / "b", config(seed=1), RISING[:1], None)
    collected = collect([tmp_path / "a", tmp_path / "b"])
    assert [(run.seed, run.status) for run in collected.runs] == [(0, "ok"), (1, "partial")]
    assert collected.runs[0].folder.is_relative_to(tmp_path / "b")
    assert len(collected.runs[0].labels) == 1


def test_designs_that_share_a_run_are_all_known(tmp_path: Path) -> None:
    own = config()
    more = {"match": "samples", "lr_rule": "none", "lr_reference_batch": 64, "replay_ratio": None, "preset": "neutral"}
    plan(tmp_path, [own], {own.run_id: [more]})
    write(tmp_path, own, RISING)
    (run,) = collect([tmp_path]).runs
    assert [labels["match"] for labels in run.labels] == ["updates", "samples"]


def test_a_run_that_is_trained_just_now_is_running(tmp_path: Path) -> None:
    plan(tmp_path, [config()])
    write(tmp_path, config(), RISING[:2], None)
    with Experiment(tmp_path).lock():
        assert statuses(tmp_path) == ["running"]
    assert statuses(tmp_path) == ["partial"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"timesteps": 300', '"timesteps": 299', "not those of its settings"),
        ('"returns": [40.0, 40.0]', '"returns": [40.0]', "not numbers"),
        ('"returns": [40.0, 40.0]', '"returns": [40.0, null]', "finite returns"),
        ('"returns": [40.0, 40.0]', '"returns": [40.0, "x"]', "not numbers"),
        ('"returns": [40.0, 40.0]', '"returns": 4, "n": [', "is not a row"),
    ],
)
def test_a_damaged_record_is_missing_and_says_why(tmp_path: Path, old: str, new: str, said: str) -> None:
    plan(tmp_path, [config(seed=0), config(seed=1)])
    path = write(tmp_path, config(seed=0), RISING) / "metrics.jsonl"
    write(tmp_path, config(seed=1), RISING)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    damaged, whole = collect([tmp_path]).runs
    assert damaged.status == "unreadable"
    assert said in damaged.reason
    assert whole.status == "ok"


def test_a_finished_run_that_lost_its_last_evaluation_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, config(), RISING) / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    (run,) = collect([tmp_path]).runs
    assert (run.status, "holds 4 of the 5 evaluations" in run.reason) == ("unreadable", True)


def test_another_run_in_a_planned_place_is_missing(tmp_path: Path) -> None:
    plan(tmp_path, [config(seed=0)])
    path = write(tmp_path, config(seed=0), RISING)
    other = config(seed=0, gamma=0.5)
    record = json.loads((path / "config.json").read_text())
    ids = {"run_id": other.run_id, "arm_id": other.arm_id}
    write_json(path / "config.json", record | ids | {"config": record["config"] | {"gamma": 0.5}})
    (run,) = collect([tmp_path]).runs
    assert (run.status, "which is planned" in run.reason) == ("unreadable", True)


def test_what_cannot_be_compared_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folders: none is named; name that of an experiment"):
        collect([])
    (tmp_path / "quick").mkdir()
    for folder, said in (("quikc", "did you mean quick"), ("quick", "holds no runs; rlbatch list runs")):
        with pytest.raises(InputError, match=said):
            collect([tmp_path / folder])
    plan(tmp_path / "quick", [config()])
    (tmp_path / "quick" / "Acrobot-v1").mkdir()
    with pytest.raises(InputError, match="holds no planned run"):
        collect([tmp_path / "quick" / "Acrobot-v1"])
    (tmp_path / "quick" / "cost.json").write_text('{"schema": 2}')
    with pytest.raises(RefusedError, match="schema"):
        collect([tmp_path / "quick"])


def test_a_plan_with_a_path_that_no_run_has_is_refused(tmp_path: Path) -> None:
    experiment = plan(tmp_path, [config()])
    experiment.plan_path.write_text(experiment.plan_path.read_text().replace("/dqn/b", "/dqn/c"))
    with pytest.raises(InputError, match="is not the path of a run; restore"):
        collect([tmp_path])


def test_an_experiment_that_confirms_is_left_out_of_a_folder_and_read_where_it_is_named(tmp_path: Path) -> None:
    plan(tmp_path / "known", [config(seed=0)])
    write(tmp_path / "known", config(seed=0), RISING)
    Experiment(tmp_path / "other").path.mkdir()
    Experiment(tmp_path / "other").add_plan([config(seed=6)], ["rlbatch"], confirms="known")
    write(tmp_path / "other", config(seed=6), RISING)
    found = collect([tmp_path])
    assert [run.seed for run in found.runs] == [0]
    assert found.notes == ("other is left out: its seeds confirm what known chose",)
    named = collect([tmp_path / "other"])
    assert ([run.seed for run in named.runs], named.notes) == ([6], ())
    assert [run.seed for run in collect([tmp_path, tmp_path / "other"]).runs] == [0, 6]
    shutil.rmtree(tmp_path / "known")
    with pytest.raises(InputError, match="holds only what confirms other experiments; name one"):
        collect([tmp_path])


def test_the_attempts_on_a_cluster_are_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [config(seed=seed) for seed in range(8)]
    plan(tmp_path, configs)
    for attempt in ("000001", "000002"):
        for own in configs[:3]:
            write(tmp_path / "_attempts" / "stack" / attempt, own, RISING[:2], None)
    walked: list[Path] = []
    monkeypatch.setattr("rlbatch.experiment.find_runs", lambda home: walked.append(home) or find_runs(home))
    monkeypatch.setattr(Experiment, "begun", None)
    assert statuses(tmp_path) == ["partial"] * 3 + ["planned"] * 5
    assert len(walked) == 2


def test_the_labels_and_analysis_of_a_plan_that_is_no_mapping_are_refused(tmp_path: Path) -> None:
    experiment = plan(tmp_path, [config()])
    experiment.plan_path.write_text(experiment.plan_path.read_text().replace("  also: {}", "  also: [1]"))
    with pytest.raises(InputError, match="not a plan that rlbatch wrote"):
        collect([tmp_path])
