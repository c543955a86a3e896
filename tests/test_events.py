"""Event files: what TensorBoard's own loaders read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from rlbatch.events import FILE_VERSION, EventFile


def test_a_row_is_one_event_and_the_file_opens_with_a_start_at_step_0(tmp_path: Path) -> None:
    with EventFile(tmp_path) as events:
        events.add(10, {"a/x": 1.5, "a/y": 2.0})
        events.add(20, {"a/x": 2.5})
    read = list(EventFileLoader(str(events.path)).Load())
    assert [e.WhichOneof("what") for e in read] == ["file_version", "session_log", "summary", "summary"]
    assert read[0].file_version == FILE_VERSION
    assert (read[1].session_log.status, read[1].step) == (1, 0)
    assert [len(e.summary.value) for e in read[2:]] == [2, 1]


def test_what_is_added_is_on_disk_at_once(tmp_path: Path) -> None:
    events = EventFile(tmp_path)
    events.add(1, {"x": 1.0})
    assert len(list(EventFileLoader(str(events.path)).Load())) == 3
    events.close()


def test_a_later_file_replaces_what_came_after_its_start(tmp_path: Path) -> None:
    with EventFile(tmp_path) as first:
        for step in range(8):
            first.add(step, {"x": float(step)})
    with EventFile(tmp_path, start=5) as second:
        for step in range(5, 10):
            second.add(step, {"x": 100.0 + step})
    assert second.path.name > first.path.name
    loaded = EventAccumulator(str(tmp_path), purge_orphaned_data=True)
    loaded.Reload()
    points = (
        [(e.step, e.tensor_proto.float_val[0]) for e in loaded.Tensors("x")]
        if "x" in loaded.Tags()["tensors"]
        else [(e.step, e.value) for e in loaded.Scalars("x")]
    )
    assert points == [(s, float(s)) for s in range(5)] + [(s, 100.0 + s) for s in range(5, 10)]


def test_a_second_file_in_the_same_second_gets_a_later_name(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        with EventFile(tmp_path) as events:
            names.append(events.path.name)
    assert names == sorted(set(names))


def test_neither_torch_nor_a_thread_is_needed() -> None:
    import rlbatch.events

    source = Path(rlbatch.events.__file__).read_text()
    assert "import torch" not in source
    assert "thread" not in source.split('"""')[2]


@pytest.mark.parametrize("step", [0, 10**12])
def test_steps_of_any_size_are_kept(tmp_path: Path, step: int) -> None:
    with EventFile(tmp_path) as events:
        events.add(step, {"x": 1.0})
    assert list(EventFileLoader(str(events.path)).Load())[-1].step == step
