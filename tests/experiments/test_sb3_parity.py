"""The summary of sb3_parity: verdicts from made-up scores, nothing dropped, the same page from scores.csv alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rlbatch.experiment_file import settings_of
from rlbatch.grid import Request, expand
from rlbatch.paths import run_path
from rlbatch.results import run_record

Row = dict[str, Any]


@pytest.fixture
def document(summaries: ModuleType) -> dict[str, Any]:
    """Fewer seeds than declared: 3 of sb3 and 4 of stacked, in one environment."""
    content: dict[str, Any] = summaries.declaration("sb3_parity")
    content["envs"] = ["CartPole-v1"]
    content["overrides"] = {"CartPole-v1": content["overrides"]["CartPole-v1"]}
    content["seeds"] = ["0..2", "1000..1003"]
    content["exclude"] = [{"engine": "sb3", "seed": "1000..1003"}, {"engine": "stacked", "seed": "0..2"}]
    content["analysis"]["repeat"] = {"sb3": "100..101", "stacked": "200..201"}
    return content


def rows(engine: str, first_seed: int, *areas: float, outcome: str = "ok") -> list[Row]:
    return [
        {"env": "CartPole-v1", "engine": engine, "seed": first_seed + i, "outcome": outcome, "auc": area}
        for i, area in enumerate(areas)
    ]


def close() -> list[Row]:
    return rows("sb3", 0, 300.0, 310.0, 320.0) + rows("stacked", 1000, 300.0, 312.0, 314.0, 316.0)


def test_close_engines_are_equivalent(sb3_parity: ModuleType, document: dict[str, Any]) -> None:
    (made,) = sb3_parity.comparisons(close(), document)
    assert made.interval.estimate == pytest.approx(0.5)
    assert made.margin == pytest.approx(0.1 * (500 - 22.184))
    assert made.verdict == "equivalent"
    text = sb3_parity.report(close(), document)
    # means 310.5 and 310.0, variances 51.667 / 4 and 100 / 3, 3.57 degrees of freedom, t(0.95) 2.22
    assert "| stacked | 4 of 4 | 310.5 | 7.2 | 0.603 | 0.015 |" in text
    assert "| sb3 | 3 of 3 | 310.0 | 10.0 | 0.602 | 0.021 |" in text
    assert "| return | 0.5 | [-14.6, 15.6] | ±47.8 |" in text
    assert "| CartPole-v1 | first | [-0.031, 0.033] | **equivalent** |" in text


def test_the_difference_is_stacked_minus_sb3(sb3_parity: ModuleType, document: dict[str, Any]) -> None:
    scores = rows("sb3", 0, 300.0, 310.0, 320.0) + rows("stacked", 1000, 200.0, 212.0, 214.0, 216.0)
    (made,) = sb3_parity.comparisons(scores, document)
    assert made.interval.estimate == pytest.approx(-99.5)
    assert made.verdict == "not shown"


def test_a_diverged_run_counts_with_low_and_is_named(sb3_parity: ModuleType, document: dict[str, Any]) -> None:
    scores = close()[:-1] + rows("stacked", 1003, 0.0, outcome="diverged")
    (made,) = sb3_parity.comparisons(scores, document)
    assert min(made.areas("stacked")) == 22.184
    assert made.verdict == "not shown"
    assert "Diverged, each counted with an area of 22.184: stacked seeds 1003." in sb3_parity.report(scores, document)


def test_failed_and_absent_runs_leave_the_comparison_incomplete(
    sb3_parity: ModuleType, document: dict[str, Any]
) -> None:
    scores = rows("sb3", 0, 300.0, 310.0) + close()[3:-1] + rows("stacked", 1003, 0.0, outcome="crashed")
    (made,) = sb3_parity.comparisons(scores, document)
    assert made.verdict == "incomplete"
    text = sb3_parity.report(scores, document)
    assert "**incomplete**" in text
    assert "| stacked | 3 of 4 |" in text
    assert "Missing, crashed, 1 in number: stacked seeds 1003." in text
    assert "Missing, no record, 1 in number: sb3 seeds 2." in text


def test_one_engine_alone_makes_a_page_without_an_interval(sb3_parity: ModuleType, document: dict[str, Any]) -> None:
    text = sb3_parity.report(close()[:3], document)
    assert "| CartPole-v1 | first | - | **incomplete** |" in text
    assert "| stacked | 0 of 4 | - | - | - | - |" in text


def test_a_repeat_stands_beside_the_first_result(sb3_parity: ModuleType, document: dict[str, Any]) -> None:
    scores = close()[:-1] + rows("stacked", 1003, 0.0)
    again = rows("sb3", 100, 300.0, 302.0) + rows("stacked", 200, 300.0, 303.0)
    first, repeat = sb3_parity.comparisons(scores + again, document)
    assert (first.verdict, repeat.verdict) == ("not shown", "equivalent")
    assert first == sb3_parity.comparisons(scores, document)[0]
    assert "## CartPole-v1, 30,000 env steps: the repeat" in sb3_parity.report(scores + again, document)


@pytest.fixture
def run_folders(summaries: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Writes folders of finished runs with the declared settings; returns the experiment's folder."""

    def write(areas: dict[int, float], **changed: Any) -> Path:
        declared = settings_of(summaries.declaration("sb3_parity"))
        for run in (r for r in declared if r["env_id"] == "Pendulum-v1" and r["seed"] in areas):
            settings = {f: v for f, v in (run | changed).items() if f not in ("env_id", "seed", "batch_size")}
            (planned,) = expand(Request("Pendulum-v1", batch_sizes=(64,), seeds=(run["seed"],), settings=settings))
            folder = tmp_path / "runs" / run_path(planned.config)
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(json.dumps(run_record(planned.config)))
            final = dict.fromkeys(("best", "drawdown_max", "dispersion", "steps_to_threshold"))
            final |= {"return_mean": -150.0, "auc": areas[run["seed"]]}
            counts = dict.fromkeys(("timesteps", "updates", "samples", "seconds", "attempts"), 1)
            result = {"outcome": "ok", "run_id": planned.config.run_id, "reason": "", "final": final, **counts}
            (folder / "result.json").write_text(json.dumps(result))
        return tmp_path / "runs"

    return write


