"""How long does it take to read, score and compare many runs? Makes finished run folders, and has commands read them.

    python tests/analysis/reading_speed.py --runs 1000            prints
    python tests/analysis/reading_speed.py --runs 1000 --write    and writes results/speed/READING.md

One run with made-up rows is recorded, and copied into the folders of all runs of a plan, each with its own config, ids
and returns. Each measurement is a process of its own, so that imports count; what it reads is in the page cache.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rlbatch.analysis import collect as collecting
from rlbatch.analysis import comparison
from rlbatch.config import RunConfig, as_dict
from rlbatch.experiment import Experiment
from rlbatch.plans import Declared
from rlbatch.recorder import Recorder
from rlbatch.results import RunFolder, write_bytes, write_json
from rlbatch.rows import EVAL_TAGS, TRAIN_TAGS, Ending, Row, grid_points

BATCHES, RATES = (16, 32, 64, 128, 256), (3.0e-4, 1.0e-3)
STEPS = 50_000
READ = "import sys, pathlib, rlbatch.analysis.{0} as m; m.{1}([pathlib.Path(sys.argv[1])])"
COMMAND = "import sys; from rlbatch.cli.main import run; sys.exit(run(['{0}', sys.argv[1]]))"
STAGES = {
    "imports alone": "import rlbatch.analysis.comparison, scipy.optimize",
    "reading": READ.format("collect", "collect"),
    "reading and scoring": READ.format("comparison", "compare"),
    "rlbatch compare": COMMAND.format("compare"),
    "rlbatch recommend": COMMAND.format("recommend"),
    "rlbatch report": COMMAND.format("report"),
}


PAGE = Path(__file__).parents[2] / "results" / "speed" / "READING.md"
TEXT = """# How long does it take to read many runs?

Of {runs:,} finished runs at five batch sizes and two learning rates, each with 21 evaluations of 10 episodes and 200
train rows, {megabytes:.0f} MB of rows in all. Seconds of one process, its start and imports included, and those on a
processor; two cores, one thread, files in the page cache, least of {repeats}. Measured and written by
`python tests/analysis/reading_speed.py --runs {runs} --repeats {repeats} --write`.

| | seconds | on a processor |
| --- | --- | --- |
"""


def configs(runs: int) -> list[RunConfig]:
    """Returns the runs of the plan: as many seeds for each batch size and rate."""
    known = {"env_id": "CartPole-v1", "algo": "dqn", "total_timesteps": STEPS, "n_evaluations": 20}
    return [
        RunConfig.build(**known, batch_size=batch, learning_rate=rate, seed=seed)
        for batch in BATCHES
        for rate in RATES
        for seed in range(runs // (len(BATCHES) * len(RATES)))
    ]


def record(folder: RunFolder, config: RunConfig) -> None:
    """Records one run with 200 train rows and 21 evaluations."""
    rng = np.random.default_rng(0)
    recorder = Recorder(
        folder, config, 475.0, device="cpu", stack_width=8, origins=dict.fromkeys(as_dict(config), "default")
    )
    points = [(point, "train") for point in grid_points(STEPS, 200)]
    points += [(point, "eval") for point in (0, *grid_points(STEPS, 20))]
    for point, kind in sorted(points):
        tags = TRAIN_TAGS["dqn"] if kind == "train" else EVAL_TAGS
        episodes = (rng.uniform(10, 500, 10).tolist(), [100] * 10) if kind == "eval" else ((), ())
        values = {tag: float(rng.normal()) for tag in tags}
        recorder.emit(Row(kind, point, point, 64 * point, point / 1000, values, *episodes))
    recorder.finish(Ending("ok", "", STEPS, STEPS, 64 * STEPS, 50.0))


def fill(root: Path, runs: int) -> int:
    """Makes an experiment of so many finished runs; returns the bytes of their rows."""
    planned, experiment = configs(runs), Experiment(root)
    root.mkdir()
    experiment.replace_plan(Declared(planned, {}, "name: many\n", {}), ["rlbatch", "run"])
    first = experiment.run(planned[0])
    record(first, planned[0])
    rows = first.metrics_path.read_bytes()
    for config in planned[1:]:
        folder = experiment.run(config)
        folder.path.mkdir(parents=True)
        ids = {"run_id": config.run_id, "arm_id": config.arm_id}
        write_json(folder.config_path, first.record() | ids | {"config": as_dict(config)})
        write_bytes(folder.metrics_path, rows)
        write_json(folder.result_path, (first.result() or {}) | ids)
    return runs * len(rows)


def measure(command: list[str]) -> tuple[float, float]:
    """Returns how long a process takes, and the seconds that processors spent on it."""
    began, spent = time.perf_counter(), _spent()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, _spent() - spent


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def profile(work: Callable[[], object]) -> None:
    """Shows where the time goes."""
    with cProfile.Profile() as told:
        work()
    pstats.Stats(told, stream=sys.stderr).sort_stats("cumulative").print_stats(40)


def main() -> None:
    """Measures each stage several times, or shows where the whole of it spends its time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000, help=f"a multiple of {len(BATCHES) * len(RATES)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "many"
        size = fill(root, given.runs)
        sys.stdout.write(f"{given.runs} runs, 221 rows each, {size / 1e6:.0f} MB of rows\n")
        if given.profile:
            profile(lambda: comparison.compare([root]))
            profile(lambda: collecting.collect([root]))
            return
        rows = []
        for name, code in STAGES.items():
            took = [measure([sys.executable, "-c", code, str(root)]) for _ in range(given.repeats)]
            wall, spent = map(min, zip(*took, strict=True))
            sys.stdout.write(f"{name}: {wall:.2f} s, of which {spent:.2f} s on a processor; least of {given.repeats}\n")
            rows.append(f"| {name} | {wall:.1f} | {spent:.1f} |\n")
        if given.write:
            text = TEXT.format(runs=given.runs, repeats=given.repeats, megabytes=size / 1e6)
            PAGE.write_text(text + "".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
