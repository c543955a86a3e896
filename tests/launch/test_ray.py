"""A Ray cluster of two nodes trains what one machine trains, to the bit, whatever dies meanwhile."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from here import train_here
from launch.kills import SETTINGS, differences
from probes import DELAY

from rlbatch.cli import main
from rlbatch.experiment import ATTEMPTS, Experiment
from rlbatch.grid import PlannedRun, Request, expand
from rlbatch.launch import Interrupted, cluster, execute
from rlbatch.launch.calibrate import machine_here
from rlbatch.launch.cluster import Cluster
from rlbatch.results import find_runs
from rlbatch.training.randomness import episode_seed
from rlbatch.wallclock import read_costs

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(900)]  # one cluster for all
needs_ray = pytest.mark.skipif(not cluster.installed(), reason="ray is not installed")
TESTS = Path(__file__).parents[1]
CHECKPOINTS = f"{ATTEMPTS}/*/*/_checkpoints/*/step-*"
STEPS = 2500


def plan(batch_size: int = 32, seeds: tuple[int, ...] = (0, 1), steps: int = STEPS) -> list[PlannedRun]:
    settings = SETTINGS | {"total_timesteps": steps}
    return expand(Request("Probe/Delayed-v0", batch_sizes=(batch_size,), seeds=seeds, settings=settings))


class TwoNodes:
    """A real cluster whose second node can be killed."""

    def __init__(self) -> None:
        for patience in range(3, 0, -1):  # Ray gives a node 30 s to start, too little on a busy machine
            try:
                self._start()
                return
            except (ImportError, AttributeError, TypeError):  # Ray is another one than this was written for
                raise
            except Exception as error:  # noqa: BLE001 - whatever keeps Ray from starting
                self.close()
                if patience == 1:  # nothing of rlbatch's has run yet
                    pytest.skip(f"Ray did not start two nodes here: {error}")

    def _start(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
        self._nodes = Nodes()
        self._nodes.add_node(**node, include_dashboard=False)
        self.victim = self._nodes.add_node(**node)
        self.address = str(self._nodes.address)

    def kill_one(self) -> None:
        self._nodes.remove_node(self.victim, allow_graceful=False)

    def close(self) -> None:
        self._nodes.shutdown()


@pytest.fixture(scope="module")
def nodes(delay: Path) -> Iterator[TwoNodes]:
    known = {
        DELAY: str(delay),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",  # what else runs on the machine may take its memory
        "RAY_health_check_period_ms": "1000",  # a node that refuses is dead after five of them, 15 s by default
        "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH")])),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in known.items():
            patch.setenv(name, value)
        two = TwoNodes()
        yield two
        two.close()


def ignore(message: dict[str, Any]) -> None:
    pass


@pytest.fixture(scope="module")
def delay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As long as this file is there, what trains on the cluster is slow."""
    return tmp_path_factory.mktemp("delay") / "slow"


