"""The recorder: rows reach both files at once, live scores are added, the result comes last."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import api_pb2, metadata

from rlbatch import curves
from rlbatch.analysis.stability import stability_of
from rlbatch.config import RunConfig
from rlbatch.errors import TemporaryError
from rlbatch.paths import run_path
from rlbatch.recorder import Recorder, record_crash, verify
from rlbatch.results import RunFolder
from rlbatch.rows import Ending, Row

CONFIG = RunConfig.build(env_id="CartPole-v1", algo="dqn")


def recorder(path: Path) -> Recorder:
    return Recorder(RunFolder(path), CONFIG, 5.0, notes=[])


def evaluation(timesteps: int, *returns: float) -> Row:
    values = {"eval/return_mean": float(np.mean(returns))}
    return Row("eval", timesteps, timesteps, 64 * timesteps, 1.0, values, returns, [1] * len(returns))


def ending(outcome: str = "ok", **known: Any) -> Ending:
    return Ending(outcome, "", 30, 20, 1280, 1.5, **known)


def test_rows_and_events_hold_the_same_numbers(tmp_path: Path) -> None:
    record = recorder(tmp_path)
    record.emit(Row("train", 5, 1, 64, 0.1, {"update/loss": 0.5, "update/td_error": None}))
    record.emit(evaluation(10, 1.0, 3.0))
    record.close()
    (path,) = tmp_path.glob("events.out.tfevents.*")
    session, *events = [e for e in EventFileLoader(str(path)).Load() if e.WhichOneof("what") == "summary"]
    assert [v.tag for v in session.summary.value] == ["_hparams_/session_start_info"]
    rows = list(RunFolder(tmp_path).rows())
    assert [e.step for e in events] == [row["timesteps"] for row in rows] == [5, 10]
    for event, row in zip(events, rows, strict=True):
        shown = {v.tag: v.tensor.float_val[0] for v in event.summary.value}
        written = {tag: value for tag, value in row.items() if "/" in tag and value is not None}
        assert shown == pytest.approx(written)


def sessions(path: Path) -> dict[str, Any]:
    """Returns what TensorBoard's HParams backend reads of a run: message -> its content."""
    content = EventAccumulator(str(path)).Reload().PluginTagToContent("hparams")
    return {
        "start": metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG]),
        "end": metadata.parse_session_end_info_plugin_data(content[metadata.SESSION_END_INFO_TAG])
        if metadata.SESSION_END_INFO_TAG in content
        else None,
    }


def test_a_run_is_a_session_of_its_arm_from_the_start(tmp_path: Path) -> None:
    config = RunConfig.build(env_id="CartPole-v1", algo="dqn", gamma=0.9)
    record = Recorder(RunFolder(tmp_path), config, None, origins={"gamma": "--set"})
    session = sessions(tmp_path)
    assert session["start"].group_name == str(run_path(config).parent)
    assert session["start"].hparams["gamma"].number_value == 0.9
    assert session["start"].hparams["batch_size"].number_value == 32
    assert session["end"] is None
    record.close()


@pytest.mark.parametrize(("outcome", "status"), [("ok", "SUCCESS"), ("diverged", "FAILURE")])
def test_a_finished_run_ends_its_session_with_a_status(tmp_path: Path, outcome: str, status: str) -> None:
    recorder(tmp_path).finish(ending(outcome))
    assert api_pb2.Status.Name(sessions(tmp_path)["end"].status) == f"STATUS_{status}"


def test_live_scores_are_those_of_the_curve_so_far(tmp_path: Path) -> None:
    record = recorder(tmp_path)
    record.emit(evaluation(0, 1.0, 1.0))
    row = record.emit(evaluation(10, 3.0, 5.0))
    record.close()
    assert row.values["efficiency/auc"] == pytest.approx(2.5)
    assert row.values["efficiency/best"] == 4.0
    assert row.values["stability/drawdown"] == 0.0
    assert row.values["stability/dispersion"] is None
    assert row.values["efficiency/steps_to_threshold"] is None


def test_the_result_scores_the_whole_curve(tmp_path: Path) -> None:
    record = recorder(tmp_path)
    for step, height in ((0, 1.0), (10, 6.0), (20, 7.0), (30, 8.0)):
        record.emit(evaluation(step, height, height))
    result = record.finish(ending(policy={"w": np.ones(3, np.float32)}))
    assert result == RunFolder(tmp_path).result()
    assert result["final"] == {
        "return_mean": 8.0,
        "auc": pytest.approx((35 + 65 + 75) / 30),
        "best": 8.0,
        "drawdown_max": 0.0,
        "dispersion": pytest.approx(np.std([5, 1, 1], ddof=1)),
        "steps_to_threshold": 10.0,
    }
    assert (result["outcome"], result["attempts"], result["run_id"]) == ("ok", 1, CONFIG.run_id)
    assert safetensors.numpy.load_file(RunFolder(tmp_path).policy_path)["w"].tolist() == [1, 1, 1]


