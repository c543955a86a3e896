"""rlbatch run and show FILE from the file to the folders, with budgets of a second."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlbatch.cli import experiments
from rlbatch.launch import Interrupted, job, local, worker
from rlbatch.results import write_json

Call = Callable[..., Any]
Tree = Callable[[], dict[str, Any]]

SMALL = """# Does it work?
name: small
envs: [CartPole-v1, Pendulum-v1]
batch_size: [16, 32]
seeds: 2
total_timesteps: 200
learning_starts: 64
net_arch: [8]
n_evaluations: 1
n_eval_episodes: 1
log_points: 2
overrides: {Pendulum-v1: {batch_size: 32}}
analysis: {metric: auc, reference: {batch_size: 32}}
"""
FOLDER = Path("results/small")


@pytest.fixture
def run(rlbatch: Call, in_process: None) -> Call:
    """Runs small.yaml, six runs in three arms, after writing it with the given lines changed."""

    def call(*words: str, name: str = "small.yaml", **changed: str) -> Any:
        lines = [
            f"{line.split(':')[0]}: {changed.get(line.split(':')[0], line.partition(': ')[2])}"
            for line in SMALL.splitlines()[1:]
        ]
        Path("small.yaml").write_text("\n".join(["# Does it work?", *lines]) + "\n")
        return rlbatch("run", name, *words)

    return call


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training is an accident."""

    def train(*_: Any, **__: Any) -> None:
        raise AssertionError("was trained")

    monkeypatch.setattr(local, "train", train)


def told(run: Call, *words: str, **changed: str) -> dict[str, Any]:
    code, out, err = run("--json", *words, **changed)
    assert (code, err) == (0, "")
    return json.loads(out)


def plans() -> list[dict[str, Any]]:
    return yaml.safe_load((FOLDER / "experiment.yaml").read_text())["plans"]


def test_a_file_is_trained_once_and_its_folder_keeps_it(run: Call) -> None:
    code, out, err = run()
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("CartPole-v1: DQN, batch 16, 32, 2 seeds, 200 env steps each")
    assert next(line for line in lines if line.startswith("Pendulum")).startswith("Pendulum-v1: SAC, batch 32, 2 seeds")
    ended = [line.partition(",")[0] for line in lines if ": ok" in line]
    arms = ("CartPole-v1 batch 16", "CartPole-v1 batch 32", "Pendulum-v1 batch 32")
    assert ended == [f"{arm} seed {seed}: ok" for arm in arms for seed in (0, 1)]
    (plan,) = plans()
    assert plan["file"] == Path("small.yaml").read_text()
    assert plan["analysis"] == {"metric": "auc", "reference": {"batch_size": 32}}
    assert plan["command"] == ["rlbatch", "run", "small.yaml"]
    again = told(run)
    assert [r["new"] for r in again["runs"]] == [False] * 6
    assert (again["schema"], len(plans())) == ("rlbatch.run/1", 1)
    assert "expected time" not in run("--dry-run").out  # nothing is left to do


def test_a_file_that_grew_keeps_its_runs_and_what_it_lost_is_outside_the_plan(run: Call, rlbatch: Call) -> None:
    assert run(batch_size="[16]", envs="[CartPole-v1]", overrides="{}", analysis="{}").code == 0
    assert run(batch_size="[32]", envs="[CartPole-v1]", overrides="{}", seeds="3", analysis="{}").code == 0
    out = rlbatch("status").out
    assert "results/small: 3 runs, 3 ok" in out
    assert "outside the plan: 2 runs" in out
    status = json.loads(rlbatch("status", "--json").out)["experiments"][0]
    assert len(status["runs"]) == 5
    assert [Path(path).parent.name[:6] for path in status["outside"]] == ["b00016", "b00016"]
    grown = told(run, batch_size="[16, 32]", envs="[CartPole-v1]", overrides="{}", seeds="3")
    assert sum(r["new"] for r in grown["runs"]) == 1


