"""Does an experiment survive being killed? Kills it at random moments until it is done, and compares all that it says.

    python tests/launch/kills.py --kills 20 --seed 0

Each moment brings one of: SIGKILL to the worker, to the driver, to both; SIGTERM or Ctrl-C to the driver.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from rlbatch.experiment import Experiment
from rlbatch.grid import PlannedRun, Request, expand
from rlbatch.launch import Interrupted, execute
from rlbatch.results import RunFolder, find_runs

WAYS = ("worker", "driver", "group", "SIGTERM", "SIGINT")
SETTINGS: dict[str, Any] = {"learning_starts": 200, "net_arch": [16], "n_eval_episodes": 3, "log_points": 30}
_EARLY = 0.25
"""Share of the moments that may come before anything trains."""
_PATIENCE_S = 300.0


def plan(steps: int) -> list[PlannedRun]:
    """Two stacks: DQN with two runs, and SAC with one."""
    settings = SETTINGS | {"total_timesteps": steps}
    both = expand(Request("CartPole-v1", batch_sizes=(32,), seeds=(0, 1), settings=settings))
    return both + expand(Request("Pendulum-v1", batch_sizes=(32,), settings=settings | {"total_timesteps": steps // 2}))


def train(folder: Path, steps: int) -> int:
    """Trains what is missing, as a driver; returns its exit code."""
    try:
        outcomes = execute(plan(steps), Experiment(folder), lambda message: None, retry_failed=True, checkpoint_s=0.2)
    except Interrupted as stop:
        return stop.exit_code
    return 0 if all(outcome.result["outcome"] == "ok" for outcome in outcomes) else 3


def torment(
    folder: Path,
    steps: int,
    ways: list[str],
    rng: random.Random,
    *,
    early_s: float = 6.0,
    late_s: float = 2.0,
    ends_here: bool = False,
) -> Counter[str]:
    """Trains with a blow of each kind, at a random moment each; returns how often each came before the end.

    Args:
        folder: where to train.
        steps: env steps of the longer runs.
        ways: the kinds, in order.
        rng: of the moments.
        early_s: some blows come at most so long after a start, which is mostly loading.
        late_s: the others at most so long after rows were written.
        ends_here: whether what is left after the last blow is trained by this process.
    """
    dealt: Counter[str] = Counter()
    left, last = list(ways), ""
    while left or not ends_here:
        with subprocess.Popen([sys.executable, __file__, "--train", str(folder), "--steps", str(steps)]) as driver:
            while left:
                early = rng.random() < _EARLY
                if not early:
                    _until_it_writes(driver, folder)
                if _waits(driver, rng.uniform(0.0, early_s if early else late_s)):
                    break
                dealt[left[0]] += 1
                last = left.pop(0)
                _strike(driver, last)
            code = driver.wait(_PATIENCE_S)
        if code == 0:
            return dealt
        # a run whose worker was killed has crashed or never began; a signal may come before its handler
        if code not in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 130, 143) and last != "worker":
            raise RuntimeError(f"the driver ended with exit code {code}")
    train(folder, steps)
    return dealt


def differences(one: Path, other: Path) -> list[str]:
    """Returns in what two experiments differ, clocks and attempts aside."""
    a, b = ({str(run.path.relative_to(root)): run for run in find_runs(root)} for root in (one, other))
    if set(a) != set(b):
        return [f"runs: {sorted(set(a) ^ set(b))}"]
    found = []
    for name in a:
        found += [f"{name}: {what}" for what, same in compare(a[name], b[name]).items() if not same]
    left = [path.name for path in other.iterdir() if path.name == "_checkpoints"]
    return found + left


def compare(one: RunFolder, other: RunFolder) -> dict[str, bool]:
    """Tells of each part of two runs' records whether it is the same, clocks and attempts aside."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # no driver needs it

    rows = [[_without_clocks(row) for row in run.rows()] for run in (one, other)]
    results = [_without_clocks(run.result() or {}) for run in (one, other)]
    steps = [row["timesteps"] for row in rows[1] if row["kind"] == "eval"]
    events = EventAccumulator(str(other.path)).Reload()
    return {
        "rows": rows[0] == rows[1],
        "result": results[0] == results[1],
        "weights": one.policy_path.read_bytes() == other.policy_path.read_bytes(),
        "TensorBoard": [event.step for event in events.Scalars("eval/return_mean")] == steps,
    }


def _without_clocks(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in ("seconds", "attempts") and not k.startswith("cost/")}


def _waits(driver: subprocess.Popen[bytes], seconds: float) -> bool:
    """Waits so long; tells whether the driver ended meanwhile."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(seconds)
        return True
    return False


def _until_it_writes(driver: subprocess.Popen[bytes], folder: Path) -> None:
    """Waits for rows of this attempt, or the driver's end."""
    before = _rows(folder)
    while _rows(folder) <= before and driver.poll() is None:
        time.sleep(0.02)
        before = min(before, _rows(folder))


def _rows(folder: Path) -> int:
    """Returns the bytes of all rows."""
    total = 0
    for path in folder.glob("[!_]*/*/*/*/metrics.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _strike(driver: subprocess.Popen[bytes], way: str) -> None:
    workers = workers_of(driver)
    if way in ("worker", "group"):
        for worker in workers:
            worker.kill()
    if way in ("driver", "group"):
        driver.kill()
    if way in ("SIGTERM", "SIGINT"):
        driver.send_signal(signal.Signals[way])
    if way != "worker":
        driver.wait(_PATIENCE_S)
        psutil.wait_procs(workers, timeout=_PATIENCE_S)


def workers_of(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Returns the worker processes of a driver; one that ends meanwhile is none, nor is what else the driver starts."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(driver.pid).children():
            with contextlib.suppress(psutil.Error):
                if "rlbatch.launch.worker" in child.cmdline():
                    found.append(child)
    return found


def main() -> None:
    """Runs the trial of the command line, or the driver that it kills."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--train", type=Path)
    given = parser.parse_args()
    if given.train is not None:
        sys.exit(train(given.train, given.steps))
    rng = random.Random(given.seed)  # noqa: S311 - moments
    ways = [rng.choice(WAYS) for _ in range(given.kills)]
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"seed {given.seed}\n")
        train(Path(folder) / "calm", given.steps)
        dealt = torment(Path(folder) / "tormented", given.steps, ways, rng)
        found = differences(Path(folder) / "calm", Path(folder) / "tormented")
        runs = find_runs(Path(folder) / "tormented")
        attempts = [(run.result() or {})["attempts"] for run in runs]
        resumed = sum(one["from"] > 0 for run in runs for one in run.record().get("attempts", []))
    sys.stdout.write(
        json.dumps({"dealt": dealt, "attempts": attempts, "resumed": resumed, "differences": found}) + "\n"
    )
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
