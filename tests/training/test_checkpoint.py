"""Checkpoints: a stack that was stopped anywhere goes on to the same bits, and a damaged checkpoint is never used."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from training.runs import ODD, SEVERAL, Reports, differing, dqn, ending_of, mixed_dqn, mixed_sac, numbers, sac

from rlbatch.config import RunConfig
from rlbatch.rows import Ending, Row
from rlbatch.training import checkpoint, checkpoint_files, episodes, stacked
from rlbatch.training import stack as stack_module
from rlbatch.training.checkpoint import Checkpoints
from rlbatch.training.checkpoint_files import Damaged, Kept, kept_in, read
from rlbatch.training.frame_replay import FrameReplay
from rlbatch.training.instances import Instances
from rlbatch.training.stack import Stack
from rlbatch.training.state import Segment, State, select


class Keeper(NamedTuple):
    """Where a test keeps its checkpoints, and what was noted of them."""

    folder: Path
    notes: list[str]

    def newest(self) -> Kept:
        return kept_in(self.folder)[0][0]

    def open(self, start: Kept | None = None, run_ids: Sequence[str] = (), **settings: Any) -> Checkpoints:
        known: dict[str, Any] = {"device": "cpu", "mark": lambda run_id: {}, "interval_s": 1e9}
        known["resume"] = None if start is None else read(start, run_ids)
        return Checkpoints(self.folder, start=start, note=self.notes.append, **known | settings)


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path / "kept", [])


def train(
    configs: Sequence[RunConfig], checkpoints: Checkpoints | None, until: int | None = None, env_workers: int = 0
) -> list[Reports]:
    """Every run's reports, up to a number of env steps at which training stops."""
    reports: list[Reports] = [[] for _ in configs]
    stacked.train(
        configs,
        lambda run, report: reports[run].append(report),
        lambda runs, steps: until is None or steps < until,
        device="cpu",
        env_workers=env_workers,
        modules=("probes",) if env_workers else (),
        checkpoints=checkpoints,
    )
    return reports


def train_in_parts(
    configs: Sequence[RunConfig], stops: Sequence[int], keeper: Keeper, env_workers: int = 0
) -> list[Reports]:
    """The reports of a training that stops again and again, and goes on from its checkpoint each time."""
    run_ids = [config.run_id for config in configs]
    told: list[Reports] = [[] for _ in configs]
    start: Kept | None = None
    for until in (*stops, None):
        for run, part in enumerate(train(configs, keeper.open(start, run_ids), until, env_workers)):
            told[run] += part
        start = None if until is None else keeper.newest()
    return told


SHORT: dict[str, Any] = {"total_timesteps": 200, "learning_starts": 60, "n_evaluations": 2, "n_eval_episodes": 2}
DQN = {**SHORT, "target_update_interval": 50, "log_points": 7}
WRAPPING = {"buffer_size": 90}
STOPS = (30, 61, 97, 101, 105, 109, 150, 199)
"""In the warm-up, right after it, within and at the ends of episodes, after a target's update, before the last step."""

CASES: dict[str, list[RunConfig]] = {
    "dqn": [dqn(seed=seed, **DQN) for seed in range(2)],
    "dqn, norm, ring wraps": [dqn(seed=seed, **DQN, **ODD, **WRAPPING, layer_norm=True) for seed in range(2)],
    "dqn, mixed": [dqn(seed=seed, **{**DQN, **mixed_dqn(seed)}) for seed in range(4)],
    "dqn, several steps": [
        dqn(seed=seed, **{**DQN, **SEVERAL, "buffer_size": 210, "total_timesteps": 450}) for seed in range(2)
    ],
    "dqn, batch sizes": [dqn(seed=seed, batch_size=(16, 40)[seed], **DQN) for seed in range(2)],
    "sac": [sac(seed=seed, **SHORT, log_points=7) for seed in range(2)],
    "sac, mixed, ring wraps": [sac(seed=seed, **SHORT, **mixed_sac(seed), **WRAPPING) for seed in range(3)],
    "sac, several steps": [
        sac(seed=seed, **{**SHORT, **SEVERAL, "activation_fn": "silu", "layer_norm": True}) for seed in range(2)
    ],
    "sac, fixed entropy": [sac(seed=seed, **SHORT, ent_coef=0.2) for seed in range(2)],
}


def whole_steps(configs: Sequence[RunConfig], stops: Sequence[int]) -> list[int]:
    """The same stops where a vector step is several env steps."""
    return [stop * configs[0].n_envs for stop in stops if stop * configs[0].n_envs < configs[0].total_timesteps]


