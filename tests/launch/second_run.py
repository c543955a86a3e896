"""How long does the same command take when nothing is left to do? Makes finished run folders, and runs it again.

    python tests/launch/second_run.py --runs 1000

One run is trained, and its record copied into the folders of all runs of a file, each with its own config and ids.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import pstats
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlbatch.cli import main as cli
from rlbatch.config import as_dict
from rlbatch.experiment import Experiment
from rlbatch.experiment_file import plan
from rlbatch.results import write_json
from rlbatch.strict_yaml import read

FILE = """# How long does the second run take?
name: many
envs: CartPole-v1
batch_size: [16, 32, 64, 128]
learning_rate: [1.0e-4, 3.0e-4, 1.0e-3, 3.0e-3, 1.0e-2]
seeds: {seeds}
total_timesteps: 300
learning_starts: 128
net_arch: [8]
n_evaluations: 20
n_eval_episodes: 2
"""
ARMS = 20
COMMANDS = {
    "run": ("run", "many.yaml", "--quiet"),
    "run, told in words": ("run", "many.yaml"),
    "run --dry-run": ("run", "many.yaml", "--dry-run"),
    "status": ("status", "results/many"),
}


def fill(runs: int) -> None:
    """Makes an experiment of so many finished runs in ./results; all but one are copies."""
    Path("many.yaml").write_text(FILE.format(seeds=runs // ARMS))
    command("run", "many.yaml", "--quiet", "--limit", "1")
    first, *others = plan(read(Path("many.yaml"))).planned
    trained = Experiment(Path("results/many")).run(first.config)
    for run in others:
        copied = Experiment(Path("results/many")).run(run.config)
        shutil.copytree(trained.path, copied.path)
        ids = {"run_id": run.config.run_id, "arm_id": run.config.arm_id}
        write_json(copied.config_path, trained.record() | ids | {"config": as_dict(run.config)})
        write_json(copied.result_path, (trained.result() or {}) | ids)


def command(*words: str) -> tuple[float, float]:
    """Runs a command line as a process of its own; returns its seconds, and those that processors spent on it."""
    began, spent = time.perf_counter(), _spent()
    subprocess.run([sys.executable, "-m", "rlbatch.cli", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, _spent() - spent


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measures each command several times, or shows where one spends its time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000, help=f"a multiple of {ARMS}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", choices=COMMANDS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        fill(given.runs)
        if given.profile is not None:
            with cProfile.Profile() as profile:
                cli.run(COMMANDS[given.profile])
            pstats.Stats(profile, stream=sys.stderr).sort_stats("cumulative").print_stats(45)
            return
        for name, words in COMMANDS.items():
            wall, spent = map(min, zip(*(command(*words) for _ in range(given.repeats)), strict=True))
            sys.stdout.write(f"{name}: {wall:.2f} s, of which {spent:.2f} s on a processor; least of {given.repeats}\n")


if __name__ == "__main__":
    main()
