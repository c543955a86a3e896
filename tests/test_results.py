"""Results: the run folder's rows and status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlbatch.config import RunConfig
from rlbatch.errors import InputError, RefusedError
from rlbatch.results import RunFolder, find_runs, run_record, write_bytes, write_json
from rlbatch.rows import Row

RESULT: dict[str, Any] = {
    **dict.fromkeys(("run_id", "reason", "timesteps", "updates", "samples", "seconds", "attempts"), 0),
    "outcome": "ok",
    "final": dict.fromkeys(("return_mean", "auc", "best", "drawdown_max", "dispersion", "steps_to_threshold"), 0),
}


def config(**values: Any) -> RunConfig:
    return RunConfig.build(env_id="CartPole-v1", algo="dqn", **values)


def started(path: Path, **values: Any) -> RunFolder:
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "config.json", run_record(config(**values)))
    return RunFolder(path)


def test_status_follows_the_files(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert run.status() == "planned"
    started(run.path)
    assert run.status() == "partial"
    write_json(run.result_path, RESULT | {"outcome": "diverged"})
    assert run.status() == "diverged"


def test_rows_skip_a_torn_last_line_and_name_a_bad_one(tmp_path: Path) -> None:
    run = started(tmp_path)
    lines = [Row("train", 1, 0, 0, 0.0, {}).encode(), Row("eval", 2, 0, 0, 0.0, {"eval/return_mean": 1.0}).encode()]
    run.metrics_path.write_text("".join([*lines, lines[0][:20]]))
    assert [row["timesteps"] for row in run.rows()] == [1, 2]
    assert [row["timesteps"] for row in run.rows("eval")] == [2]
    for bad in ("rubbish", "[1]", '{"kind": "train", "timesteps": 1}', '{"kind": "eval", "timesteps": 1}'):
        run.metrics_path.write_text(f"{lines[0]}{bad}\n")
        with pytest.raises(InputError, match=r"metrics\.jsonl:2"):
            list(run.rows())


@pytest.mark.parametrize("field", ["config", "run_id", "schema"])
def test_a_config_that_was_changed_is_refused(tmp_path: Path, field: str) -> None:
    run = started(tmp_path)
    record = json.loads(run.config_path.read_text())
    record[field] = {"config": record["config"] | {"seed": 9}, "run_id": "0" * 16, "schema": 2}[field]
    run.config_path.write_text(json.dumps(record))
    with pytest.raises(RefusedError):
        run.record()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema": 1}', '{"schema": 1, "config": {"algo": "x"}}'])
def test_rubbish_for_a_config_is_an_error_of_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises((InputError, RefusedError)) as caught:
        RunFolder(tmp_path).record()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"outcome": "splendid"}, "splendid"), ({"final": {}}, "lacks return_mean"), ({"final": 1}, "final")],
)
def test_a_result_that_was_changed_is_an_error_of_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    run = started(tmp_path)
    write_json(run.result_path, RESULT | change)
    with pytest.raises(InputError, match=said):
        run.result()
    write_json(run.result_path, {"outcome": "ok"})
    with pytest.raises(InputError, match="lacks run_id"):
        run.result()


def test_runs_are_found_below_a_folder_but_not_in_its_own_corners(tmp_path: Path) -> None:
    started(tmp_path / "exp" / "b")
    started(tmp_path / "exp" / "a")
    started(tmp_path / "exp" / "_logs" / "c")
    started(tmp_path / "exp" / ".hidden")
    assert [run.path.name for run in find_runs(tmp_path)] == ["a", "b"]


def test_a_write_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x"
    write_bytes(target, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="space"):
        write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_progress_is_that_of_the_last_whole_row(tmp_path: Path) -> None:
    run = started(tmp_path, total_timesteps=1_000)
    assert (run.last_train_row(), run.progress()) == (None, 0.0)
    counts = {"updates": 1, "samples": 1, "seconds": 1.0}
    lines = [json.dumps({"kind": "train", "timesteps": steps, **counts}) for steps in (100, 250)]
    run.metrics_path.write_text("\n".join(lines) + '\n{"kind": "eval", "timesteps": 900}\n{"kind": "train", "time')
    assert run.last_train_row() == json.loads(lines[1])
    assert run.progress() == 0.25
    episodes = json.dumps({"kind": "eval", "timesteps": 300, **counts, "returns": [1.0] * 100_000})
    run.metrics_path.write_text("\n".join([*lines, episodes, ""]))
    assert run.last_train_row() == json.loads(lines[1])
    for rowless in ("", "\n", episodes + "\n", lines[0]):
        run.metrics_path.write_text(rowless)
        assert run.last_train_row() is None
    run.metrics_path.write_text('{"kind": "train", x}\n')
    with pytest.raises(InputError, match="its last train row is not one"):
        run.last_train_row()
