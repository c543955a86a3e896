"""A real disk that is full or read-only: the command says so in one line, and the same command completes afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from here import train_here
from launch.kills import differences

from rlbatch.cli import main
from rlbatch.experiment import Experiment

Call = Callable[..., tuple[int, str, str]]

FILE = """# Does it end?
name: small
envs: CartPole-v1
seeds: 2
batch_size: 32
total_timesteps: 1000
learning_starts: 64
net_arch: [8]
n_evaluations: 2
n_eval_episodes: 2
log_points: 200
"""
FREE_BYTES = {"nothing": 0, "some rows": 150_000}
"""What still fits -> bytes that are left free; the rows of both runs take about 500,000."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Returns the folder of a disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def rlbatch(capfd: pytest.CaptureFixture[str]) -> Call:
    """Runs a command line, whose workers are processes of their own."""

    def call(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main.run([*words, "--quiet"])
        return code, *capfd.readouterr()

    return call


def fill(disk: Path, free: int) -> Path:
    """Fills a disk but for some bytes; returns the file that takes the room."""
    filler, room = disk / "filler", os.statvfs(disk)
    filler.write_bytes(bytes(room.f_bavail * room.f_frsize - free))
    return filler


def test_a_full_disk_is_one_line_and_the_same_command_completes_once_there_is_room(
    disk: Path, rlbatch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("small.yaml").write_text(FILE)
    command = ("run", "small.yaml", "--no-calibration", "--out", str(disk / "results"))
    for what, free in FREE_BYTES.items():
        filler = fill(disk, free)
        code, out, err = rlbatch(*command)
        assert (code, out) == (75, ""), (what, err)
        assert err.startswith(f"rlbatch: error: {disk}"), err
        assert err.endswith(": the disk is full; free space and run the same command again\n"), err
        assert err.count("\n") == 1
        filler.unlink()
    assert set(Experiment(disk / "results" / "small").statuses().values()) == {"partial"}
    assert rlbatch(*command)[0] == 0
    with monkeypatch.context() as patch:
        train_here(patch)
        assert rlbatch("run", "small.yaml", "--out", "calm")[0] == 0
    assert differences(Path("calm/small"), disk / "results" / "small") == []
    filler = fill(disk, 0)
    assert rlbatch(*command)[0] == 0  # nothing is left to do, so nothing is written


def test_a_read_only_disk_is_bad_input_and_the_same_command_completes_once_it_is_not(disk: Path, rlbatch: Call) -> None:
    command = ("train", "--env", "CartPole-v1", "--batch", "32", "--steps", "300", "--set", "learning_starts=64")
    command += ("--set", "n_evaluations=1", "--out", str(disk / "results"))
    for kind in ("ro", "rw"):
        subprocess.run(["mount", "-o", f"remount,{kind}", str(disk)], check=True)
        code, out, err = rlbatch(*command)
        if kind == "ro":
            assert (code, out, list(disk.iterdir())) == (2, "", [])
            assert err == f"rlbatch: error: --out: {str(disk)!r} cannot be written to\n"
    assert (code, err) == (0, "")
    assert list(Experiment(disk / "results" / "CartPole-v1-dqn").statuses().values()) == ["ok"]
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    code, _, err = rlbatch(*command)
    assert (code, err.count("\n")) == (2, 1)