def test_run_folders_become_a_table_from_which_the_page_can_be_made_again(
    sb3_parity: ModuleType, run_folders: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run_folders({0: -400.25, 1: -410.5, 1000: -390.0, 1001: -405.0})
    text = sb3_parity.summarise([folder], tmp_path)
    assert (tmp_path / "scores.csv").read_text().splitlines() == [
        "env,engine,seed,outcome,auc,return_mean",
        "Pendulum-v1,sb3,0,ok,-400.25,-150.0",
        "Pendulum-v1,sb3,1,ok,-410.5,-150.0",
        "Pendulum-v1,stacked,1000,ok,-390.0,-150.0",
        "Pendulum-v1,stacked,1001,ok,-405.0,-150.0",
    ]
    assert "| sb3 | 2 of 20 | -405.4 |" in text
    assert "Missing, no record, 116 in number: sb3 seeds 2..19; stacked seeds 1002..1099." in text
    (tmp_path / "README.md").unlink()
    assert sb3_parity.summarise([], tmp_path) == text == (tmp_path / "README.md").read_text()


def test_a_run_with_other_settings_is_named_and_left_out(
    sb3_parity: ModuleType, run_folders: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folders({0: -400.0})
    folder = run_folders({1: -100.0}, learning_rate=0.0003)
    sb3_parity.summarise([folder], tmp_path)
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 2
    assert capsys.readouterr().err.startswith("left out, not declared: ")


def test_a_run_that_has_not_ended_is_missing(
    sb3_parity: ModuleType, run_folders: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run_folders({0: -400.0, 1: -410.0})
    next(path for path in folder.rglob("result.json") if "s001" in str(path)).unlink()
    text = sb3_parity.summarise([folder], tmp_path)
    assert "Pendulum-v1,sb3,1,partial,," in (tmp_path / "scores.csv").read_text()
    assert "Missing, partial, 1 in number: sb3 seeds 1." in text


def test_a_folder_that_is_not_there_is_refused_and_nothing_is_written(sb3_parity: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        sb3_parity.summarise([tmp_path / "none"], tmp_path)
    with pytest.raises(ValueError, match="no folder holds a declared run"):
        sb3_parity.summarise([], tmp_path)
    assert list(tmp_path.iterdir()) == []
