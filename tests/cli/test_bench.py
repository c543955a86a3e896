"""rlbatch bench from the command line: what is measured, the table, the JSON, bad input, and a process that ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rlbatch.errors import RlbatchError
from rlbatch.grid import Request
from rlbatch.launch import Interrupted, bench, machine

Call = Callable[..., Any]
TINY = (
    *("--seconds", "0.02", "--repeats", "2", "--batch", "16,32", "--width", "1,2", "--device", "cpu"),
    *("--set", "net_arch=[8]", "--set", "n_eval_episodes=2", "--set", "learning_starts=64"),
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Measures in this process; the peak, which takes a second, is known."""
    from rlbatch.training import bench as measuring

    monkeypatch.setattr(measuring, "peak_flops", lambda device: 5e10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run(job: Any, report: Any) -> None:
        for case in bench.work(json.loads(json.dumps(job))):
            report(json.loads(json.dumps(case)))

    monkeypatch.setattr(bench, "run", run)


def case(device: str, batch_size: int, width: int, speed: float) -> dict[str, Any]:
    return {"device": device, "batch_size": batch_size, "width": width, "env_steps_per_s": speed}


def job(**values: Any) -> dict[str, Any]:
    configs = bench.plan(Request("CartPole-v1", batch_sizes=(16,), settings={"net_arch": (8,)}), (1, 2))
    return bench.job_of(configs, (1, 2), "cpu", seconds=0.02, repeats=1) | values


@pytest.mark.usefixtures("here")
def test_the_table_has_a_row_for_each_case_and_ends_with_a_verdict_for_each_batch(rlbatch: Call) -> None:
    code, out, err = rlbatch("bench", *TINY)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("CartPole-v1: DQN [8], preset neutral, one thread; median of 2 stretches of 0.01 s")
    assert lines[1].split()[:4] == ["device", "batch", "width", "env"]
    rows = [line.split() for line in lines[2:6]]
    assert [row[:3] for row in rows] == [["cpu", b, w] for b in ("16", "32") for w in ("1", "2")]
    assert {len(row) for row in rows} == {15}
    assert len({len(line.rstrip()) for line in lines[1:6]}) == 1
    assert "of the 50 (cpu) GFLOP/s" in lines[8]
    assert [line.partition(":")[0] for line in lines[9:]] == ["batch 16", "batch 32"]
    assert "on cpu is fastest" in lines[9]


@pytest.mark.usefixtures("here")
def test_json_is_one_object_with_every_number(rlbatch: Call) -> None:
    code, out, err = rlbatch(
        "bench", "--env", "Pendulum-v1", *TINY[:4], "--batch", "16", "--width", "2", *TINY[8:], "--json"
    )
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["schema"] == "rlbatch.bench/1"
    names = {"schema", "cases", "too_wide", "verdicts", "configs", "seconds", "repeats", "env_workers", "versions"}
    assert set(told) == names
    assert told["too_wide"] == []
    (config,), (measured,), (verdict,) = told["configs"], told["cases"], told["verdicts"]
    assert (config["env_id"], config["algo"], config["batch_size"]) == ("Pendulum-v1", "sac", 16)
    assert (measured["device"], measured["batch_size"], measured["width"]) == ("cpu", 16, 2)
    assert measured["updates"] == measured["env_steps"] > 0
    assert measured["sb3_updates"] > 0
    low, high = measured["times_sb3_range"]
    assert 0 < low <= measured["times_sb3"] <= high
    assert measured["peak_gflops"] == 50
    assert measured["eval_length"] == 200
    known = {"batch_size": 16, "device": "cpu", "width": 2, "gpu_beats_cpu": None}
    assert {name: verdict[name] for name in known} == known


@pytest.mark.usefixtures("here")
def test_a_stack_that_does_not_fit_is_a_row_without_numbers(rlbatch: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlbatch.training.bench_sides import Stacked

    warm_up = Stacked.warm_up

    def full(stack: Stacked) -> None:
        if len(stack._configs) > 1:
            raise MemoryError
        warm_up(stack)

    monkeypatch.setattr(Stacked, "warm_up", full)
    code, out, err = rlbatch("bench", *TINY)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[2:6]]
    assert [row[3:] for row in rows[1::2]] == [["no", "memory"]] * 2
    assert "batch 16: width 1 on cpu is fastest" in out
    told = json.loads(rlbatch("bench", *TINY, "--json")[1])
    assert [case["width"] for case in told["cases"]] == [1, 1]
    assert told["too_wide"] == [{"device": "cpu", "batch_size": size, "width": 2} for size in (16, 32)]
    code, out, err = rlbatch("bench", *TINY[:6], "--width", "2", *TINY[8:])
    assert (code, err) == (
        2,
        "rlbatch: error: --width: no stack fits into memory; fewer, or --set buffer_size=N with a smaller N\n",
    )


def test_runs_have_little_to_wait_for_and_explore_as_they_do_at_last() -> None:
    first, second = bench.plan(Request("CartPole-v1", batch_sizes=(32, 1024)), (1,))
    assert (first.learning_starts, second.learning_starts) == (500, 1024)
    assert (first.exploration_initial_eps, first.exploration_final_eps) == (0.01, 0.01)
    assert (first.buffer_size, first.train_freq, first.gradient_steps) == (50_000, 1, 1)
    (sac,) = bench.plan(Request("Pendulum-v1", batch_sizes=(256,)), (1,))
    assert (sac.buffer_size, sac.total_timesteps, sac.exploration_initial_eps) == (20_000, 20_000, None)
    (long,) = bench.plan(Request("Pendulum-v1", batch_sizes=(256,), settings={"total_timesteps": 10**6}), (1,))
    assert long.buffer_size == 50_000


def test_what_the_request_sets_stays() -> None:
    own = {"learning_starts": 40, "buffer_size": 60_000, "total_timesteps": 70_000, "exploration_final_eps": 0.2}
    (config,) = bench.plan(Request("CartPole-v1", batch_sizes=(32,), settings=own), (1,))
    assert {name: getattr(config, name) for name in own} == own
    assert config.exploration_initial_eps == 0.2


def test_the_verdict_names_the_fastest_width_and_whether_a_gpu_is_worth_it() -> None:
    cases = [case("cpu", 32, 1, 10.0), case("cpu", 32, 8, 500.0), case("cuda:0", 32, 8, 20.0)]
    cases += [case("cpu", 256, 8, 30.0), case("cuda:0", 256, 32, 4000.0), case("cuda:1", 256, 32, 3000.0)]
    small, large = bench.verdicts(cases)
    assert (small["device"], small["width"], small["gpu_beats_cpu"]) == ("cpu", 8, False)
    assert small["words"] == (
        "batch 32: width 8 on cpu is fastest, 500 env steps/s; "
        "the GPU does not beat the CPU: cuda:0 comes to 20 with width 8"
    )
    assert (large["device"], large["width"], large["gpu_beats_cpu"]) == ("cuda:0", 32, True)
    assert large["words"] == (
        "batch 256: width 32 on cuda:0 is fastest, 4,000 env steps/s; "
        "the GPU beats the CPU: cpu comes to 30 with width 8"
    )
    assert bench.verdicts(cases[4:])[0]["gpu_beats_cpu"] is None


IMAGES = ("--env", "Probe/Spaced-v0", "--env-kwargs", '{"observation": "image"}')
DICTS = ("--env", "Probe/Spaced-v0", "--env-kwargs", '{"observation": "dict"}')
BAD: list[tuple[tuple[str, ...], str]] = [
    (IMAGES, "--env: Probe/Spaced-v0: image observations cannot be stacked"),
    (DICTS, "--env: Probe/Spaced-v0: Dict observations cannot be stacked"),
    (("--env", "Pendulum-v1", "--set", "use_sde=true"), "--env: Pendulum-v1: gSDE cannot be stacked"),
    (("--env", "CartPole-v9"), "is not a registered environment"),
    (("--algo", "sac"), "--algo: sac does not take the Discrete actions"),
    (("--batch", "60000"), "--batch: 60000 is larger than buffer_size 50000"),
    (("--set", "learning_starts=100"), "--batch: 256 is larger than learning_starts 100"),
    (("--batch", "0"), "--batch: 0 is out of range"),
    (("--batch", "32", "--set", "batch_size=64"), "--set: batch_size is given twice"),
    (("--width", "0"), "--width: 0 is out of range, allowed is 1"),
    (("--width", "1,257"), "--width: 257 is out of range, allowed is 1 to 256"),
    (("--width", "8,8"), "--width: 8 stands twice"),
    (("--width", "wide"), "--width: 'wide' is not a whole number"),
    (("--seconds", "0"), "--seconds: 0 is out of range"),
    (("--seconds", "long"), "--seconds: 'long' is not a number"),
    (("--repeats", "0"), "--repeats: 0 is out of range"),
    (("--env-workers", "-1"), "--env-workers: -1 is out of range"),
    (("--preset", "best"), "--preset: 'best' is not a preset"),
    (("--device", "gpu"), "--device: 'gpu' is not a device"),
    (("--set", "engine=sb3"), "engine: cannot be set here"),
    (("--set", "seed=1"), "seed: cannot be set here"),
    (("--set", "layer_norm=true"), "layer_norm: cannot be set here; Stable-Baselines3's networks have none"),
    (("--set", "net=[8]"), "net: is not a setting"),
    (("--import", "no_such_module"), "--import: module 'no_such_module' cannot be imported"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_bad_input_is_one_line_and_exit_2(
    words: tuple[str, ...], said: str, rlbatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "run", lambda *_: pytest.fail("was measured"))
    code, out, err = rlbatch("bench", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err


def test_a_missing_gpu_and_too_little_memory_are_bad_input(rlbatch: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "probe_devices", lambda: {"devices": [{"device": "cpu"}]})
    code, out, err = rlbatch("bench", "--device", "cuda")
    assert (code, out, err) == (2, "", "rlbatch: error: --device: cuda is not available here; available: cpu\n")
    monkeypatch.setattr(bench, "free_memory", lambda device: 10**6)
    code, out, err = rlbatch("bench", "--width", "4,2")
    assert (code, out) == (2, "")
    assert "--width: the replays of 4 runs need 0.0 GB, 0.0 GB are free" in err


def test_a_signal_ends_the_command_and_says_so(rlbatch: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(bench, "run", interrupted)
    code, out, err = rlbatch("bench")
    assert (code, out.count("\n"), err) == (130, 1, "stopped\n")
    code, out, err = rlbatch("bench", "--json")
    assert (code, out) == (130, "")
    assert json.loads(err)["exit_code"] == 130


def test_ctrl_c_ends_the_process_that_measures_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cases: list[dict[str, Any]] = []

    def interrupt(measured: dict[str, Any]) -> None:
        cases.append(measured)
        os.kill(os.getpid(), signal.SIGINT)

    before, handler = psutil.Process().children(recursive=True), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as caught:
        bench.run(job(), interrupt)
    assert caught.value.exit_code == 130
    assert [(measured["width"], measured["updates"] > 0) for measured in cases] == [(1, True)]
    assert psutil.Process().children(recursive=True) == before
    assert signal.getsignal(signal.SIGINT) is handler
    assert list(tmp_path.iterdir()) == []


def test_what_the_process_refuses_and_what_breaks_it_reach_the_command() -> None:
    with pytest.raises(RlbatchError, match=r"module 'no_such_module' cannot be imported") as caught:
        bench.run(job(modules=["no_such_module"]), lambda measured: None)
    assert caught.value.exit_code == 2
    with pytest.raises(RlbatchError, match=r"the measuring process ended with exit code 1: KeyError: 'path'") as caught:
        bench.run({}, lambda measured: None)
    assert caught.value.exit_code == 1


def test_the_command_does_not_load_torch() -> None:
    code = "import sys, rlbatch.cli.bench, rlbatch.launch.bench; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
