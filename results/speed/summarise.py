"""How fast are stacks beside Stable-Baselines3? Measures nine cases with `rlbatch bench`, and writes them down.

python results/speed/summarise.py --measure
    measures every case on one thread of this machine, then writes cases.json and README.md
python results/speed/summarise.py
    writes README.md from cases.json alone
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from summaries import paragraph, table

HOME = Path(__file__).parent
SECONDS = 5


class Case(NamedTuple):
    """One stack to measure."""

    env_id: str
    net_arch: str
    batch_size: int
    width: int


CASES = (
    Case("CartPole-v1", "[64,64]", 32, 1),
    Case("CartPole-v1", "[64,64]", 32, 32),
    Case("CartPole-v1", "[64,64]", 256, 32),
    Case("CartPole-v1", "[64,64]", 1024, 16),
    Case("CartPole-v1", "[256,256]", 256, 8),
    Case("Pendulum-v1", "[64,64]", 32, 32),
    Case("Pendulum-v1", "[64,64]", 256, 8),
    Case("Pendulum-v1", "[256,256]", 256, 8),
    Case("Pendulum-v1", "[256,256]", 256, 1),
)


def measure(case: Case) -> dict[str, Any]:
    """Returns what `rlbatch bench` says of a case."""
    words = ["--env", case.env_id, "--batch", case.batch_size, "--width", case.width, "--device", "cpu"]
    words += ["--set", f"net_arch={case.net_arch}", "--set", "n_steps=1", "--seconds", SECONDS, "--json"]
    call = "import sys; from rlbatch.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", call, "bench", *map(str, words)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (found,) = json.loads(done.stdout)["cases"]
    return dict(found)


def bound(found: Mapping[str, Any]) -> float:
    """Returns how many times as fast a stack could be whose updates were nothing but matrix products at the peak.

    Acting, environments, storing and logging stay as they were measured.
    """
    spent = found["microseconds"]
    besides = sum(spent[name] for name in ("act", "environment", "store", "logging"))
    products = found["flop_per_update"] / (1e3 * found["peak_gflops"])  # µs
    return float(1e6 / found["sb3_env_steps_per_s"] / (besides + products))


def report(cases: list[tuple[Case, Mapping[str, Any]]]) -> str:
    """Returns the page."""
    rows = []
    for case, found in cases:
        algo = "SAC" if case.env_id == "Pendulum-v1" else "DQN"
        low, high = found["times_sb3_range"]
        spent = found["microseconds"]
        rows.append(
            (
                f"{algo} {case.env_id} {case.net_arch}, batch {case.batch_size}, width {case.width}",
                f"{found['times_sb3']:.3g} ({low:.3g} to {high:.3g})",
                f"{found['times_sb3_with_evaluation']:.3g}",
                f"{bound(found):.3g}",
                f"{found['peak_share']:.0%}",
                *(f"{spent[name]:.3g}" for name in ("act", "environment", "store", "update", "logging", "evaluation")),
            )
        )
    headings = ("case", "times SB3", "with evaluation", "bound", "of peak")
    parts = [
        "# How fast are stacks beside Stable-Baselines3?\n",
        paragraph(f"""
            Env steps per second of all runs of a stack together, divided by those of one run on Stable-Baselines3's own
            class in the same process, both on one thread, one update per env step, one-step returns. The median of five
            stretches, one second each side, and their range. Measured and written by
            `python results/speed/summarise.py --measure`, which calls
            `rlbatch bench --seconds {SECONDS} --set n_steps=1` for each case; the terms are explained in
            [README](../../README.md#how-fast-and-how-wide).
        """),
        table((*headings, "act", "env", "store", "update", "log", "eval"), rows),
        paragraph("""
            *Bound* is what the ratio would be if an update were nothing but its matrix products at the fastest rate
            that this machine multiplies float32 matrices, *of peak* how near updates come to that. The last columns are
            microseconds per env step of one run, the last of them per env step of evaluation.
        """),
    ]
    return "\n".join(parts)


def main() -> None:
    """Measures if asked to, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    kept = HOME / "cases.json"
    if parser.parse_args().measure:
        kept.write_text(json.dumps([measure(case) for case in CASES], indent=1) + "\n", encoding="utf-8")
    found = json.loads(kept.read_text(encoding="utf-8"))
    (HOME / "README.md").write_text(report(list(zip(CASES, found, strict=True))), encoding="utf-8")


if __name__ == "__main__":
    main()