def test_dispersion_is_that_of_the_analysis_however_often_a_run_is_evaluated(tmp_path: Path) -> None:
    config = RunConfig.build(env_id="CartPole-v1", algo="dqn", n_evaluations=40)
    record = Recorder(RunFolder(tmp_path), config, None)
    returns = np.random.default_rng(0).normal(100.0, 30.0, (41, 10))
    rows = [record.emit(evaluation(step, *episodes)) for step, episodes in enumerate(returns)]
    told = record.finish(ending())["final"]["dispersion"]
    assert [row.values["stability/dispersion"] for row in rows[:4]] == [None] * 4
    assert rows[9].values["stability/dispersion"] == pytest.approx(curves.dispersion(returns[:9:2]))
    assert rows[-1].values["stability/dispersion"] == told
    assert told == pytest.approx(stability_of(returns[None], 1.0, None)["dispersion"][0])
    assert told != pytest.approx(curves.dispersion(returns, planned=20))


def test_a_diverged_run_keeps_its_evaluations_and_has_no_area(tmp_path: Path) -> None:
    record = recorder(tmp_path)
    record.emit(evaluation(0, 2.0, 2.0))
    bad = {"timesteps": 7, "where": "loss"}
    result = record.finish(ending("diverged", first_nonfinite=bad, evidence="why"))
    assert result["final"]["return_mean"] == 2.0
    assert result["final"]["auc"] is None
    assert result["first_nonfinite"] == bad
    assert RunFolder(tmp_path).error_path.read_text() == "why"
    assert not RunFolder(tmp_path).policy_path.exists()


def test_a_new_attempt_starts_clean_and_is_counted(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.emit(evaluation(0, 1.0, 2.0))
    first.close()
    second = recorder(tmp_path)
    assert list(RunFolder(tmp_path).rows()) == []
    assert len(list(tmp_path.glob("events.*"))) == 1
    assert second.finish(ending())["attempts"] == 2


def test_a_full_disk_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = recorder(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record._events, "add", full)
    with pytest.raises(TemporaryError, match="disk is full") as caught:
        record.emit(evaluation(0, 1.0))
    record.close()
    assert caught.value.exit_code == 75


def test_a_crash_is_recorded_with_how_far_the_run_came(tmp_path: Path) -> None:
    record = recorder(tmp_path)
    record.emit(evaluation(10, 1.0, 2.0))
    result = record_crash(RunFolder(tmp_path), CONFIG, "crashed", "its process was killed by SIGKILL", "the log")
    assert (result["outcome"], result["timesteps"], result["updates"]) == ("crashed", 10, 10)
    assert result["final"]["return_mean"] == 1.5
    assert result["final"]["auc"] is None
    assert RunFolder(tmp_path).status() == "crashed"
    assert json.loads(RunFolder(tmp_path).config_path.read_text())["attempt"] == 1
    assert sessions(tmp_path)["end"].status == api_pb2.STATUS_FAILURE
    assert [e.step for e in EventAccumulator(str(tmp_path)).Reload().Scalars("eval/return_mean")] == [10]
    record.close()


def test_a_record_goes_on_at_a_mark_and_forgets_what_came_after_it(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.emit(evaluation(0, 1.0, 1.0))
    first.emit(evaluation(10, 3.0, 3.0))
    mark = first.mark() | {"timesteps": 12}
    first.emit(evaluation(20, 100.0, 100.0))
    first.close()
    RunFolder(tmp_path).error_path.write_text("of an ending that was never written")
    assert verify(RunFolder(tmp_path), mark)
    second = Recorder(RunFolder(tmp_path), CONFIG, 5.0, start=mark, remarks=["why"], notes=["not these"])
    assert [row["timesteps"] for row in RunFolder(tmp_path).rows()] == [0, 10]
    assert second.mark() | {"timesteps": 12} == mark
    row = second.emit(evaluation(20, 5.0, 5.0))
    assert row.values["efficiency/best"] == 5.0
    assert second.finish(ending())["attempts"] == 2
    record = RunFolder(tmp_path).record()
    assert record["notes"] == []
    assert record["attempts"] == [{"attempt": 2, "from": 12, "notes": ["why"]}]
    assert not RunFolder(tmp_path).error_path.exists()
    *_, newest = sorted(tmp_path.glob("events.*"))
    (start,) = [e.step for e in EventFileLoader(str(newest)).Load() if e.WhichOneof("what") == "session_log"]
    assert start == 13
    session = sessions(tmp_path)
    assert session["start"].group_name == str(run_path(CONFIG).parent)
    assert session["end"].status == api_pb2.STATUS_SUCCESS


def test_rows_that_are_not_those_of_a_mark_are_seen(tmp_path: Path) -> None:
    record, folder = recorder(tmp_path), RunFolder(tmp_path)
    record.emit(evaluation(0, 1.0, 1.0))
    mark = record.mark()
    record.close()
    content = folder.metrics_path.read_bytes()
    for damaged in (content[:-1], b"", content.replace(b"1.0", b"2.0", 1)):
        folder.metrics_path.write_bytes(damaged)
        assert not verify(folder, mark)
    folder.metrics_path.write_bytes(content + b'{"kind": "tra')
    assert verify(folder, mark)
    folder.metrics_path.unlink()
    assert not verify(folder, mark)
