"""The commands that read what was trained: status, show, list, evaluate, export, completion, doctor, tensorboard."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import safetensors.numpy

from rlbatch import __version__, presets
from rlbatch.analysis.board import Board
from rlbatch.analysis.looks import looks_at
from rlbatch.cli import tensorboard
from rlbatch.config import RunConfig
from rlbatch.environments import listed
from rlbatch.launch import machine
from rlbatch.results import RunFolder, run_record, write_json

Call = Callable[..., Any]
Tree = Callable[[], dict[str, Any]]
Write = Callable[[str, str], Path]

FOLDER = Path("results/CartPole-v1-dqn")

OWN = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
gymnasium.register("Own-v0", entry_point=CartPoleEnv, max_episode_steps=50)
"""


def result(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text())


def change(path: Path, **values: Any) -> None:
    """Edits a JSON file by hand, as a curious user would."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_config(run: Path, **values: Any) -> None:
    config = json.loads((run / "config.json").read_text())["config"]
    change(run / "config.json", config=config | values)


# status


def test_status_counts_each_arm_by_state(finished: Path, rlbatch: Call, train: Call) -> None:
    train("--set", "learning_rate=1e30")  # diverges
    (finished / "result.json").unlink()
    code, out, err = rlbatch("status", str(FOLDER))
    assert (code, err) == (0, "")
    head, headings, *arms = out.splitlines()
    assert head.startswith(f"{FOLDER}: 3 runs, ")
    # its last row is there, though its result is not
    assert sorted(head.split(", ")[1:]) == ["1 diverged", "1 ok", "1 partial (100% of their env steps)"]
    assert headings.split() == ["arm", "runs", "ok", "diverged", "failed", "partial", "running", "planned"]
    assert sorted(arm.split()[1:] for arm in arms) == [
        ["1", "-", "1", "-", "-", "-", "-"],
        ["2", "1", "-", "-", "1", "-", "-"],
    ]


def test_status_names_planned_and_failed_runs_in_json(finished: Path, rlbatch: Call) -> None:
    change(finished / "result.json", outcome="crashed", reason="killed")
    other = finished.with_name("s001")
    other.rename("elsewhere")
    code, out, _ = rlbatch("status", "--json")
    told = json.loads(out)
    assert (code, told["schema"]) == (0, "rlbatch.status/1")
    paths = [str(run.relative_to(FOLDER)) for run in (finished, other)]
    runs = {paths[0]: "crashed", paths[1]: "planned"}
    assert told["experiments"] == [{"folder": str(FOLDER), "runs": runs, "outside": [], "progress": {}}]


def test_status_of_the_results_folder_shows_every_experiment(
    finished: Path, rlbatch: Call, train: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("results").rename("kept")
    monkeypatch.setenv("RLBATCH_OUT", "kept")
    train("--name", "second", env="Probe/Probe-v0")
    out = rlbatch("status").out
    assert "kept/CartPole-v1-dqn: 2 runs, 2 ok" in out
    assert "kept/second: 1 run, 1 ok" in out
    assert "Probe+Probe-v0/dqn/b00032-" in out


# show


def test_show_tells_result_curve_and_origins(finished: Path, rlbatch: Call) -> None:
    code, out, err = rlbatch("show", str(finished))
    assert (code, err) == (0, "")
    record = json.loads((finished / "config.json").read_text())
    assert out.startswith(f"{finished}\nrun {record['run_id']}, arm {record['arm_id']}, ok\n")
    assert "outcome ok; 300 env steps, 236 updates, 7,552 samples" in out
    assert "evaluations (env steps: return): 0: " in out
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert lines["learning_starts"][1:] == ["64", "env", "steps", "--set"]
    assert lines["batch_size"][-1] == "--batch"
    assert lines["gamma"][-3:] == ["preset", "neutral,", "dqn"]


def test_show_in_json_is_the_record(finished: Path, rlbatch: Call) -> None:
    told = json.loads(rlbatch("show", str(finished), "--json").out)
    assert told["schema"] == "rlbatch.show/1"
    assert told["record"] == json.loads((finished / "config.json").read_text())
    assert told["result"] == result(finished)
    assert [row["timesteps"] for row in told["evaluations"]] == [0, 150, 300]


def test_show_takes_a_folder_with_one_run_and_asks_about_two(finished: Path, rlbatch: Call) -> None:
    code, out, err = rlbatch("show", str(FOLDER))
    assert (code, out) == (2, "")
    assert f"{FOLDER}: holds 2 runs, name one; for example {finished}" in err
    finished.with_name("s001").rename("elsewhere")
    assert rlbatch("show", str(FOLDER)).out.startswith(f"{finished}\n")


def test_show_tells_a_run_that_is_not_finished(finished: Path, rlbatch: Call) -> None:
    (finished / "result.json").unlink()
    (finished / "metrics.jsonl").unlink()
    code, out, _ = rlbatch("show", str(finished))
    assert code == 0
    assert "not finished" in out
    assert "none yet" in out


@pytest.mark.parametrize("command", [("show",), ("evaluate",), ("export", "--to", "model.zip")])
@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda run: change_config(run, gamma=0.5), "was changed by hand"),
        (lambda run: change_config(run, seed="1"), "is not a run's config"),
        (lambda run: change_config(run, gravity=1), "is not a run's config"),
        (lambda run: change(run / "config.json", config=[]), "is not a run's config"),
        (lambda run: change(run / "config.json", run_id="0" * 16), "was changed by hand"),
        (lambda run: change(run / "config.json", schema=2), "has schema 2"),
    ],
)
def test_a_config_edited_by_hand_is_refused(
    command: tuple[str, ...], tamper: Callable[[Path], None], said: str, finished: Path, rlbatch: Call, tree: Tree
) -> None:
    tamper(finished)
    before = tree()
    code, out, err = rlbatch(command[0], str(finished), *command[1:])
    assert (code, out) == (5, "")
    assert err.startswith(f"rlbatch: error: {finished}/config.json: ")
    assert said in err
    assert err.count("\n") == 1
    assert tree() == before


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_config_that_is_no_object_is_bad_input(content: str, finished: Path, rlbatch: Call) -> None:
    (finished / "config.json").write_text(content)
    code, out, err = rlbatch("show", str(finished))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "config.json: " in err


def test_what_a_folder_says_cannot_paint_the_terminal(finished: Path, rlbatch: Call) -> None:
    change(finished / "result.json", outcome="env_error", reason="\x1b]0;owned\x07\u202e")
    change(finished / "config.json", notes=["\x1b[31mred"], preset_source="\x1b[31mred")
    for command in (("show", str(finished)), ("status", str(FOLDER)), ("list", "runs")):
        code, out, _ = rlbatch(*command)
        assert code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(out)


# list


def test_list_envs_tells_the_listed_ones_and_what_to_install(rlbatch: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlbatch.environments.installed", lambda family: family != "mujoco")
    told = json.loads(rlbatch("list", "envs", "--json").out)
    assert told["schema"] == "rlbatch.list/1"
    rows = {row["env"]: row for row in told["envs"]}
    assert list(rows) == list(listed())
    assert rows["CartPole-v1"]["threshold"] == 475
    assert rows["CartPole-v1"]["install"] == ""
    assert rows["Hopper-v5"]["install"] == 'pip install "rlbatch[mujoco]"'
    lines = rlbatch("list", "envs").out.splitlines()
    assert [line.split()[0] for line in lines] == ["env", *listed()]
    assert lines[1].split()[:4] == ["CartPole-v1", "dqn", "500", "475"]


def test_list_presets_tells_the_values_per_environment(rlbatch: Call) -> None:
    rows = json.loads(rlbatch("list", "presets", "--json").out)["presets"]
    assert {row["preset"] for row in rows} == set(presets.NAMES)
    neutral = next(row for row in rows if (row["preset"], row["env"]) == ("neutral", "CartPole-v1"))
    assert (neutral["algo"], neutral["batch_size"], neutral["total_timesteps"]) == ("dqn", 64, 50_000)
    out = rlbatch("list", "presets").out
    assert len(out.splitlines()) == len(rows) + 1
    assert "any other" in out


def test_list_runs_tells_scores_and_folders(finished: Path, rlbatch: Call) -> None:
    rows = json.loads(rlbatch("list", "runs", "results", "--json").out)["runs"]
    assert [row["folder"] for row in rows] == [str(finished), str(finished.with_name("s001"))]
    ended = result(finished)["final"]
    assert rows[0] == {
        **{"env": "CartPole-v1", "algo": "dqn", "batch_size": 32, "seed": 0, "status": "ok"},
        **{"learning_rate": 0.001, "arm": finished.parent.name[-8:]},
        **{"return_mean": ended["return_mean"], "auc": ended["auc"], "folder": str(finished)},
    }
    assert rlbatch("list", "runs").out.splitlines()[1].split()[-1] == str(finished)
    (finished / "result.json").unlink()
    assert rlbatch("list", "runs").out.splitlines()[1].split()[6:9] == ["partial", "-", "-"]


# evaluate


def test_evaluate_gives_the_recorded_number_again(finished: Path, rlbatch: Call, tree: Tree) -> None:
    before = tree()
    code, out, err = rlbatch("evaluate", str(finished))
    recorded = result(finished)["final"]["return_mean"]
    assert (code, err) == (0, "")
    assert out.startswith(f"return {recorded!r} (min ")
    assert f"recorded {recorded!r}: the same in every episode" in out
    told = json.loads(rlbatch("evaluate", str(finished), "--json").out)
    assert (told["schema"], told["same"]) == ("rlbatch.evaluate/1", True)
    assert told["recorded"] == told["eval/return_mean"] == recorded
    assert tree() == before


def test_evaluate_plays_new_episodes_on_request(finished: Path, rlbatch: Call) -> None:
    told = [json.loads(rlbatch("evaluate", str(finished), "--episodes", n, "--json").out) for n in ("7", "7", "1")]
    assert [one["episodes"] for one in told] == [7, 7, 1]
    assert told[0] == told[1]
    assert "recorded" not in told[0]
    assert told[0]["eval/return_min"] <= told[0]["eval/return_mean"] <= told[0]["eval/return_max"]
    assert told[2]["eval/return_std"] is None


def test_new_episodes_are_none_of_those_that_were_recorded(train: Call, rlbatch: Call) -> None:
    assert train(env="Probe/Noisy-v0").code == 0  # its returns are drawn, so no two are equal
    (metrics,) = Path("results").rglob("metrics.jsonl")
    told = json.loads(rlbatch("evaluate", str(metrics.parent), "--episodes", "2", "--json").out)
    seen = {value for row in RunFolder(metrics.parent).rows("eval") for value in row["returns"]}
    assert len(seen) == 3 * 2
    assert not {told["eval/return_min"], told["eval/return_max"]} & seen


def test_other_weights_give_another_number_and_exit_3(finished: Path, rlbatch: Call) -> None:
    weights_file = finished / "policy.safetensors"
    weights = safetensors.numpy.load_file(weights_file)
    told = []
    for action in (0, 1):  # always the same action: at most one of the two is what the run had learnt
        weights["q_net.q_net.2.bias"] = np.full(2, -1e6, np.float32)
        weights["q_net.q_net.2.bias"][action] = 1e6
        safetensors.numpy.save_file(weights, weights_file)
        told.append((rlbatch("evaluate", str(finished)), rlbatch("evaluate", str(finished), "--json")))
    text, as_json = max(told, key=lambda both: both[0].code)
    assert text.code == as_json.code == 3
    assert "DIFFERENT: has the environment or a version changed?" in text.out
    assert json.loads(as_json.out)["same"] is False


def cut(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-4])


def drop(weights: Path) -> None:
    kept = safetensors.numpy.load_file(weights)
    kept.popitem()
    safetensors.numpy.save_file(kept, weights)


def widen(weights: Path) -> None:
    wide = {
        name: np.zeros((*array.shape, 2), np.float32) for name, array in safetensors.numpy.load_file(weights).items()
    }
    safetensors.numpy.save_file(wide, weights)


@pytest.mark.parametrize("command", [("evaluate",), ("evaluate", "--episodes", "1"), ("export", "--to", "model.zip")])
@pytest.mark.parametrize("damage", [cut, drop, widen, lambda weights: weights.write_bytes(b"\x80\x04pickle")])
def test_damaged_or_foreign_weights_are_refused(
    command: tuple[str, ...], damage: Callable[[Path], None], finished: Path, rlbatch: Call
) -> None:
    damage(finished / "policy.safetensors")
    code, out, err = rlbatch(command[0], str(finished), *command[1:])
    assert (code, out, err.count("\n")) == (5, "", 1)
    assert "policy.safetensors: " in err
    assert not Path("model.zip").exists()


@pytest.mark.parametrize("command", [("evaluate",), ("export", "--to", "model.zip")])
def test_a_run_without_weights_is_bad_input(command: tuple[str, ...], finished: Path, rlbatch: Call) -> None:
    (finished / "policy.safetensors").unlink()
    code, out, err = rlbatch(command[0], str(finished), *command[1:])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "there are no saved weights" in err


def test_a_record_that_was_cut_is_told_and_not_taken_for_another_environment(finished: Path, rlbatch: Call) -> None:
    metrics = finished / "metrics.jsonl"
    rows = metrics.read_bytes()
    metrics.write_bytes(rows[: rows.rindex(b'{"kind": "eval"') + 40])
    code, out, err = rlbatch("evaluate", str(finished))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "metrics.jsonl: holds 2 of the 3 evaluations of this finished run; move the run's folder away" in err
    told = rlbatch("status").out.splitlines()[0]
    assert "2 runs, 1 unreadable, 1 ok" in told
    assert rlbatch("evaluate", str(finished), "--episodes", "1").code == 0  # which asks the record for nothing


def test_a_run_that_is_not_finished_cannot_be_evaluated(finished: Path, rlbatch: Call) -> None:
    (finished / "result.json").unlink()
    code, out, err = rlbatch("evaluate", str(finished))
    assert (code, out) == (2, "")
    assert "is not finished; run the same train command again" in err


@pytest.mark.parametrize("command", [("evaluate",), ("evaluate", "--episodes", "1"), ("export", "--to", "model.zip")])
def test_a_run_folder_never_causes_an_import(
    command: tuple[str, ...], train: Call, rlbatch: Call, module: Write, tmp_path: Path, tree: Tree
) -> None:
    from rlbatch import env_ids, environments

    module("own_env", OWN)
    assert train(env="own_env:Own-v0").code == 0
    run = next(Path("results").rglob("config.json")).parent
    del sys.modules["own_env"], gymnasium.registry["Own-v0"]
    env_ids._imported.discard("own_env")
    environments._describe.cache_clear()
    module("own_env", f"{OWN}\nimport pathlib; pathlib.Path({str(tmp_path / 'canary')!r}).touch()")
    code, out, err = rlbatch(command[0], str(run), *command[1:])
    assert (code, out) == (5, "")
    assert "--import own_env" in err
    assert "own_env" not in sys.modules
    assert "canary" not in tree()
    assert rlbatch(command[0], str(run), *command[1:], "--import", "own_env").code == 0


# export


@pytest.mark.parametrize(("env", "name"), [("CartPole-v1", "DQN"), ("Pendulum-v1", "SAC")])
def test_an_exported_policy_acts_identically(env: str, name: str, train: Call, rlbatch: Call) -> None:
    import stable_baselines3

    from rlbatch.results import RunFolder
    from rlbatch.training.policies import load_model

    assert train(env=env).code == 0
    run = RunFolder(next(Path("results").rglob("config.json")).parent)
    code, out, err = rlbatch("export", str(run.path), "--to", "model.zip")
    assert (code, err) == (0, "")
    assert out == f"wrote model.zip; read it with stable_baselines3.{name}.load('model.zip')\n"
    model = getattr(stable_baselines3, name).load("model.zip", device="cpu")
    own = load_model(run.config(), run.policy_path)
    observations = np.random.default_rng(0).normal(size=(500, *own.observation_space.shape)).astype(np.float32)
    actions, _ = own.predict(observations, deterministic=True)
    np.testing.assert_array_equal(model.predict(observations, deterministic=True)[0], actions)
    assert len(np.unique(actions)) > 1
    assert model.batch_size == 32
    assert (model.n_steps, getattr(model.replay_buffer, "n_steps", 1)) == (own.n_steps, own.n_steps)


@pytest.mark.parametrize("target", ["model.zip", "nowhere/model.zip"])
def test_networks_that_stable_baselines3_does_not_have_are_not_exported(
    target: str, rlbatch: Call, tree: Tree, tmp_path: Path
) -> None:
    config = RunConfig.build(env_id="CartPole-v1", algo="dqn", layer_norm=True)
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run" / "config.json", run_record(config))
    before = tree()
    code, out, err = rlbatch("export", "run", "--to", target)
    assert (code, out) == (2, "")
    assert err == (
        "rlbatch: error: run: Stable-Baselines3's networks have no layer normalisation; "
        "its weights are in run/policy.safetensors\n"
    )
    assert tree() == before


def test_export_adds_the_ending_and_overwrites_nothing(finished: Path, rlbatch: Call, tree: Tree) -> None:
    assert rlbatch("export", str(finished), "--to", "model").code == 0
    before = tree()
    assert "model.zip" in before
    for target, said in (
        ("model", "'model.zip' exists; choose another file"),
        ("model.zip", "exists"),
        ("nowhere/model.zip", "'nowhere' is not a folder that can be written to"),
        ("model.zip/model.zip", "is not a folder that can be written to"),
    ):
        code, out, err = rlbatch("export", str(finished), "--to", target)
        assert (code, out) == (2, "")
        assert err.startswith("rlbatch: error: --to: ")
        assert said in err
    assert tree() == before


# completion, doctor


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_of_that_shell(shell: str, rlbatch: Call) -> None:
    code, out, err = rlbatch("completion", shell)
    assert (code, err) == (0, "")
    assert f"_RLBATCH_COMPLETE={shell}_complete" in out


def test_doctor_tells_versions_devices_and_what_to_install(rlbatch: Call) -> None:
    """One worker that loads torch, as in use: the driver itself must not."""
    code, out, err = rlbatch("doctor", "--json")
    told = json.loads(out)
    assert (code, err, told["schema"]) == (0, "", "rlbatch.doctor/1")
    assert told["versions"]["rlbatch"] == __version__
    assert told["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["devices"][0]["device"] == "cpu"
    assert set(told["install"]) == {"plots", "ray", *(facts.family for facts in listed().values())}
    assert told["install"]["classic_control"] is None


def test_doctor_says_which_extras_are_missing(rlbatch: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "plots: ready (rlbatch report)" in rlbatch("doctor").out
    monkeypatch.setattr("rlbatch.cli.doctor.find_spec", lambda name: None if name == "ray" else True)
    assert 'ray: missing, pip install "rlbatch[ray]" (--launcher ray)' in rlbatch("doctor").out
    install = json.loads(rlbatch("doctor", "--json").out)["install"]
    assert (install["plots"], install["ray"]) == (None, 'pip install "rlbatch[ray]"')


def test_doctor_says_why_there_is_no_gpu(rlbatch: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = {"device": "cpu", "name": "a processor", "memory_mb": None}
    gpu = {"device": "cuda:0", "name": "a card", "memory_mb": 16_000}
    found = {"torch": "2", "cuda": None, "devices": [cpu]}
    monkeypatch.setattr(machine, "probe_devices", lambda: found)
    monkeypatch.setattr("rlbatch.environments.installed", lambda family: family != "box2d")
    out = rlbatch("doctor").out
    assert "no GPU: torch is a CPU build" in out
    assert 'box2d: missing, pip install "rlbatch[box2d]" (LunarLander-v3' in out
    assert "classic_control: ready (CartPole-v1" in out
    found["cuda"] = "12.8"
    assert "no GPU: torch is built for CUDA 12.8, no GPU is visible" in rlbatch("doctor").out
    found["devices"] = [cpu, gpu]
    out = rlbatch("doctor").out
    assert "16,000 MiB" in out
    assert "no GPU" not in out


# tensorboard


def test_tensorboard_prints_a_link_coloured_by_batch_size(
    finished: Path, rlbatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, str, int]] = []

    def start(*words: Any) -> str:
        asked.append(words)
        return "http://localhost:6006/"

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorboard, "start", start)
    monkeypatch.setattr(threading.Event, "wait", interrupt)
    code, out, err = rlbatch("tensorboard", str(FOLDER))
    assert (code, err) == (0, "")
    first, second, last = out.splitlines()
    assert first.endswith(f" http://localhost:6006/{tensorboard.LINK}")
    assert second == f"means over seeds, with intervals: http://localhost:6006/{tensorboard.MEANS}"
    assert last == "Ctrl-C ends it"
    assert asked == [(FOLDER, "127.0.0.1", 6006)]
    for host in ("localhost", "::1", "127.0.0.2"):
        assert rlbatch("tensorboard", "--host", host, "--port", "0").code == 0
        assert asked[-1] == (Path("results"), host, 0)


def test_of_more_means_than_tensorboard_shows_each_environment_has_a_link() -> None:
    few, many = Counter({"a": 30, "b": 10}), Counter({"b(1)": 11, "a": 30})
    assert tensorboard._means(Counter()) == []
    assert tensorboard._means(few) == [("", tensorboard.MEANS)]
    links = [f"{tensorboard.MEANS}{name}%2F" for name in ("a", "b%5C%281%5C%29")]
    assert tensorboard._means(many) == [(" in a", links[0]), (" in b(1)", links[1])]


def test_who_starts_tensorboard_while_runs_are_missing_has_looked(
    finished: Path, rlbatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorboard, "start", lambda *_: "http://localhost:6006/")
    monkeypatch.setattr(threading.Event, "wait", interrupt)
    assert rlbatch("tensorboard", str(FOLDER)).code == 0
    assert looks_at(FOLDER, 2) == 0
    (finished / "result.json").unlink()
    for _ in range(2):
        assert rlbatch("tensorboard", str(FOLDER)).code == 0
    assert looks_at(FOLDER, 2) == 1


@pytest.mark.parametrize(
    ("run", "colour"),
    [
        ("x/CartPole-v1/dqn/b00064-lr1.0e-03-21a2f21f/s000", "b00064"),
        ("x/_aggregate/CartPole-v1/dqn/b00064", "b00064"),
        ("b123456-lr1.0e-03-21a2f21f/s000", "b123456"),
        ("web12345/my_b00001-v0/dqn/b00064-lr1.0e-03-21a2f21f/s000", "b00064"),
        ("x/CartPole-v1/dqn", None),
    ],
)
def test_the_colour_of_a_run_is_that_of_its_batch_size_alone(run: str, colour: str | None) -> None:
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(f"/{tensorboard.LINK}").query)
    found = re.search(query["runColorGroup"][0].removeprefix("regex:"), run)
    assert (found and found.group(1)) == colour


def test_tensorboard_keeps_the_means_up_to_date_and_tells_a_note_once(
    finished: Path, rlbatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = FOLDER / "_aggregate" / finished.relative_to(FOLDER).parents[1] / "b00032"
    seen: list[int] = []

    def wait(_: Any, seconds: float | None = None) -> bool:
        seen.append(len(list(arm.glob("events.*"))))
        if len(seen) == 1:
            change(finished / "result.json", outcome="crashed")
            return False
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorboard, "start", lambda *_: "http://localhost:6006/")
    monkeypatch.setattr(threading.Event, "wait", wait)
    _, _, err = rlbatch("tensorboard", str(FOLDER))
    assert seen == [1, 2]  # the one before stays for its readers
    assert err == f"{FOLDER}: the means are without runs that failed: 1 crashed\n"


def test_a_folder_that_cannot_be_written_to_is_served_all_the_same(
    finished: Path, rlbatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    (FOLDER / "_aggregate").write_text("in the way")
    monkeypatch.setattr(tensorboard, "start", lambda *_: "http://localhost:6006/")
    monkeypatch.setattr(threading.Event, "wait", interrupt)
    code, out, err = rlbatch("tensorboard", str(FOLDER))
    assert code == 0
    assert len(out.splitlines()) == 2
    assert err == f"no means over seeds of {FOLDER}: _aggregate cannot be written: Not a directory\n"


def points_served(url: str, run: str, tag: str) -> list[list[float]]:
    """Returns [step, value] of each point, once TensorBoard has loaded the run."""
    address = f"{url}data/plugin/scalars/scalars?{urllib.parse.urlencode({'run': run, 'tag': tag})}"
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=30) as page:  # noqa: S310 - our own address
                return [point[1:] for point in json.load(page)]
        except urllib.error.HTTPError:
            time.sleep(0.5)
    raise AssertionError(f"{address} has no data")


def seeds_served(url: str, finished: Path) -> list[float]:
    """Returns how many seeds the mean curve has at its end, before and after one run lost rows and all is made anew."""
    home = finished.parents[1].relative_to(FOLDER)
    told = (url, f"_aggregate/{home}/b00032", f"return_by_env_steps/{FOLDER.name}/CartPole-v1/seeds")
    found = [points_served(*told)]
    rows = finished.with_name("s001") / "metrics.jsonl"
    rows.with_name("result.json").unlink()
    rows.write_text(
        "".join(line for line in rows.read_text().splitlines(keepends=True) if '"timesteps": 300' not in line)
    )
    assert Board(FOLDER).refresh() == []
    for _ in range(240):
        found.append(points_served(*told))
        if found[-1] != found[0]:
            break
        time.sleep(0.5)
    assert [step for step, _ in found[0]] == [step for step, _ in found[-1]] == [0, 150, 300]
    return [found[0][-1][1], found[-1][-1][1]]


def test_tensorboard_serves_on_loopback_until_ctrl_c_and_a_busy_port_is_bad_input(finished: Path) -> None:
    """In processes of their own, since TensorBoard leaves threads and a data server behind; neither loads torch."""
    command = [sys.executable, "-c", "from rlbatch.cli.main import main; main()", "tensorboard", str(FOLDER), "--port"]
    with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            url = line.split()[-1].removesuffix(tensorboard.LINK)
            with urllib.request.urlopen(f"{url}data/environment", timeout=30) as page:  # noqa: S310 - our own address
                assert json.load(page)["data_location"].endswith(str(FOLDER))
            served = points_served(url, str(finished.resolve().relative_to(FOLDER.resolve())), "eval/return_mean")
            seeds = seeds_served(url, finished)
            port = url.rstrip("/").rpartition(":")[2]
            second = subprocess.run([*command, port], capture_output=True, text=True, timeout=60, check=False)
            server.send_signal(signal.SIGINT)
            _, err = server.communicate(timeout=30)
        finally:
            server.kill()
    assert seeds == [2.0, 1.0]
    assert served == [[r["timesteps"], pytest.approx(r["eval/return_mean"])] for r in RunFolder(finished).rows("eval")]
    assert url in (f"http://localhost:{port}/", f"http://127.0.0.1:{port}/")
    assert (server.returncode, err) == (0, "")
    assert (second.returncode, second.stdout, second.stderr.count("\n")) == (2, "", 1)
    assert f"--port: {port} cannot be used" in second.stderr
    assert "--port 0 takes a free one" in second.stderr
