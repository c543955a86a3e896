"""rlbatch train from the command line to the files, with budgets of a second."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from engines import ENGINE

from rlbatch.launch import local
from rlbatch.launch.job import Resources

Call = Callable[..., Any]
Tree = Callable[[], dict[str, Any]]
Write = Callable[[str, str], Path]

EXECUTE = importlib.import_module("rlbatch.launch.execute")  # the package has a function of this name
FOLDER = "results/CartPole-v1-dqn"

COUNTING = """
import gymnasium
import numpy as np
from gymnasium import spaces

class Counting(gymnasium.Env):
    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.taken = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.taken += 1
        return np.zeros(1, np.float32), 1.0, self.taken == 7, False, {}

gymnasium.register("Counting-v0", entry_point=Counting)
"""

FRAIL = """
import pathlib
import gymnasium
from counting import Counting

class Frail(Counting):
    frail, total = False, 0

    def reset(self, *, seed=None, options=None):
        self.frail = self.frail or seed == 1  # the first reset of training gets the seed of the run
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.total += 1
        if self.frail and self.total == 150 and not pathlib.Path(__file__).with_name("repaired").exists():
            raise RuntimeError("the gripper is stuck")
        return super().step(action)

gymnasium.register("Frail-v0", entry_point=Frail)
"""


def runs() -> list[Path]:
    return sorted(path.parent for path in Path().rglob("config.json"))


def result(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text())


def test_a_run_leaves_its_folder_and_says_where(train: Call) -> None:
    code, out, err = train()
    assert code == 0
    (run,) = runs()
    names = sorted(path.name for path in run.iterdir())
    events = next(name for name in names if name.startswith("events.out.tfevents."))
    assert names == sorted(["config.json", "metrics.jsonl", "policy.safetensors", "result.json", events])
    assert run.parts[:4] == ("results", "CartPole-v1-dqn", "CartPole-v1", "dqn")
    assert run.parts[4].startswith("b00032-lr1.0e-03-")
    assert run.parts[5] == "s000"
    head, first, cost, into, ended, where, look = out.splitlines()
    assert head == f"CartPole-v1: DQN, batch 32, seed 0, 300 env steps, preset neutral, engine {ENGINE}"
    assert first.strip().startswith("batch 32: 1 update per env step, learning rate 0.001")
    memory = {"sb3": "15.6 kB", "stacked": "18.3 kB"}[ENGINE]
    assert cost.strip().startswith(f"236 updates, 7,552 samples, 6 evaluation episodes; replay memory {memory}")
    assert into.strip() == f"into {FOLDER}"
    assert ended.startswith("batch 32 seed 0: ok, return ")
    assert where.strip() == str(run)
    assert look == f"look: rlbatch tensorboard {FOLDER}"
    started, *_, finished = err.splitlines()  # between them a line every ten seconds
    assert started == "CartPole-v1 batch 32 seed 0: started"
    assert finished.startswith("CartPole-v1 batch 32 seed 0: ok, return ")


def test_the_record_of_a_run_has_its_config_rows_and_result(train: Call) -> None:
    train("--seed", "3", "--set", "gamma=0.9")
    (run,) = runs()
    record = json.loads((run / "config.json").read_text())
    assert (record["config"]["seed"], record["config"]["gamma"], record["config"]["net_arch"]) == (3, 0.9, [8])
    assert (record["origins"]["seed"], record["origins"]["gamma"]) == ("--seed", "--set")
    assert record["origins"]["total_timesteps"] == "--steps"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["timesteps"] for row in rows if row["kind"] == "train"] == [60, 120, 180, 240, 300]
    assert [row["timesteps"] for row in rows if row["kind"] == "eval"] == [0, 150, 300]
    assert all(len(row["returns"]) == 2 for row in rows if row["kind"] == "eval")
    ended = result(run)
    assert (ended["outcome"], ended["timesteps"], ended["updates"], ended["samples"]) == ("ok", 300, 236, 236 * 32)
    assert ended["run_id"] == record["run_id"]
    plan = yaml.safe_load(Path(FOLDER, "experiment.yaml").read_text())
    assert [list(p["runs"].values()) for p in plan["plans"]] == [[record["run_id"]]]


def test_the_same_command_again_trains_nothing_and_changes_no_file(
    train: Call, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train().code == 0

    def no_training(*_: Any) -> None:
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(local, "train", no_training)
    kept = {path: content for path, content in tree().items() if not path.endswith(".lock")}
    code, out, err = train()
    assert (code, err) == (0, "")
    assert "1 run already finished, not trained again" in out
    assert "batch 32 seed 0: ok, return " in out
    assert {path: content for path, content in tree().items() if not path.endswith(".lock")} == kept


def test_several_batches_and_seeds_are_all_combinations_and_more_join_later(train: Call) -> None:
    code, out, _ = train("--seeds", "2", batch="16,2^5")
    assert code == 0
    assert out.startswith("CartPole-v1: DQN, batch 16, 32, 2 seeds, 300 env steps each,")
    assert "944 updates, 22,656 samples, 24 evaluation episodes" in out
    assert [line.partition(",")[0] for line in out.splitlines() if line.startswith("batch ")] == [
        f"batch {batch} seed {seed}: ok" for batch in (16, 32) for seed in (0, 1)
    ]
    code, out, _ = train("--seeds", "1..2")
    assert code == 0
    assert "1 run already finished" in out
    assert [(run.parent.name[:6], run.name) for run in runs()] == [
        *(("b00016", seed) for seed in ("s000", "s001")),
        *(("b00032", seed) for seed in ("s000", "s001", "s002")),
    ]
    assert len(yaml.safe_load(Path(FOLDER, "experiment.yaml").read_text())["plans"]) == 2


def test_dry_run_writes_nothing_and_foretells_what_the_run_will_do(train: Call, tree: Tree) -> None:
    words = ("--seeds", "2", "--set", "train_freq=3", "--set", "gradient_steps=2")
    code, out, err = train(*words, "--dry-run", "--json")
    assert (code, err, tree()) == (0, "", {})
    told = json.loads(out)
    assert (told["schema"], told["dry_run"], told["folder"]) == ("rlbatch.train/1", True, FOLDER)
    assert [run["status"] for run in told["runs"]] == ["planned", "planned"]
    code, out, err = train(*words, "--dry-run")
    assert (code, err, tree()) == (0, "", {})
    assert f"{told['cost']['updates']:,} updates, {told['cost']['samples']:,} samples" in out
    assert train(*words).code == 0
    results = [result(run) for run in runs()]
    assert [run["run_id"] for run in told["runs"]] == [r["run_id"] for r in results]
    assert told["cost"]["updates"] == sum(r["updates"] for r in results)
    assert told["cost"]["samples"] == sum(r["samples"] for r in results)
    assert told["cost"]["env_steps"] == sum(r["timesteps"] for r in results)
    played = [json.loads(line) for run in runs() for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert told["cost"]["eval_episodes"] == sum(len(row.get("returns", ())) for row in played)
    assert json.loads(train(*words, "--dry-run", "--json").out)["runs"][0]["status"] == "ok"


def test_costs_are_measured_first_unless_the_command_says_not_to(train: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(EXECUTE, "calibrate", lambda configs, *_, **asked: calls.append((len(configs), asked)))
    assert train("--no-calibration", "--seeds", "2").code == 0
    assert calls == []
    assert train("--seeds", "3", "--dry-run").code == 0
    assert calls == []
    assert train("--seeds", "3").code == 0
    assert calls == [(3, {"device": "auto", "modules": [], "gpu": None})]
    assert len(list(Path(FOLDER).rglob("result.json"))) == 3


@pytest.mark.parametrize(
    ("words", "stacks", "line"),
    [
        ((), [[0, 1, 2, 3, 4]], "1 stack of 5 runs"),
        (("--stack-width", "3"), [[0, 1], [2, 3, 4]], "1 stack of 3 runs, 1 stack of 2 runs, one after the other"),
        (("--stack-width", "1"), [[0], [1], [2], [3], [4]], "5 stacks of 1 run, one after the other"),
        (("--engine", "sb3"), [[0], [1], [2], [3], [4]], "5 stacks of 1 run, one after the other"),
    ],
)
def test_dry_run_foretells_the_stacks(words: tuple[str, ...], stacks: list[Any], line: str, train: Call) -> None:
    words = (
        "--seeds",
        "5",
        "--dry-run",
        "--jobs",
        "1",
        *(words if "--engine" in words else (*words, "--engine", "stacked")),
    )
    told = json.loads(train(*words, "--json").out)
    assert told["stacks"] == stacks
    by_engine = {"sb3": 300 * 52, "stacked": 300 * 61 * max(map(len, stacks))}
    assert told["cost"]["replay_bytes"] == by_engine[told["runs"][0]["config"]["engine"]]
    assert line in [shown.strip() for shown in train(*words).out.splitlines()]


def test_dry_run_foretells_how_many_stacks_train_at_a_time_and_their_memory(train: Call) -> None:
    words = ("--seeds", "5", "--dry-run", "--stack-width", "2", "--engine", "stacked")
    for jobs, at_a_time, together in (
        ("1", "one after the other", 2),
        ("2", "2 at a time", 4),
        ("9", "3 at a time", 5),
    ):
        assert f"2 stacks of 2 runs, 1 stack of 1 run, {at_a_time}" in train(*words, "--jobs", jobs).out
        told = json.loads(train(*words, "--jobs", jobs, "--json").out)
        assert told["cost"]["replay_bytes"] == 300 * 61 * together


def test_dry_run_foretells_the_stacks_of_what_is_left(finished: Path, train: Call) -> None:
    words = ("--seeds", "3", "--dry-run")
    assert json.loads(train(*words, "--json").out)["stacks"] == [[2]]
    assert "  1 stack of 1 run\n" in train(*words).out
    assert json.loads(train("--seeds", "2", "--dry-run", "--json").out)["stacks"] == []
    assert " of 2 runs already finished" in (out := train("--seeds", "2", "--dry-run").out)
    assert "stack of" not in out


def test_stack_width_and_workers_reach_the_workers_and_no_id(
    train: Call, monkeypatch: pytest.MonkeyPatch, tree: Tree
) -> None:
    asked: list[Resources] = []

    def see(jobs: Any, report: Any, resources: Resources, **_: Any) -> None:
        asked.append(resources)
        raise ZeroDivisionError  # instead of training

    monkeypatch.setattr(local, "train", see)
    for words in ((), ("--stack-width", "7", "--env-workers", "3", "--device", "cpu", "--jobs", "5")):
        assert train("--seeds", "4", *words).code == 1
    found = [(r.stack_width, r.env_workers, r.device, r.jobs) for r in asked]
    assert found == [(None, 0, "auto", len(os.sched_getaffinity(0))), (7, 3, "cpu", 5)]
    assert len(yaml.safe_load(Path(FOLDER, "experiment.yaml").read_text())["plans"]) == 1


def test_an_engine_that_had_to_be_replaced_is_told_once_for_all_runs(rlbatch: Call) -> None:
    words = ("train", "--env", "Pendulum-v1", "--set", "use_sde=true", "--seeds", "3", "--batch", "32,64", "--dry-run")
    out = rlbatch(*words).out
    assert out.count("engine sb3, because gSDE cannot be stacked") == 1
    assert out.splitlines()[0].endswith("engine sb3")
    rows = {line.split()[0]: line.strip() for line in rlbatch(*words, "-v").out.splitlines() if line.strip()}
    assert rows["engine"].split(maxsplit=2)[1:] == ["sb3", "gSDE cannot be stacked"]


def test_the_replaced_engine_is_recorded_with_its_reason(in_process: None, rlbatch: Call) -> None:
    kwargs = json.dumps({"observation": "dict"})
    few = ("--batch", "16", "--steps", "120", "--set", "n_evaluations=1", "--set", "n_eval_episodes=1")
    assert rlbatch("train", "--env", "Probe/Spaced-v0", "--env-kwargs", kwargs, *few).code == 0
    record = json.loads((runs()[0] / "config.json").read_text())
    assert record["config"]["engine"] == "sb3"
    assert record["origins"]["engine"] == "Dict observations cannot be stacked"
    assert record["notes"] == [
        "engine sb3, because Dict observations cannot be stacked",
        "n_steps 1, because Stable-Baselines3 has no n-step returns for Dict observations",
    ]


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_the_memory_that_is_foretold_is_that_of_the_replay(env: str, train: Call) -> None:
    from rlbatch.config import from_dict
    from rlbatch.training.sb3 import build_model

    told = json.loads(train("--engine", "sb3", "--dry-run", "--json", env=env).out)
    replay = build_model(from_dict(told["runs"][0]["config"]), "cpu").replay_buffer
    parts = (replay.observations, replay.next_observations, replay.actions)
    assert told["cost"]["replay_bytes"] == sum(
        part.nbytes for part in (*parts, replay.rewards, replay.dones, replay.timeouts)
    )


def test_verbose_names_every_setting_and_where_it_comes_from(train: Call) -> None:
    out = train("--dry-run", "-v", "--set", "gamma=0.9", "--lr-rule", "sqrt").out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line and not line.startswith(" ")}
    assert rows["gamma"][1] == "0.9"
    assert rows["gamma"][-1] == "--set"
    assert rows["total_timesteps"][-1] == "--steps"
    assert " ".join(rows["learning_rate"]).endswith("lr_rule sqrt from 0.001 (preset neutral, dqn)")
    assert rows["adam_eps"][-1] == "default"


def test_json_is_exactly_one_object(train: Call) -> None:
    code, out, err = train("--json")
    told = json.loads(out)
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert (told["schema"], told["dry_run"], told["folder"]) == ("rlbatch.train/1", False, FOLDER)
    (run,) = told["runs"]
    assert run["new"]
    assert run["result"] == result(Path(run["folder"]))
    assert not json.loads(train("--json").out)["runs"][0]["new"]


def test_quiet_prints_the_run_folders_only(train: Call) -> None:
    code, out, err = train("-q", "--seeds", "2")
    assert (code, err) == (0, "")
    assert [Path(line) for line in out.splitlines()] == runs()
    assert train("-q", "--dry-run") == (0, "", "")


def test_out_and_name_say_where_the_runs_go(train: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def into(*words: str) -> str:
        return json.loads(train("--dry-run", "--json", *words).out)["folder"]

    assert into() == "results/CartPole-v1-dqn"
    assert into("--out", "there", "--name", "mine") == "there/mine"
    monkeypatch.setenv("RLBATCH_OUT", "elsewhere")
    assert into("--name", "mine") == "elsewhere/mine"
    assert into("--out", "there") == "there/CartPole-v1-dqn"
    monkeypatch.setenv("RLBATCH_OUT", "")
    assert into() == "results/CartPole-v1-dqn"


def test_the_runs_lie_below_out_and_name(train: Call, monkeypatch: pytest.MonkeyPatch, tree: Tree) -> None:
    monkeypatch.setenv("RLBATCH_OUT", "elsewhere")
    assert train("--name", "mine", env="Probe/Probe-v0").code == 0
    (run,) = runs()
    assert run.parts[:3] == ("elsewhere", "mine", "Probe+Probe-v0")
    assert {path.partition("/")[0] for path in tree()} == {"elsewhere"}


def test_pendulum_is_trained_by_sac(train: Call) -> None:
    code, out, _ = train(env="Pendulum-v1")
    assert code == 0
    assert out.startswith("Pendulum-v1: SAC, batch 32, seed 0, 300 env steps")
    (run,) = runs()
    assert run.parts[1:4] == ("Pendulum-v1-sac", "Pendulum-v1", "sac")
    assert result(run)["updates"] == 236
    assert -2000 < result(run)["final"]["return_mean"] < 0


def test_an_environment_of_the_users_own_module_is_trained(train: Call, module: Write) -> None:
    module("counting", COUNTING)
    code, out, _ = train(env="counting:Counting-v0")
    assert code == 0
    (run,) = runs()
    assert run.parts[1:3] == ("counting++Counting-v0-dqn", "counting++Counting-v0")
    assert result(run)["final"]["return_mean"] == 7
    assert "return 7, auc 7, best 7" in out


def test_an_imported_module_registers_an_environment(train: Call, module: Write) -> None:
    module("counting", COUNTING)
    assert train(env="Counting-v0").code == 2
    assert train("--import", "counting", env="Counting-v0").code == 0
    assert result(runs()[0])["final"]["best"] == 7


def test_a_failing_environment_ends_its_run_alone_and_is_retried_on_request(
    train: Call, module: Write, tmp_path: Path
) -> None:
    module("counting", COUNTING)
    module("frail", FRAIL)
    words = ("--engine", "sb3", "--seeds", "3")  # Frail knows its run by the seed that sb3 gives it first
    code, out, _ = train(*words, env="frail:Frail-v0")
    assert code == 3
    failed = runs()[1]
    assert [result(run)["outcome"] for run in runs()] == ["ok", "env_error", "ok"]
    assert "the gripper is stuck" in (failed / "error.txt").read_text()
    assert f"1 run failed: {failed / 'error.txt'} tells why; --retry-failed trains again" in out
    assert "batch 32 seed 1: env_error, " in out
    assert "the gripper is stuck" in out

    before = (failed / "result.json").read_bytes()
    code, out, _ = train(*words, env="frail:Frail-v0")
    assert code == 3
    assert "3 runs already finished, not trained again" in out
    assert (failed / "result.json").read_bytes() == before

    (tmp_path / "repaired").touch()
    code, out, _ = train(*words, "--retry-failed", env="frail:Frail-v0")
    assert code == 0
    assert "2 runs already finished" in out
    assert [(result(run)["outcome"], result(run)["attempts"]) for run in runs()] == [("ok", 1), ("ok", 2), ("ok", 1)]
    assert not (failed / "error.txt").exists()


def test_a_diverged_run_is_a_result_and_never_retried(train: Call) -> None:
    code, out, _ = train("--set", "learning_rate=1e30", "--json")
    assert code == 0
    (run,) = runs()
    ended = result(run)
    assert ended["outcome"] == "diverged"
    assert ended["first_nonfinite"]["timesteps"] <= ended["timesteps"] <= 300
    code, out, _ = train("--set", "learning_rate=1e30", "--retry-failed")
    assert code == 0
    assert "1 run already finished" in out
    assert "batch 32 seed 0: diverged, " in out
    assert result(run) == ended


def test_a_plan_of_a_newer_version_is_refused(train: Call, tree: Tree) -> None:
    Path(FOLDER).mkdir(parents=True)
    Path(FOLDER, "experiment.yaml").write_text("schema: 2\n")
    before = tree()
    code, out, err = train()
    assert (code, out) == (5, "")
    assert "schema" in err
    assert tree() == before


def test_a_tampered_run_folder_is_refused(train: Call, tree: Tree) -> None:
    train()
    (run,) = runs()
    record = json.loads((run / "config.json").read_text())
    record["config"]["gamma"] = 0.5
    (run / "config.json").write_text(json.dumps(record))
    before = tree()
    code, out, err = train()
    assert (code, out) == (5, "")
    assert "config.json: was changed by hand" in err
    assert tree() == before


def test_a_module_that_changed_since_a_run_is_told(in_process: None, rlbatch: Call, module: object) -> None:
    text = "import gymnasium, probes\ngymnasium.register('Changing-v0', entry_point=probes.Probe)\n"
    Path("changing_env.py").write_text(text)
    words = (
        "train",
        "--env",
        "changing_env:Changing-v0",
        "--batch",
        "16",
        "--steps",
        "200",
        "--set",
        "n_evaluations=1",
        "--engine",
        ENGINE,
    )
    assert rlbatch(*words).code == 0
    assert "has changed" not in rlbatch(*words).out
    Path("changing_env.py").write_text(f"{text}# another line\n")
    told = rlbatch(*words)
    assert (told.code, told.out.count("changing_env has changed")) == (0, 1)
    assert ": 1 of 1 run already finished" in told.out
