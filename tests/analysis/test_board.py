"""The tree of means: what TensorBoard's readers find in it, and that it is made anew, whole, and nowhere else."""

from __future__ import annotations

import errno
import itertools
import shutil
from pathlib import Path

import pytest
from boards import config_of, extend, record
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata

from rlbatch.analysis import board
from rlbatch.analysis.board import Board, experiments_in
from rlbatch.experiment import Experiment
from rlbatch.paths import run_path
from rlbatch.recorder import Recorder
from rlbatch.results import RunFolder

ARM = "_aggregate/CartPole-v1/dqn/b00032"


def points(experiment: Path, what: str = "mean", arm: str = ARM, axis: str = "env_steps") -> dict[int, float]:
    """Returns what TensorBoard reads of an arm: step -> value."""
    tag = f"return_by_{axis}/{experiment.name}/{Path(arm).parts[1]}/{what}"
    return {event.step: event.value for event in EventAccumulator(str(experiment / arm)).Reload().Scalars(tag)}


def files(experiment: Path) -> dict[Path, int]:
    """Returns every file of the tree with its inode."""
    return {path: path.stat().st_ino for path in (experiment / "_aggregate").rglob("*") if path.is_file()}


def compared(experiment: Path) -> bytes:
    """Returns the one message that says what the HParams page compares."""
    (folder,) = (experiment / "_aggregate").glob("compared-*")
    return bytes(EventAccumulator(str(folder)).Reload().PluginTagToContent("hparams")[metadata.EXPERIMENT_TAG])


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Two arms of two seeds each."""
    for batch_size in (32, 64):
        for seed in range(2):
            record(tmp_path / "x", [0.0, 10.0 * batch_size, 3.0, 4.0, 5.0 + 2 * seed], batch_size=batch_size, seed=seed)
    return tmp_path / "x"


def test_an_arm_is_one_run_with_mean_interval_and_seeds(experiment: Path) -> None:
    assert Board(experiment).refresh() == []
    assert points(experiment) == {0: 0.0, 250: 320.0, 500: 3.0, 750: 4.0, 1000: 6.0}
    assert points(experiment, "seeds") == dict.fromkeys((0, 250, 500, 750, 1000), 2.0)
    assert points(experiment, "lower")[1000] == pytest.approx(6.0 - 12.706204736, rel=1e-6)  # t of 1 degree of freedom
    assert list(points(experiment, axis="samples")) == [0, 150 * 32, 400 * 32, 650 * 32, 900 * 32]


def test_there_is_one_layout_and_one_experiment_message(experiment: Path) -> None:
    Board(experiment).refresh()
    (layout,) = EventAccumulator(str(experiment / "_aggregate")).Reload().Tensors("custom_scalars__config__")
    assert len(layout_pb2.Layout.FromString(layout.tensor_proto.string_val[0]).category[0].chart) == 2
    infos = metadata.parse_experiment_plugin_data(compared(experiment)).hparam_infos
    assert [info.name for info in infos] == ["batch_size", "learning_rate"]
    arms = [path for path in files(experiment) if path.parent.name.startswith("b0")]
    assert len(arms) == 2
    assert not any(EventAccumulator(str(path)).Reload().Tags()["tensors"] for path in arms)


def test_several_experiments_share_what_the_hparams_page_compares(experiment: Path) -> None:
    record(experiment.with_name("y"), [1.0], env_id="Acrobot-v1", batch_size=128)
    assert Board(experiment.parent).refresh() == []
    assert experiments_in(experiment.parent) == [Experiment(experiment), Experiment(experiment.with_name("y"))]
    assert compared(experiment) == compared(experiment.with_name("y"))
    found = metadata.parse_experiment_plugin_data(compared(experiment))
    infos = {info.name: list(info.domain_discrete) for info in found.hparam_infos}
    assert infos["batch_size"] == [32, 64, 128]
    assert infos["env_id"] == ["Acrobot-v1", "CartPole-v1"]


def test_it_is_made_anew_and_never_appended_to(experiment: Path) -> None:
    """Of each run the file before is kept for readers that are still at it."""
    generations = []
    for _ in range(4):
        Board(experiment).refresh()
        generations.append(files(experiment))
    assert [len(found) for found in generations] == [4, 8, 8, 8]  # two arms, the layout, and what is compared
    for earlier, later in itertools.pairwise(generations[1:]):
        kept = set(earlier) & set(later)
        assert len(kept) == 4
        assert all(earlier[path] == later[path] for path in kept)
        assert min(path.name for path in set(later) - kept) > max(path.name for path in kept)
    assert points(experiment) == {0: 0.0, 250: 320.0, 500: 3.0, 750: 4.0, 1000: 6.0}


def test_what_is_compared_has_a_run_of_its_own_for_each_content(experiment: Path) -> None:
    """TensorBoard keeps the first message of a run."""
    shown = Board(experiment)
    shown.refresh()
    (before,) = (experiment / "_aggregate").glob("compared-*")
    record(experiment, [1.0], batch_size=128)
    shown.refresh()
    infos = metadata.parse_experiment_plugin_data(compared(experiment)).hparam_infos
    assert list(infos[0].domain_discrete) == [32, 64, 128]
    assert not before.exists()


def test_a_reader_that_was_there_before_has_the_new_points_and_no_others(experiment: Path) -> None:
    Board(experiment).refresh()
    reader = EventAccumulator(str(experiment / ARM)).Reload()
    record(experiment, [9.0, 9.0], None, batch_size=32, seed=2)
    Board(experiment).refresh()
    reader.Reload()
    for axis, steps in (("env_steps", [0, 250, 500, 750, 1000]), ("samples", [0, 4800, 12800, 20800, 28800])):
        found = reader.Scalars(f"return_by_{axis}/x/CartPole-v1/mean")
        assert [event.step for event in found] == steps
        assert [event.value for event in found] == pytest.approx([3.0, 649 / 3, 3.0, 4.0, 6.0])


def test_what_has_not_changed_is_not_written_again(experiment: Path) -> None:
    shown = Board(experiment)
    shown.refresh()
    before = files(experiment)
    shown.refresh()
    assert files(experiment) == before
    record(experiment, [9.0] * 5, batch_size=64, seed=2)
    shown.refresh()
    changed = {path.parent.name for path in set(files(experiment)) - set(before)}
    assert changed == {"b00064"}


def test_runs_that_train_are_followed(experiment: Path) -> None:
    config = config_of(batch_size=128)
    recorder = Recorder(RunFolder(experiment / run_path(config)), config, None)
    arm = ARM.replace("b00032", "b00128")
    shown = Board(experiment)
    extend(recorder, config, [1.0])
    shown.refresh()
    assert points(experiment, arm=arm) == {0: 1.0}
    extend(recorder, config, [2.0, 3.0], begin=1)
    shown.refresh()
    assert points(experiment, arm=arm) == {0: 1.0, 250: 2.0, 500: 3.0}
    recorder.close()


def test_arms_that_are_gone_leave_nothing(experiment: Path) -> None:
    shown = Board(experiment)
    shown.refresh()
    for path in experiment.glob("CartPole-v1/dqn/b00032*"):
        shutil.rmtree(path)
    shown.refresh()
    assert {path.parent.name for path in files(experiment)} == {
        "_aggregate",
        "b00064",
        *(path.name for path in (experiment / "_aggregate").glob("compared-*")),
    }
    assert not (experiment / ARM).exists()


def test_what_was_removed_by_hand_comes_back(experiment: Path) -> None:
    shown = Board(experiment)
    shown.refresh()
    shutil.rmtree(experiment / "_aggregate")
    shown.refresh()
    assert points(experiment)[1000] == 6.0


def test_what_a_kill_left_half_written_goes_and_tensorboard_never_reads_it(experiment: Path) -> None:
    Board(experiment).refresh()
    half = experiment / ARM / ".12345.part"
    half.write_bytes(b"half")
    assert "tfevents" not in half.name
    Board(experiment).refresh()
    assert not half.exists()


def test_a_reader_sees_the_old_file_or_the_new_one(experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the new file is being written, it has no name that TensorBoard reads."""
    Board(experiment).refresh()
    seen = []
    write = board.EventFile.add_summary
    before = {path.name for path in files(experiment)}

    def spy(self: board.EventFile, *words: object) -> None:
        write(self, *words)  # type: ignore[arg-type]
        seen.append({path.name for path in self.path.parent.glob("*tfevents*")})

    monkeypatch.setattr(board.EventFile, "add_summary", spy)
    Board(experiment).refresh()
    assert len(seen) == 2 * 10 + 2
    assert all(names and names <= before for names in seen)


