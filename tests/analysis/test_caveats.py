"""Caveats: runs that are missing stand there by name, with the reason and with what brings them back."""

from __future__ import annotations

from pathlib import Path

from analysis.folders import config, write
from analysis.test_answer import LEVELS, answered, fill

from rlbatch.analysis.caveats import caveats


def test_a_run_whose_rows_were_cut_is_named_with_the_reason_and_what_to_do(tmp_path: Path) -> None:
    root = tmp_path / "known"
    configs = fill(root, LEVELS, seeds=5)
    path = write(root, config(batch_size=64, seed=70), [10.0, 20.0, 30.0, 40.0, 50.0]) / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:1000])
    said = caveats(answered(root, [*configs, config(batch_size=64, seed=70)]))
    place = path.parent.relative_to(tmp_path)
    at = said.index("incomplete: 1 run missing (1 unreadable)")
    assert said[at + 1 : at + 3] == (
        f"missing: {place} unreadable (metrics.jsonl: holds 2 of the 5 evaluations of this finished run)",
        "to have missing runs trained anew, move the folders of unreadable ones away and run the same command again",
    )


def test_of_many_failed_runs_the_first_are_named_and_the_rest_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "known"
    configs = fill(root, LEVELS, seeds=5)
    failed = [config(batch_size=64, seed=seed) for seed in range(70, 80)]
    for own in failed:
        write(root, own, [10.0], "crashed", f"out of luck in {own.seed}")
    said = caveats(answered(root, [*configs, *failed]))
    at = said.index("incomplete: 10 runs missing (10 crashed)")
    named = said[at + 1 : at + 9]
    assert named[0].startswith("missing: known/CartPole-v1/dqn/b00064-")
    assert [line.partition("s0")[2] for line in named] == [f"{n} crashed (out of luck in {n})" for n in range(70, 78)]
    assert said[at + 9 : at + 11] == (
        "missing: 2 more runs",
        "to have missing runs trained anew, run the same command again with --retry-failed",
    )
