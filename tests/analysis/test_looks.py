"""Looks: each state of an experiment that somebody looked at too early is counted once, also by two at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from analysis.folders import run

from rlbatch.analysis.looks import FILE, looks_at, note_confirmation, note_look

CURVE = [0, 10, 20, 40, 60]


def test_a_state_is_counted_once_and_a_new_one_again(tmp_path: Path) -> None:
    assert looks_at(tmp_path, 2) == 0
    before = [run(CURVE), run(CURVE[:2], "partial", seed=1)]
    note_look(tmp_path, before)
    note_look(tmp_path, reversed(before))
    assert looks_at(tmp_path, 2) == 1
    note_look(tmp_path, [run(CURVE), run(CURVE[:3], "partial", seed=1)])
    note_look(tmp_path, before)
    assert looks_at(tmp_path, 2) == 2


def test_a_look_at_finished_runs_counts_once_there_are_more_of_them(tmp_path: Path) -> None:
    note_look(tmp_path, [run(CURVE), run(CURVE, "diverged", seed=1)])
    assert looks_at(tmp_path, 2) == 0
    note_look(tmp_path, [run(CURVE), run(CURVE, "diverged", seed=1), run(CURVE, seed=2)])
    assert [looks_at(tmp_path, 3), looks_at(tmp_path, 4)] == [1, 2]


def test_where_nothing_was_to_be_seen_nobody_looked(tmp_path: Path) -> None:
    note_look(tmp_path, [run(CURVE[:2], "partial"), run([], "planned", seed=1)])
    assert not (tmp_path / FILE).exists()


def test_two_commands_at_a_time_lose_no_look(tmp_path: Path) -> None:
    states = [[run(CURVE), run(CURVE, "partial", seed=number)] for number in range(1, 65)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda state: note_look(tmp_path, state), states))
    assert looks_at(tmp_path, 1) == 64


def test_in_a_folder_that_cannot_be_written_to_no_look_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note_look(tmp_path, [run(CURVE), run(CURVE, "partial", seed=9)])

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr("rlbatch.analysis.looks.os.open", refuse)
    note_look(tmp_path, [run(CURVE), run(CURVE, "partial", seed=1)])
    assert looks_at(tmp_path, 2) == 1


def test_looks_at_a_claim_are_no_looks_at_an_unfinished_experiment(tmp_path: Path) -> None:
    told = [note_confirmation(tmp_path, "a > b", range(6, top)) for top in (8, 11, 11, 8)]
    assert told == [[], [2], [2], []]
    assert note_confirmation(tmp_path, "c > b", range(6, 20)) == []
    assert looks_at(tmp_path, 20) == 0


def test_a_line_that_a_full_disk_cut_off_is_no_look(tmp_path: Path) -> None:
    note_look(tmp_path, [run(CURVE), run(CURVE, "partial", seed=9)])
    with (tmp_path / FILE).open("a") as file:
        file.write('3\n{"at": 1}\n{"state": "ab')
    assert looks_at(tmp_path, 1) == 1


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    other, experiment = tmp_path / "other", tmp_path / "experiment"
    experiment.mkdir()
    other.touch()
    (experiment / FILE).symlink_to(other)
    note_look(experiment, [run(CURVE), run(CURVE, "partial", seed=9)])
    assert other.read_bytes() == b""