@pytest.mark.parametrize("frames", [False, True], ids=["rows", "frames"])
@pytest.mark.parametrize("name", list(CASES))
def test_a_stack_that_stops_and_goes_on_tells_the_same_to_the_bit(
    name: str, frames: bool, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = CASES[name]
    if frames:
        if name not in ("dqn, several steps", "sac, mixed, ring wraps", "dqn"):
            pytest.skip("one kind of replay is enough")
        monkeypatch.setattr(stack_module, "make_replay", lambda size: FrameReplay)
    whole = train(configs, None)
    for one, other in zip(whole, train_in_parts(configs, whole_steps(configs, STOPS), keeper), strict=True):
        assert differing(one, other) == []
        assert len(one) == len(other)
        assert ending_of(other).resume_exact
        assert ending_of(other).updates > 100
    assert keeper.notes == []


@pytest.mark.parametrize("name", ["dqn, several steps", "sac"])
def test_environments_in_processes_are_brought_back_too(name: str, keeper: Keeper) -> None:
    configs = CASES[name]
    whole = train(configs, None)
    for one, other in zip(whole, train_in_parts(configs, (120, 150), keeper, env_workers=2), strict=True):
        assert differing(one, other) == []


def test_a_checkpoint_at_the_last_step_leaves_the_ending_alone(keeper: Keeper) -> None:
    config = dqn(**DQN)
    checkpoints = keeper.open()

    def commit(runs: Sequence[int], steps: int) -> bool:
        checkpoints._due = 0.0 if steps == 200 else 1e12
        return True

    whole: Reports = []
    stacked.train([config], lambda run, report: whole.append(report), commit, device="cpu", checkpoints=checkpoints)
    assert keeper.newest().step == 200
    (told,) = train([config], keeper.open(keeper.newest(), [config.run_id]))
    assert differing(whole[-1:], told) == []


def test_the_stops_fall_into_episodes_and_at_their_ends(keeper: Keeper) -> None:
    lengths = []
    for until in STOPS:
        train(CASES["dqn"], keeper.open(), until)
        state, _ = read(keeper.newest(), [config.run_id for config in CASES["dqn"]])
        lengths += state.arrays["episodes/lengths"].ravel().tolist()
        shutil.rmtree(keeper.folder)
    assert min(lengths) == 0 < max(lengths)


@pytest.mark.parametrize("name", ["dqn, mixed", "sac, mixed, ring wraps"])
def test_some_runs_of_a_stack_go_on_without_the_others(name: str, keeper: Keeper) -> None:
    configs = CASES[name]
    whole = train(configs, None)
    before = train(configs, keeper.open(), 133)
    kept = keeper.newest()
    for half in ([0], [len(configs) - 1, 0], list(range(1, len(configs)))):
        own = [configs[run] for run in half]
        elsewhere = Keeper(keeper.folder.with_name(f"half {half}"), keeper.notes)
        resume = read(kept, [config.run_id for config in own])
        after = train(own, elsewhere.open(resume=resume))
        for run, told in zip(half, after, strict=True):
            assert differing(whole[run], before[run] + told) == []
    assert keeper.newest() == kept


def test_a_run_that_failed_is_not_in_later_checkpoints_and_the_others_go_on(fragile: Any, keeper: Keeper) -> None:
    from rlbatch.training.randomness import episode_seed

    configs = [dqn("Probe/Fragile-v0", seed=seed, env_kwargs={"at": 3}, **DQN) for seed in range(3)]
    stack_module.describe("Probe/Fragile-v0", {"at": 3})
    fragile.choose()
    whole = train(configs, None)
    fragile.choose(victims={episode_seed(1, "episode", 2)})
    before = train(configs, keeper.open(), 120)
    assert isinstance(before[1][-1], Ending)
    left = [configs[0], configs[2]]
    assert keeper.newest().run_ids == [config.run_id for config in left]
    after = train(left, keeper.open(keeper.newest(), keeper.newest().run_ids))
    assert differing(whole[0], before[0] + after[0]) == differing(whole[2], before[2] + after[1]) == []


def test_a_measurement_that_was_not_finite_is_remembered(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    config = sac("Probe/Explosive-v0", env_kwargs={"continuous": True}, **SHORT, log_points=200)
    (whole,) = train([config], None)
    assert ending_of(whole).outcome == "diverged"
    found = ending_of(whole).first_nonfinite
    assert found is not None
    stops = range(61, found["timesteps"])
    assert stops
    (parts,) = train_in_parts([config], stops, keeper)
    assert numbers(parts)["ending"] == numbers(whole)["ending"]


def test_clocks_go_on(keeper: Keeper) -> None:
    (told,) = train_in_parts([dqn(**DQN)], (100, 150), keeper)
    seconds = [round(report.seconds, 3) for report in told]  # as rows have them
    assert seconds == sorted(seconds)
    for report in told:
        if isinstance(report, Row) and report.kind == "train":
            assert (report.values["cost/env_steps_per_s"] or 0) > 0


# environments that cannot be brought back


@pytest.mark.parametrize("env_id", ["Probe/Sticky-v0", "Probe/Careless-v0"])
@pytest.mark.parametrize("frames", [False, True])
def test_where_an_environment_cannot_be_brought_back_a_new_episode_begins_and_the_result_says_so(
    env_id: str, frames: bool, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    if frames:
        monkeypatch.setattr(stack_module, "make_replay", lambda size: FrameReplay)
    config = dqn(env_id, **DQN, n_steps=3)
    (told,) = train_in_parts([config], (105, 133), keeper)
    assert ending_of(told).outcome == "ok"
    assert not ending_of(told).resume_exact
    assert [f"run {config.run_id}: " in note for note in keeper.notes] == [True, True]


def test_an_environment_that_seemed_exact_and_is_not_is_found_out(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [dqn("Probe/Careless-v0", seed=seed, **DQN) for seed in range(2)]
    monkeypatch.setattr(stack_module, "resets_exactly", lambda config: True)
    assert ending_of(train(configs, None)[0]).resume_exact
    told = train_in_parts(configs, (105,), keeper)
    assert not any(ending_of(reports).resume_exact for reports in told)


def test_an_episode_that_is_too_long_to_be_kept_costs_its_own_run_the_exact_resume(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "LONGEST", 12)
    monkeypatch.setattr(episodes, "_ROOM", 4)
    configs = [dqn(seed=seed, **DQN) for seed in range(4)]
    whole = train(configs, None)
    told = train_in_parts(configs, (105,), keeper)
    state, _ = read(keeper.newest(), [config.run_id for config in configs])
    too_long = [int(length) > 12 for length in state.arrays["episodes/lengths"].ravel()]
    assert sum(too_long) == 1
    assert [not ending_of(reports).resume_exact for reports in told] == too_long
    assert [differing(one, other) != [] for one, other in zip(whole, told, strict=True)] == too_long
    assert [config.run_id in "".join(keeper.notes) for config in configs] == too_long
    assert {ending_of(reports).outcome for reports in told} == {"ok"}


def test_what_is_kept_of_an_episode_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "LONGEST", 50)
    monkeypatch.setattr(episodes, "_ROOM", 8)
    envs = Instances(dqn("Probe/Endless-v0"), 2, auto_reset=True)
    kept = episodes.Episodes(envs, [0, 1])
    for index in range(2):
        kept.renew(index)
    for step in range(1, 1001):
        kept.note(np.full(2, step), range(2))
        assert len(kept._actions) <= 100  # type: ignore[arg-type]
    state = kept.state(range(2))
    assert state["actions"][0, 0].tolist() == list(range(951, 1001))
    assert state["lengths"].tolist() == [[1000], [1000]]
    # nothing else tells: it observes the same at every step, and these rewards would have been none
    assert kept.restore(state, np.zeros((2, 1)), lambda ago: None, exact=True).tolist() == [[True], [True]]
    for _ in range(60):
        kept.note(np.zeros(2, np.int64), range(2))
    kept.renew(0)
    kept.note(np.full(2, 7), range(2))
    assert kept.state([0])["actions"][0, 0].tolist() == [7]
    envs.close()


@pytest.mark.parametrize("what", ["observations", "returns", "ending"])
def test_whatever_differs_when_actions_are_taken_again_is_seen(what: str, keeper: Keeper) -> None:
    configs = [dqn(seed=seed, **DQN, n_envs=2) for seed in range(2)]
    train(configs, keeper.open(), 120)
    state, segments = read(keeper.newest(), [config.run_id for config in configs])
    arrays = dict(state.arrays)
    if what == "observations":
        arrays["episodes/observations"][1, 0, 2] += 1e-6
    elif what == "returns":
        arrays["rows/returns"][1, 0] += 1e-9
    else:
        arrays["episodes/lengths"][1, 0] = arrays["episodes/actions"].shape[2]
    stack = Stack(configs, lambda run, report: None)
    with torch.inference_mode():
        stack.restore(state._replace(arrays=arrays), segments)
    stack.close()
    exact = [stack._rows.ending(run, "ok", "", 0, 0, None).resume_exact for run in range(2)]
    assert exact == [True, False]


@pytest.mark.parametrize("frames", [False, True])
def test_a_chain_of_rewards_does_not_cross_an_episode_that_was_lost(
    frames: bool, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    if frames:
        monkeypatch.setattr(stack_module, "make_replay", lambda size: FrameReplay)
    configs = [dqn("Probe/Diary-v0", seed=3, **DQN, n_steps=3)]
    train(configs, keeper.open(), 120)
    monkeypatch.setattr(stack_module, "resets_exactly", lambda config: False)
    stack = Stack(configs, lambda run, report: None)
    slots = torch.arange(115, 122)[None]
    with torch.inference_mode():
        stack.restore(*read(keeper.newest(), [configs[0].run_id]))
        for step in range(121, 126):
            stack.advance(step)
        batch = stack._replay.batch(slots, slice(0, 1))
        for before, after in zip(batch.observations[0], batch.next_observations[0], strict=True):
            assert before[0] == after[0]  # the seed of the episode
    stack.close()


# a control: each item matters

ROWS = ("age", "batches", "counts", "episodes", "exploration", "explored", "last", "lengths", "returns", "unique")
PARTS = [
    *(f"rows/{name}" for name in ROWS),
    *(f"episodes/{name}" for name in ("actions", "counts", "lengths", "observations")),
    *(f"agents/sums/{name}" for name in ("rates", "summed", "place")),
]
ADAM = ("first", "second", "count")
ITEMS = {
    "dqn": [
        *PARTS,
        *(f"agents/{name}" for name in ("parameters", "targets", *(f"adam/{name}" for name in ADAM))),
        *(f"agents/sums/raw {i}" for i in range(3)),
        *(f"agents/sums/total update/{tag}" for tag in ("loss", "td_error", "q_mean", "grad_norm", "clip_fraction")),
    ],
    "sac": [
        *(name for name in PARTS if "expl" not in name),
        *(f"agents/{name}" for name in ("actor", "critics", "targets", "entropy")),
        *(f"agents/{net} adam/{name}" for net in ("actor", "critics", "entropy") for name in ADAM),
        *(f"agents/sums/raw {i}" for i in range(8)),
        *(
            f"agents/sums/total update/{tag}"
            for tag in ("critic_loss", "td_error", "q_mean", "actor_loss", "ent_coef", "ent_coef_loss")
        ),
        *(f"agents/sums/total update/{tag}" for tag in ("grad_norm", "actor_grad_norm")),
    ],
}
"""Every item of a state whose loss changes what a run tells."""
HARMLESS = {"rows/seconds", "rows/paused", "rows/inexact"}
"""Clocks, and a flag that has tests of its own."""
UNUSED = {"sac": {"rows/exploration", "rows/explored"}, "dqn": set[str]()}
BRIEF = {"total_timesteps": 160, "n_eval_episodes": 1, "log_points": 4, "env_kwargs": {"max_episode_steps": 15}}
CONTROL = {"dqn": dqn(**{**DQN, **BRIEF, "n_steps": 3, "max_grad_norm": 0.2}), "sac": sac(**{**SHORT, **BRIEF})}
STOP = 137
"""Episodes have ended since the last row, another is in the middle; so are ten updates that are measured together."""


class Stopped(NamedTuple):
    """A training that stopped once: what was told before, in all without a stop, and where it stood."""

    config: RunConfig
    whole: Reports
    before: Reports
    state: State
    replays: list[Segment]

    def goes_on(self, state: State | None = None, replays: Sequence[Segment] | None = None) -> list[str]:
        """What is told differently if the training goes on from another state."""
        told = list(self.before)
        stack = Stack([self.config], lambda run, report: told.append(report))
        with torch.inference_mode():
            stack.restore(state or self.state, self.replays if replays is None else replays)
            for step in range(stack.step + 1, stack.clock.vector_steps + 1):
                stack.advance(step)
                stack.report(step)
            stack.finish()
        stack.close()
        return differing(self.whole, told)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Stopped]:
    made: dict[str, Stopped] = {}

    def make(algo: str) -> Stopped:
        if algo not in made:
            config, keeper = CONTROL[algo], Keeper(tmp_path_factory.mktemp(algo), [])
            (whole,) = train([config], None)
            (before,) = train([config], keeper.open(), STOP)
            state, replays = read(keeper.newest(), [config.run_id])
            made[algo] = Stopped(config, whole, before, state, list(replays))
        return made[algo]

    return make


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_the_list_of_items_is_complete_and_without_a_loss_nothing_changes(algo: str, stopped: Any) -> None:
    found = stopped(algo)
    assert set(found.state.arrays) == set(ITEMS[algo]) | HARMLESS | UNUSED[algo]
    assert found.goes_on() == []


@pytest.mark.parametrize(("algo", "item"), [(algo, item) for algo, items in ITEMS.items() for item in items])
def test_a_state_without_one_item_gives_another_run(algo: str, item: str, stopped: Any) -> None:
    found = stopped(algo)
    arrays = {name: array.copy() for name, array in found.state.arrays.items()}
    assert arrays[item].any(), "the item has its first value, which proves nothing"
    arrays[item][...] = 0
    assert found.goes_on(found.state._replace(arrays=arrays)) != []


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_another_step_gives_another_run(algo: str, stopped: Any) -> None:
    found = stopped(algo)
    assert found.goes_on(found.state._replace(step=found.state.step - 1)) != []


@pytest.mark.parametrize(("algo", "item"), [("dqn", "rows"), ("dqn", "over"), ("sac", "rows"), ("sac", None)])
def test_replays_without_one_item_give_another_run(algo: str, item: str | None, stopped: Any) -> None:
    found, lost = stopped(algo), []
    for segment in found.replays:
        arrays = {
            name: np.zeros_like(array) if item in (name, None) else array for name, array in segment.arrays.items()
        }
        lost.append(segment._replace(arrays=arrays))
    assert found.goes_on(replays=lost) != []


@pytest.mark.parametrize("item", ["frames", "ended", "lasts"])
def test_replays_of_frames_without_one_item_give_another_run(
    item: str, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "make_replay", lambda size: FrameReplay)
    config = CONTROL["dqn"]
    (whole,), (before,) = train([config], None), train([config], keeper.open(), STOP)
    state, replays = read(keeper.newest(), [config.run_id])
    found = Stopped(config, whole, before, state, list(replays))
    assert found.goes_on() == []
    for segment in found.replays:
        segment.arrays[item][...] = 0
    assert found.goes_on() != []


# on disk


def damages(path: Path) -> list[tuple[str, Callable[[], None]]]:
    """Every way in which a file is damaged here."""
    content = path.read_bytes()
    size = len(content)

    def flip(at: int) -> None:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])

    def folder() -> None:
        path.unlink()
        path.mkdir()

    cuts = [(f"cut to {n}", partial(path.write_bytes, content[:n])) for n in (0, 1, size // 2, size - 1)]
    flips = [(f"flipped at {at}", partial(flip, at)) for at in range(0, size, max(1, size // 40))]
    more = [("longer", partial(path.write_bytes, content + b"\0")), ("zeros", partial(path.write_bytes, bytes(size)))]
    return [*cuts, *flips, *more, ("missing", path.unlink), ("folder", folder)]  # type: ignore[list-item]


def test_every_damage_to_every_file_is_found(keeper: Keeper, tmp_path: Path) -> None:
    config = dqn(**DQN)
    for until in (80, 120):
        start = keeper.newest() if keeper.folder.exists() else None
        train([config], keeper.open(start, [config.run_id]), until)
    kept = keeper.newest()
    assert len(kept.manifest["replay"]) == 2
    files = [*kept.path.iterdir(), *(keeper.folder / part["name"] for part in kept.manifest["replay"])]
    assert len(files) == 4
    spare = tmp_path / "spare"
    shutil.copytree(keeper.folder, spare)
    for path in files:
        for how, damage in damages(path):
            damage()
            found, _ = kept_in(keeper.folder)
            with pytest.raises(Damaged):
                if not found or found[0] != kept:
                    raise Damaged
                read(found[0], [config.run_id])
                pytest.fail(f"{path.name} {how} was not found")
            shutil.rmtree(keeper.folder)
            shutil.copytree(spare, keeper.folder)
    read(kept, [config.run_id])


def test_another_version_is_not_continued(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dqn(**DQN)
    train([config], keeper.open(), 80)
    monkeypatch.setattr(checkpoint_files, "versions", lambda: {"torch": "0.1"})
    with pytest.raises(Damaged, match="was written with rlbatch"):
        read(keeper.newest(), [config.run_id])


def test_two_checkpoints_are_kept_that_share_what_the_replay_stored_before(keeper: Keeper) -> None:
    config = dqn(**DQN, **WRAPPING)
    for until in range(20, 200, 20):
        start = keeper.newest() if keeper.folder.exists() else None
        train([config], keeper.open(start, [config.run_id]), until)
        kept, notes = kept_in(keeper.folder)
        assert [one.step for one in kept] == [until, until - 20][: until // 20]
        assert notes == []
        parts = [(part["first"], part["last"]) for part in kept[0].manifest["replay"]]
        assert parts == [(step, step + 20) for step in range(0, until, 20) if step + 20 > until - 90]
        needed = {part["name"] for one in kept for part in one.manifest["replay"]} | {one.path.name for one in kept}
        assert {path.name for path in keeper.folder.iterdir()} == needed
        for one in kept:
            read(one, [config.run_id])
    checkpoints = keeper.open()
    checkpoints.close()
    assert not keeper.folder.exists()


def test_many_small_segments_become_one_and_a_large_one_several(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dqn(**DQN)
    monkeypatch.setattr(checkpoint, "_MOST_SMALL", 3)
    whole = train([config], None)
    told = train_in_parts([config], range(100, 190, 10), keeper)
    assert differing(whole[0], told[0]) == []
    keeper = Keeper(keeper.folder.with_name("large"), [])
    monkeypatch.setattr(checkpoint, "_SEGMENT_BYTES", 2000)
    before = train([config], keeper.open(), 100)
    assert len(keeper.newest().manifest["replay"]) > 2
    after = train([config], keeper.open(keeper.newest(), [config.run_id]))
    assert differing(whole[0], before[0] + after[0]) == []


@pytest.mark.parametrize("failing", ["state", "segment", "manifest", "rename", "record"])
def test_a_full_disk_leaves_the_last_checkpoint_and_training_goes_on(
    failing: str, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, full = dqn(**DQN), False
    write, rename = checkpoint_files.write_bytes, Path.rename
    names = {"state": "state.", "segment": "replay-", "manifest": "manifest"}

    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write_until_full(path: Path, content: bytes) -> None:
        if full and path.name.startswith(names.get(failing, "?")):
            path.with_name(".half").write_bytes(content[: len(content) // 2])
            fail()
        write(path, content)

    monkeypatch.setattr(checkpoint_files, "write_bytes", write_until_full)
    monkeypatch.setattr(Path, "rename", lambda path, to: fail() if full and failing == "rename" else rename(path, to))

    def mark(run_id: str) -> dict[str, Any]:
        if full and failing == "record":
            fail()
        return {}

    checkpoints = keeper.open(mark=mark)
    reports: Reports = []

    def commit(runs: Sequence[int], steps: int) -> bool:
        nonlocal full
        checkpoints._due = 0.0 if steps in (80, 120, 150) else 1e12
        full = steps == 120
        if steps == 121:
            assert keeper.newest().step == 80
            assert kept_in(keeper.folder)[1] == []
            read(keeper.newest(), [config.run_id])
        return True

    stacked.train([config], lambda run, report: reports.append(report), commit, device="cpu", checkpoints=checkpoints)
    assert differing(train([config], None)[0], reports) == []
    (note,) = keeper.notes
    assert "no checkpoint at env step 120" in note
    assert [kept.step for kept in kept_in(keeper.folder)[0]] == [150, 80]


def test_a_checkpoint_that_takes_long_is_written_less_often(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    checkpoints = keeper.open(interval_s=10.0)
    written: list[float] = []

    def write(stack: Any) -> None:
        nonlocal now
        written.append(now)
        now += 0.1 if len(written) == 1 else 1.0

    monkeypatch.setattr(checkpoints, "_write", write)
    stack: Any = None
    for _ in range(1000):
        now += 0.1
        checkpoints.offer(stack, stopping=False)
    assert written == pytest.approx([10.0, 20.2, 71.3], abs=0.15)
    checkpoints.offer(stack, stopping=True)
    assert len(written) == 4


def test_runs_are_taken_out_of_a_state_by_name() -> None:
    state = State(("a", "b", "c"), 5, {"x": np.arange(6).reshape(3, 2)})
    assert select(state, ["c", "a"]).arrays["x"].tolist() == [[4, 5], [0, 1]]
    with pytest.raises(ValueError, match="not in tuple"):
        select(state, ["d"])