def train_on_this_machine(runs: list[PlannedRun], folder: Path) -> Path:
    """Trains here, in this process; returns the folder."""
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        execute(runs, Experiment(folder), ignore, modules=["probes"])
    return folder


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What one machine trains if nothing dies: batch size -> an experiment of two seeds."""
    return {size: train_on_this_machine(plan(size), tmp_path_factory.mktemp("calm")) for size in (32, 64)}


def attempts_of(experiment: Experiment) -> list[int]:
    return sorted((run.result() or {})["attempts"] for run in find_runs(experiment.path))


def resumed(experiment: Experiment) -> int:
    """How many attempts went on from a checkpoint."""
    return sum(one["from"] > 0 for run in find_runs(experiment.path) for one in run.record().get("attempts", []))


@needs_ray
def test_bits_are_those_of_one_machine_and_a_run_that_kills_its_process_costs_itself(
    nodes: TwoNodes, tmp_path: Path
) -> None:
    train_on_this_machine(plan(steps=600), tmp_path / "calm")
    settings = SETTINGS | {"total_timesteps": 300, "env_kwargs": {"how": "die", "at": 3, "seed": _victim()}}
    doomed = expand(Request("Probe/Broken-v0", batch_sizes=(32,), seeds=(0, 1), settings=settings))
    told: list[dict[str, Any]] = []
    experiment = Experiment(tmp_path / "ray")
    runs = [*plan(steps=600), *doomed]
    outcomes = execute(runs, experiment, told.append, modules=["probes"], cluster=Cluster(nodes.address))
    assert [o.result["outcome"] for o in outcomes] == ["ok", "ok", "ok", "crashed"]
    assert outcomes[3].result["reason"] == "its process ended with exit code 7"
    assert outcomes[3].folder.error_path.exists()
    assert [o.result["attempts"] for o in outcomes] == [1, 1, 3, 3]
    assert sorted(m["run"] for m in told if m["type"] == "finished") == [0, 1, 2, 3]
    assert {"started", "tick", "train", "eval", "device"} <= {m["type"] for m in told}
    for run in find_runs(experiment.path / "Probe+Broken-v0"):
        run.path.rename(tmp_path / run.path.name)  # what is left are the runs of the reference
    assert differences(tmp_path / "calm", experiment.path) == []
    assert not (experiment.path / ATTEMPTS).exists()


@needs_ray
def test_a_killed_driver_takes_its_tasks_along_ctrl_c_stops_them_at_a_checkpoint_and_either_time_the_runs_go_on(
    nodes: TwoNodes, tmp_path: Path, calm: dict[int, Path], delay: Path
) -> None:
    experiment = Experiment(tmp_path / "ray")
    delay.touch()
    with subprocess.Popen([sys.executable, __file__, nodes.address, str(experiment.path)]) as driver:
        _wait(lambda: list(experiment.path.glob(CHECKPOINTS)))
        driver.kill()
    assert driver.returncode == -signal.SIGKILL
    assert set(experiment.statuses().values()) == {"partial"}
    assert find_runs(experiment.path) == []

    far = max(int(path.name.partition("-")[2]) for path in experiment.path.glob(CHECKPOINTS))
    struck: list[int] = []

    def interrupt(message: dict[str, Any]) -> None:
        if message["type"] == "train" and message["timesteps"] > far and not struck:
            struck.append(message["timesteps"])  # a second signal would end the tasks at once
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        execute(plan(), experiment, interrupt, modules=["probes"], jobs=1, cluster=Cluster(nodes.address))
    delay.unlink()
    assert caught.value.exit_code == 130
    assert set(experiment.statuses().values()) == {"partial"}
    train_on_this_machine(plan(), experiment.path)
    assert (attempts_of(experiment), resumed(experiment)) == ([3, 3], 4)
    last = [run.record()["attempts"][-1]["from"] for run in find_runs(experiment.path)]
    assert min(last) >= struck[0]  # not where the killed driver had left them
    assert differences(calm[32], experiment.path) == []
    assert not (experiment.path / ATTEMPTS).exists()


@needs_ray
def test_a_node_that_is_killed_costs_nothing_but_time(
    nodes: TwoNodes, tmp_path: Path, calm: dict[int, Path], delay: Path
) -> None:
    runs = [*plan(32), *plan(64)]
    for folder in calm.values():
        shutil.copytree(folder, tmp_path / "calm", dirs_exist_ok=True)
    experiment = Experiment(tmp_path / "ray")
    killed, told = threading.Event(), []
    delay.touch()  # both stacks are to be at work when the node is killed

    def strike(message: dict[str, Any]) -> None:
        told.append(message)
        both = list(experiment.path.glob(CHECKPOINTS))
        if not killed.is_set() and len({path.parents[3] for path in both}) == 2:
            killed.set()
            nodes.kill_one()
            delay.unlink()

    execute(runs, experiment, strike, modules=["probes"], checkpoint_s=0.2, cluster=Cluster(nodes.address))
    assert killed.is_set()
    assert attempts_of(experiment) == [1, 1, 2, 2]
    assert resumed(experiment) == 2
    assert sorted(m["run"] for m in told if m["type"] == "finished") == [0, 1, 2, 3]
    assert differences(tmp_path / "calm", experiment.path) == []
    assert not (experiment.path / ATTEMPTS).exists()


WORDS = ("--batch", "32", "--seeds", "2", "--set", "net_arch=[8]", "--set", "learning_starts=64")


@needs_ray
def test_the_command_trains_on_a_cluster_and_costs_are_those_of_its_own_machine(
    nodes: TwoNodes, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--env", "CartPole-v1", "--steps", "300", "--name", "e", *WORDS]
    code = main.run([*words, "--launcher", "ray", "--ray-address", nodes.address])
    assert code == 0, capfd.readouterr().err
    assert set(Experiment(Path("results/e")).statuses().values()) == {"ok"}
    (cost,) = read_costs(Path("results/e/cost.json"))
    assert {"device": cost["device"], "machine": cost["machine"]} == {"device": "cpu", "machine": machine_here()}


TRAIN = ("train", "--env", "CartPole-v1", "--steps", "3000", "--launcher", "ray", "--out", "o")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ray-address", "127.0.0.1:{closed}"), "--ray-address: no Ray answers at 127.0.0.1:"),
        (("--ray-address", "127.0.0.1:{silent}"), "--ray-address: no Ray answers at 127.0.0.1:"),
        (("--ray-address", "garbage"), "--ray-address: 'garbage' is not host:port; for instance 127.0.0.1:6379"),
        (("--ray-address", "ray://a:1"), "--ray-address: 'ray://a:1' is not host:port"),
        (("--device", "cuda:1"), "--device: 'cuda:1' cannot be asked of a cluster; allowed: auto, cpu, cuda"),
    ],
    ids=["closed", "silent", "garbage", "client", "device"],
)
def test_an_unusable_cluster_is_one_line_soon_and_nothing_is_written(
    words: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(cluster, "installed", lambda: True)
    monkeypatch.setattr(cluster, "_CONNECT_S", cluster._CONNECT_S - 4.0)  # so much sooner
    with socket.socket() as closed, socket.socket() as silent:
        for one in (closed, silent):
            one.bind(("127.0.0.1", 0))
        silent.listen()
        ports = {"closed": closed.getsockname()[1], "silent": silent.getsockname()[1]}
        began = time.monotonic()
        code = main.run([*TRAIN, *(word.format(**ports) for word in words)])
    assert time.monotonic() - began < 45  # Ray itself would try for a minute
    assert said in only_line(code, capfd.readouterr())


def test_a_cluster_without_a_token_needs_a_word(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setattr(cluster, "installed", lambda: True)
    code = main.run([*TRAIN, "--ray-address", "127.0.0.1:1"])
    assert "RAY_AUTH_MODE=token, or say --ray-no-auth-ok" in only_line(code, capfd.readouterr())
    code = main.run([*TRAIN, "--ray-address", "127.0.0.1:1", "--ray-no-auth-ok"])
    assert "no Ray answers at 127.0.0.1:1" in only_line(code, capfd.readouterr())


def test_ray_that_is_not_installed_is_named(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "installed", lambda: False)
    code = main.run(TRAIN)
    assert "--launcher: ray is not installed; pip install 'rlbatch[ray]'" in only_line(code, capfd.readouterr())


@needs_ray
def test_a_real_cluster_refuses_another_token_and_none(
    nodes: TwoNodes, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*TRAIN, "--ray-address", nodes.address]
    for name, value in (("RAY_AUTH_TOKEN", secrets.token_hex(32)), ("RAY_AUTH_MODE", "disabled")):
        monkeypatch.setenv(name, value)
        began = time.monotonic()
        code = main.run([*words, "--ray-no-auth-ok"])
        line = only_line(code, capfd.readouterr())
        assert "asks for another token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in line
        assert time.monotonic() - began < 45


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["OK"], "the cluster at h:1 asks for no token; start it with RAY_AUTH_MODE=token, or say --ray-no-auth-ok"),
        (["UNAUTHENTICATED", "UNAUTHENTICATED"], "the cluster at h:1 asks for another token"),
        (["UNAVAILABLE"], "no Ray answers at h:1"),
        (["UNIMPLEMENTED"], "what answers at h:1 is not Ray"),
    ],
)
def test_a_head_is_asked_before_ray_connects(
    answers: list[str], said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "ours")
    monkeypatch.setattr(cluster, "installed", lambda: True)
    asked: list[str] = []

    def ask(address: str, token: str) -> str:
        asked.append(token)
        return answers[len(asked) - 1]

    monkeypatch.setattr(cluster, "_ask", ask)
    assert said in only_line(main.run([*TRAIN, "--ray-address", "h:1"]), capfd.readouterr())
    assert asked == ["", "ours"][: len(answers)]


def test_a_token_that_is_nowhere_is_missed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setattr(cluster, "installed", lambda: True)
    monkeypatch.setattr(cluster, "_ask", lambda *_: "UNAUTHENTICATED")
    said = "RAY_AUTH_MODE is token, but there is no token; set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"
    assert said in only_line(main.run([*TRAIN, "--ray-address", "h:1"]), capfd.readouterr())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--launcher", "rya"), "--launcher: 'rya' is not a launcher; did you mean ray?"),
        (("--ray-address", "auto"), "--ray-address: is of no use with the launcher local; add --launcher ray"),
        (("--ray-no-auth-ok",), "--ray-no-auth-ok: is of no use with the launcher local"),
    ],
)
def test_words_that_do_not_fit_are_bad_input(
    words: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert said in only_line(main.run([*TRAIN[:5], "--out", "o", *words]), capfd.readouterr())


def only_line(code: int, told: Any) -> str:
    """Returns the one line of a command that refused its input and left nothing, or "" if it did anything else."""
    refused = (code, told.out, told.err.count("\n")) == (2, "", 1) and not Path("o").exists()
    return str(told.err) if refused else ""


def _victim() -> int:
    return episode_seed(1, "episode", 0)


def _wait(condition: Any) -> None:
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


if __name__ == "__main__":  # the driver that is killed
    at = Cluster(sys.argv[1])
    execute(plan(), Experiment(Path(sys.argv[2])), ignore, modules=["probes"], jobs=1, checkpoint_s=0.2, cluster=at)