def test_runs_outside_the_plan_are_not_averaged(experiment: Path) -> None:
    planned = [config_of(batch_size=32, seed=seed) for seed in range(2)]
    Experiment(experiment).add_plan(planned, [])
    assert Board(experiment).refresh() == []
    assert {path.parent.name for path in files(experiment)} == {
        "_aggregate",
        "b00032",
        *(path.name for path in (experiment / "_aggregate").glob("compared-*")),
    }


def test_a_run_that_trains_on_a_cluster_is_found_where_it_got_furthest(experiment: Path) -> None:
    config = config_of(batch_size=32, seed=2)
    Experiment(experiment).add_plan([*(config_of(batch_size=32, seed=s) for s in range(2)), config], [])
    for attempt, heights in (("1", [3.0] * 2), ("2", [3.0] * 4)):
        record(experiment / "_attempts/stack" / attempt, heights, None, batch_size=32, seed=2)
    Board(experiment).refresh()
    assert points(experiment, "seeds") == {0: 3.0, 250: 3.0, 500: 3.0, 750: 3.0, 1000: 2.0}


def test_a_folder_that_cannot_be_written_to_is_told_in_one_line(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    record(experiment.with_name("y"), [1.0])
    monkeypatch.setattr(Path, "mkdir", refuse)
    shown = Board(experiment.parent)
    (note,) = shown.refresh()
    assert (
        note == f"no means over seeds of {experiment} and 1 more: _aggregate cannot be written: Read-only file system"
    )
    assert not shown.means
    assert not (experiment / "_aggregate").exists()


def test_what_cannot_be_read_is_told_and_the_rest_is_shown(experiment: Path) -> None:
    record(experiment, [1.0], "crashed", batch_size=32, seed=5)
    (experiment / run_path(config_of(batch_size=32, seed=0)) / "config.json").write_text("{")
    record(experiment.with_name("y"), [1.0])
    (experiment.with_name("y") / "experiment.yaml").write_text("plans: 3")
    unreadable, failed, other = Board(experiment.parent).refresh()
    assert unreadable.startswith(f"{experiment}: 1 run cannot be read: ")
    assert failed == f"{experiment}: the means are without runs that failed: 1 crashed"
    assert other.startswith(f"no means over seeds of {experiment.with_name('y')}: ")
    assert points(experiment, "seeds")[0] == 1.0
    assert not (experiment.with_name("y") / "_aggregate").exists()


@pytest.mark.parametrize("place", ["_aggregate", "_aggregate/CartPole-v1", f"{ARM}/events.out.tfevents.1.x"])
def test_nothing_is_written_or_removed_behind_a_link(experiment: Path, tmp_path: Path, place: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "events.out.tfevents.1.x").write_text("not ours")
    link = experiment / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    (note,) = Board(experiment).refresh()
    assert "holds links" in note
    assert [path.name for path in elsewhere.rglob("*")] == ["events.out.tfevents.1.x"]


def test_below_an_experiment_and_without_runs_there_is_nothing_to_show(experiment: Path) -> None:
    (experiment.parent / "empty").mkdir()
    for folder in (experiment / "CartPole-v1", experiment.parent / "empty"):
        shown = Board(folder)
        assert shown.refresh() == []
        assert not shown.means
    assert not list(experiment.parent.rglob("_aggregate"))


def test_before_the_first_evaluation_there_are_no_charts(tmp_path: Path) -> None:
    record(tmp_path / "x", [], None, batch_size=32)
    shown = Board(tmp_path / "x")
    assert shown.refresh() == []
    assert not shown.means
    record(tmp_path / "x", [1.0], None, batch_size=32, seed=1)
    shown.refresh()
    assert shown.means == {"CartPole-v1": 1}


def test_one_run_is_shown_without_an_interval(tmp_path: Path) -> None:
    record(tmp_path / "x", [1.0, 2.0], batch_size=32)
    Board(tmp_path).refresh()
    assert points(tmp_path / "x") == {0: 1.0, 250: 2.0}


def test_odd_names_are_kept_in_folders_of_their_own(tmp_path: Path) -> None:
    for env_id in ("my_env:Line-v0", "ALE/Pong-v5", "A b+(c)?-v0"):
        record(tmp_path / "x", [1.0], env_id=env_id)
    assert Board(tmp_path).refresh() == []
    arms = {
        path.name for path in (tmp_path / "x/_aggregate").iterdir() if path.is_dir() and "compared-" not in path.name
    }
    assert arms == {"my_env++Line-v0", "ALE+Pong-v5", "A b+(c)?-v0"}
