"""The Python API: the same runs as the commands train, from arguments or a dict, in the same folders."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import ENGINE

import rlbatch
from rlbatch.cli import main
from rlbatch.config import SETTINGS
from rlbatch.errors import InputError, TemporaryError
from rlbatch.grid import Request, expand
from rlbatch.launch import api, execute, job, local
from rlbatch.launch.api import Resources
from rlbatch.training.checkpoint import INTERVAL_S

TINY: dict[str, Any] = {
    "total_timesteps": 300,
    "learning_starts": 64,
    "net_arch": [8],
    "n_evaluations": 2,
    "n_eval_episodes": 2,
    "log_points": 5,
    "engine": ENGINE,
}


@pytest.mark.usefixtures("in_process")
def test_train_trains_all_combinations_and_only_what_is_missing() -> None:
    told: list[dict[str, Any]] = []
    first = rlbatch.train("CartPole-v1", batch_size=[16, 32], seeds=2, report=told.append, **TINY)
    expected = expand(Request("CartPole-v1", batch_sizes=(16, 32), seeds=(0, 1), settings=TINY))
    assert [o.planned.config for o in first] == [run.config for run in expected]
    assert {(o.result["outcome"], o.new) for o in first} == {("ok", True)}
    assert [m["type"] for m in told].count("finished") == 4
    again = rlbatch.train("CartPole-v1", batch_size=16, seeds=[1, 2], **TINY)
    assert [o.new for o in again] == [False, True]
    frame = rlbatch.load("results/CartPole-v1-dqn")
    assert sorted(zip(frame["batch_size"], frame["seed"], strict=True)) == [(16, 0), (16, 1), (16, 2), (32, 0), (32, 1)]
    assert len(rlbatch.load("results/CartPole-v1-dqn", "eval")) == 5 * 3


@pytest.mark.usefixtures("in_process")
def test_run_takes_a_file_or_what_it_says() -> None:
    asked = {"name": "small", "envs": ["CartPole-v1"], "batch_size": [16, 32], "seeds": 1, **TINY}
    first = rlbatch.run(asked)
    assert [(o.result["outcome"], o.new) for o in first] == [("ok", True)] * 2
    assert first[0].planned.origins["batch_size"].startswith("dict:")
    lines = [f"{key}: {value}" for key, value in asked.items()]
    Path("small.yaml").write_text("\n".join(lines).replace("'", "") + "\n")
    assert [o.new for o in rlbatch.run("small.yaml")] == [False, False]
    assert [str(o.folder.path) for o in rlbatch.run(Path("small.yaml"), out="elsewhere", name="other")] == [
        str(o.folder.path).replace("results/small", "elsewhere/other") for o in first
    ]


@pytest.mark.usefixtures("in_process")
def test_costs_are_measured_first_unless_the_call_says_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    execute = importlib.import_module("rlbatch.launch.execute")  # the package has a function of this name
    monkeypatch.setattr(execute, "calibrate", lambda configs, *_, **__: calls.append(len(configs)))
    asked = {"name": "small", "envs": ["CartPole-v1"], "batch_size": [16, 32], "seeds": 1, **TINY}
    rlbatch.run(asked, calibration=False)
    rlbatch.train("CartPole-v1", batch_size=16, seeds=2, calibration=False, **TINY)
    assert calls == []
    rlbatch.run(asked | {"seeds": 2})
    rlbatch.train("CartPole-v1", batch_size=16, seeds=3, **TINY)
    assert calls == [4, 3]


def test_resources_reach_the_stacks_by_call_and_by_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[job.Resources] = []

    def train(jobs: Any, report: Any, resources: job.Resources, **_: Any) -> None:
        seen.append(resources)
        raise TemporaryError("", "seen")

    monkeypatch.setattr(local, "train", train)
    asked = {"jobs": 2, "stack_width": 3, "env_workers": 4, "checkpoint_s": 5, "device": "cpu"}
    document = {"name": "small", "envs": "CartPole-v1", **TINY, "engine": "stacked"}
    for call in (
        lambda: rlbatch.train("CartPole-v1", **TINY | {"engine": "stacked"}, **asked),
        lambda: rlbatch.run(document, **asked),
    ):
        with pytest.raises(TemporaryError, match="seen"):
            call()
    words = ["--jobs", "2", "--stack-width", "3", "--env-workers", "4", "--checkpoint-every", "5", "--device", "cpu"]
    assert main.run(["train", "--env", "CartPole-v1", *words]) == 75
    for found in seen:
        assert {name: getattr(found, name) for name in asked} == asked
    assert main.run(["train", "--env", "CartPole-v1"]) == 75
    assert seen.pop().checkpoint_s == INTERVAL_S
    assert len(seen) == 3


def test_no_resource_is_called_like_a_setting_and_each_is_one_of_execute() -> None:
    names = set(Resources.__annotations__)
    assert not names & set(SETTINGS)
    assert names <= set(inspect.signature(execute).parameters)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match=r"learning_rat: is not a setting; did you mean learning_rate\?"):
        rlbatch.train("CartPole-v1", learning_rat=0.1)
    with pytest.raises(InputError, match=r"dict:2:\d+: bacth_size"):
        rlbatch.run({"name": "x", "bacth_size": [1]})
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        rlbatch.trian  # noqa: B018 - asking is the point
    with pytest.raises(InputError, match="--launcher: 'rya' is not a launcher"):
        rlbatch.train("CartPole-v1", launcher="rya", **TINY)
    document = {"name": "small", "envs": "CartPole-v1", **TINY}
    for word in ({"ray_address": "auto"}, {"ray_no_auth_ok": True}):
        with pytest.raises(InputError, match="is of no use with the launcher local"):
            rlbatch.run(document, **word)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"batch_size": "64"}, "batch_size: '64' is not a whole number; give one, or a list of them"),
        ({"batch_size": 64.0}, r"batch_size: 64\.0 is not a whole number; give one, or a list"),
        ({"batch_size": ["64"]}, "batch_size: '64' is not a whole number"),
        ({"seeds": "12"}, "seeds: '12' is not a whole number; give one, or a list"),
        ({"seeds": 0}, "seeds: 0 is out of range, allowed is 1 to 10000; give how many, or a list"),
        ({"seeds": True}, "seeds: True is not a whole number"),
    ],
)
def test_a_text_is_no_list_of_numbers(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        rlbatch.train("CartPole-v1", **asked, **TINY)
    assert list(Path().iterdir()) == []


def test_whole_numbers_of_numpy_are_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def note(request: Request, *_: Any) -> None:
        asked.append(request)
        raise InputError("", "enough")

    monkeypatch.setattr(api, "task_of_request", note)
    for sizes, seeds in ((np.int64(64), np.int64(2)), (np.array([32, 64]), np.arange(2))):
        with pytest.raises(InputError, match="enough"):
            rlbatch.train("CartPole-v1", batch_size=sizes, seeds=seeds)
    assert [(one.batch_sizes, one.seeds) for one in asked] == [((64,), (0, 1)), ((32, 64), (0, 1))]
    assert all(type(value) is int for one in asked for value in (*one.batch_sizes, *one.seeds))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("jobs", 0, "jobs: 0 is not a whole number; give 1 or more"),
        ("stack_width", 2.5, "stack_width: 2.5 is not a whole number; give 1 or more"),
        ("stack_width", True, "stack_width: True is not"),
        ("env_workers", -1, "env_workers: -1 is not a whole number; give 0 or more"),
        ("checkpoint_s", 0, "checkpoint_s: 0 is not a number of seconds; give a number above 0"),
        ("checkpoint_s", float("nan"), "checkpoint_s: nan is not"),
        ("checkpoint_s", "often", "checkpoint_s: 'often' is not"),
    ],
)
def test_resources_that_the_command_line_would_refuse_are_refused(name: str, value: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        rlbatch.train("CartPole-v1", **{name: value}, **TINY)
    assert not Path("results").exists()


def test_importing_rlbatch_loads_nothing_large() -> None:
    told = "import sys, rlbatch; sys.exit(bool({'torch', 'gymnasium', 'polars', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", told], check=False, timeout=60).returncode == 0
