"""How long does `quickstart` take beside Stable-Baselines3? Measures both on two cores, and writes them down.

python results/speed/quickstart.py --measure
    measures this machine, then writes quickstart.json and QUICKSTART.md
python results/speed/quickstart.py
    writes QUICKSTART.md from quickstart.json alone
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from summaries import EXPERIMENTS, paragraph, table

from rlbatch.config import RunConfig
from rlbatch.experiment_file import plan
from rlbatch.strict_yaml import read

HOME = Path(__file__).parent
SEEDS = 2
"""Runs of each batch size that Stable-Baselines3 trains; the others are taken to last as long."""
PROCESSES = 2


def measure() -> dict[str, Any]:
    """Returns the seconds of `rlbatch run quickstart` by the clock, and of each run on Stable-Baselines3."""
    configs = [run.config for run in plan(read(EXPERIMENTS / "quickstart.yaml")).planned]
    chosen = [config for config in configs if config.seed < SEEDS]
    return {
        "runs": len(configs),
        "total_timesteps": configs[0].total_timesteps,
        "rlbatch": _seconds_of_rlbatch(),
        "sb3": _seconds_of_sb3(chosen),
    }


def sb3_total(found: Mapping[str, Any]) -> float:
    """Returns the seconds that all runs take on Stable-Baselines3, so many processes at a time."""
    by_batch = defaultdict(list)
    for batch_size, seconds in found["sb3"]:
        by_batch[batch_size].append(seconds)
    runs = found["runs"] / len(by_batch)
    return float(sum(runs * sum(times) / len(times) for times in by_batch.values()) / PROCESSES)


def report(found: Mapping[str, Any]) -> str:
    """Returns the page."""
    total = sb3_total(found)
    rows = [(batch_size, f"{seconds:.1f}") for batch_size, seconds in found["sb3"]]
    parts = [
        "# How long does `quickstart` take beside Stable-Baselines3?\n",
        paragraph(f"""
            {found["runs"]} runs of {found["total_timesteps"]:,} env steps of CartPole, evaluated 21 times with 10
            episodes. `rlbatch run quickstart` took {found["rlbatch"]:.0f} s on two cores, from the command to its end.
            The same runs one after the other on Stable-Baselines3's own class, {PROCESSES} processes at a time, with
            its own `EvalCallback` and nothing else, would take {total:.0f} s: **{total / found["rlbatch"]:.1f} times**
            as long. That is extrapolated from {SEEDS} whole runs of each batch size, below, in processor time of their
            one thread, which other work on the machine lengthens less than it would by the clock, and without the
            loading of the library.
        """),
        table(("batch size", "seconds of a run on Stable-Baselines3"), rows),
        paragraph("Measured and written by `python results/speed/quickstart.py --measure`."),
    ]
    return "\n".join(parts)


def _seconds_of_rlbatch() -> float:
    call = "import sys; from rlbatch.cli.main import run; sys.exit(run(sys.argv[1:]))"
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", call, "run", str(EXPERIMENTS / "quickstart.yaml"), "--out", out, "--jobs", "2"]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


def _seconds_of_sb3(configs: list[RunConfig]) -> list[tuple[int, float]]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn, initializer=_one_thread) as pool:
        return list(zip([config.batch_size for config in configs], pool.map(_train_on_sb3, configs), strict=True))


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def _train_on_sb3(config: RunConfig) -> float:
    """Trains one run as a user of Stable-Baselines3 would; returns the seconds of processor time it took."""
    import gymnasium
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    from rlbatch.training.sb3 import build_model

    model = build_model(config, "cpu", DummyVecEnv([lambda: Monitor(gymnasium.make(config.env_id))]))
    instance = Monitor(gymnasium.make(config.env_id))
    every = config.total_timesteps // config.n_evaluations
    evaluate = EvalCallback(instance, n_eval_episodes=config.n_eval_episodes, eval_freq=every, verbose=0)
    started = time.process_time()
    evaluate_policy(model, instance, config.n_eval_episodes)
    model.learn(config.total_timesteps, callback=evaluate, log_interval=None)
    return time.process_time() - started


def main() -> None:
    """Measures if asked to, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    kept = HOME / "quickstart.json"
    if parser.parse_args().measure:
        kept.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    (HOME / "QUICKSTART.md").write_text(report(json.loads(kept.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