def test_dry_run_and_show_tell_the_same_write_nothing_and_need_no_torch(
    run: Call, rlbatch: Call, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlbatch.launch.machine.default_jobs", lambda device: 1)
    foretold = told(run, "--dry-run")
    before = tree()
    assert list(before) == ["small.yaml"]
    shown = json.loads(rlbatch("show", "small.yaml", "--json").out)
    assert (shown.pop("schema"), foretold.pop("schema")) == ("rlbatch.show/1", "rlbatch.run/1")
    assert shown == foretold
    out = rlbatch("show", "small.yaml").out
    assert out == run("--dry-run").out
    for line in (
        "  6 runs in 3 arms: 6 to do; 1,200 env steps",
        "  3 stacks of 2 runs, one after the other",
        "  expected time unknown: no finished run here has this environment, batch size and network",
        "  into results/small",
    ):
        assert line in out.splitlines()
    assert tree() == before
    script = "import sys; from rlbatch.cli.main import run; run(['show', 'small.yaml']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_what_the_seeds_can_tell_is_said_of_each_environment_with_several_arms(run: Call) -> None:
    power = told(run, "--dry-run", seeds="10")["power"]
    assert list(power) == ["CartPole-v1"]
    assert power["CartPole-v1"]["difference"] == pytest.approx(0.169, abs=0.001)
    assert (
        "two arms of 10 seeds at one learning rate show a difference of 16.9% of the reference range"
        in run("--dry-run", seeds="10").out
    )
    assert "one seed per arm can tell nothing" in run("--dry-run", seeds="1").out
    unknown = run("--dry-run", envs="[Swimmer-v5]", overrides="{}")
    assert "Swimmer-v5: what 2 seeds per arm can tell is unknown" in unknown.out


def test_the_expected_time_follows_from_finished_runs(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlbatch.launch.machine.default_jobs", lambda device: 1)
    run("--only", "env_id=CartPole-v1", "--only", "seed=0")
    for result in FOLDER.rglob("result.json"):
        write_json(result, json.loads(result.read_text()) | {"seconds": 50.0})  # 4 env steps per second
    foretold = told(run, "--dry-run")
    assert (foretold["expected_seconds"], foretold["runs_of_unknown_speed"]) == (100.0, 2)
    out = run("--dry-run").out
    assert "  6 runs in 3 arms: 2 done, 4 to do; 1,200 env steps" in out
    assert "  expected time 1 min 40 s, and 2 runs of unknown speed, from the speed of finished runs" in out


def test_the_plan_says_which_stacks_go_on_and_from_where(
    run: Call, rlbatch: Call, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(jobs: Any, report: Any, resources: Any, **_: Any) -> None:
        reached = 0

        def send(message: dict[str, Any]) -> None:
            nonlocal reached
            reached = message.get("timesteps", 0)

        worker.work(job.worker_job(jobs, [len(jobs)], 0, resources), send, lambda: reached >= 100)
        raise Interrupted(signal.SIGINT)

    few = {"envs": "[CartPole-v1]", "overrides": "{}", "batch_size": "[16, 32]", "seeds": "3"}
    with monkeypatch.context() as patch:
        patch.setattr(local, "train", stopped)
        assert run("--only", "batch_size=16", "--only", "seed=[0,2]", **few).code == 130
    before = tree()
    foretold = told(run, "--dry-run", **few)
    going = dict(zip(map(tuple, foretold["stacks"]), foretold["starts"], strict=True))
    assert going.pop((0, 2)) == 100
    assert set(going.values()) == {0}
    line = "  goes on from checkpoints: 2 runs from env step 100; 4 runs from zero"
    out = run("--dry-run", **few).out.splitlines()
    assert line in out
    assert any(one.endswith(": 2 runs half done") for one in out)
    assert line in rlbatch("show", "small.yaml").out.splitlines()
    assert tree() == before


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("--only", "batch_size=16"), ["16/0", "16/1"]),
        (("--only", "batch_size=[16,32]", "--only", "seed=1"), ["16/1", "32/1", "32/1"]),
        (("--only", "env_id=Pendulum-v1", "--only", "seed=0..1"), ["32/0", "32/1"]),
        (("--only", "algo=sac", "--limit", "1"), ["32/0"]),
        (("--limit", "3"), ["16/0", "16/1", "32/0"]),
        (("--only", "net_arch=[8]", "--limit", "99"), ["16/0", "16/1", "32/0", "32/1", "32/0", "32/1"]),
    ],
)
def test_only_and_limit_take_some_of_the_runs(words: tuple[str, ...], kept: list[str], run: Call) -> None:
    configs = [r["config"] for r in told(run, "--dry-run", *words)["runs"]]
    assert [f"{config['batch_size']}/{config['seed']}" for config in configs] == kept


def test_a_part_of_the_runs_leaves_the_whole_plan(run: Call, rlbatch: Call) -> None:
    assert len(told(run, "--limit", "1")["runs"]) == 1
    assert len(told(run, "--limit", "1")["runs"]) == 2  # the finished one, and one more
    assert rlbatch("status").out.startswith("results/small: 6 runs, 2 ok, 4 planned")


def test_a_name_is_looked_up_here_and_then_among_what_was_installed(
    run: Call, rlbatch: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments.sysconfig, "get_path", lambda _: str(tmp_path / "prefix"))
    monkeypatch.setattr(experiments.rlbatch, "__file__", str(tmp_path / "prefix" / "rlbatch" / "__init__.py"))
    for folder, question in (("experiments", "Here?"), ("prefix/share/rlbatch/experiments", "There?")):
        Path(folder).mkdir(parents=True)
        for name in ("both", *(("there",) if question == "There?" else ())):
            text = SMALL.replace("Does it work?", question).replace("name: small", f"name: {name}")
            Path(folder, f"{name}.yaml").write_text(text)
    rows = {row["experiment"]: row for row in json.loads(rlbatch("list", "experiments", "--json").out)["experiments"]}
    assert {name: row["question"] for name, row in rows.items()} == {"both": "Here?", "there": "There?"}
    assert rows["both"]["envs"] == "CartPole-v1, Pendulum-v1"
    assert told(rlbatch_run(rlbatch), "there", "--dry-run")["folder"] == "results/there"
    assert json.loads(rlbatch("show", "both", "--json").out)["folder"] == "results/both"
    assert told(rlbatch_run(rlbatch), "both", "--dry-run", "--name", "other")["folder"] == "results/other"


def rlbatch_run(rlbatch: Call) -> Call:
    return lambda *words: rlbatch("run", *words)


def test_an_unreadable_file_is_listed_as_such(rlbatch: Call) -> None:
    Path("experiments").mkdir()
    Path("experiments/torn.yaml").write_text("a: [")
    assert "unreadable: experiments/torn.yaml:" in rlbatch("list", "experiments").out


def test_an_environment_of_the_users_own_needs_its_import_on_the_command_line(
    run: Call, module: Callable[[str, str], Path]
) -> None:
    module("own_env", "import gymnasium, probes\ngymnasium.register('Own-v0', entry_point=probes.Probe)\n")
    own = {"envs": "['own_env:Own-v0']", "overrides": "{}", "seeds": "1", "analysis": "{}"}
    code, _, err = run("--dry-run", **own)
    assert code == 5
    assert "small.yaml:3:8: 'own_env:Own-v0' needs the module 'own_env'; name it: --import own_env" in err
    assert run("--import", "own_env", **own).code == 0
    assert (FOLDER / "own_env++Own-v0").is_dir()


def test_many_runs_end_in_a_table_of_arms(run: Call) -> None:
    code, out, _ = run(seeds="21", envs="[CartPole-v1]", overrides="{}", batch_size="32", total_timesteps="80")
    assert code == 0
    headings, row, _ = out.splitlines()[-3:]
    assert headings.split() == ["batch", "runs", "ended", "return", "auc"]
    assert row.split()[:4] == ["32", "21", "21", "ok"]


def test_a_stack_width_is_of_use_as_soon_as_one_run_is_stacked(run: Call) -> None:
    mixed = {"envs": "[CartPole-v1]", "overrides": "{}", "batch_size": "32", "seeds": "4\nengine: [sb3, stacked]"}
    assert told(run, "--dry-run", "--stack-width", "2", **mixed)["stacks"] == [[0], [1], [2], [3], [4, 5], [6, 7]]
