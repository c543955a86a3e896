"""rlbatch compare and recommend: the same answer in tables, LaTeX, CSV, JSON and sentences."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from statistics import fmean

import pytest
from analysis.folders import config, plan, write
from analysis.test_answer import LEVELS, fill

from rlbatch.analysis.looks import looks_at
from rlbatch.cli import main, tensorboard
from rlbatch.results import find_runs


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    root = tmp_path / "known"
    plan(root, fill(root, LEVELS, seeds=6), reference={"batch_size": 64}, metric="auc", equivalence=0.1)
    return root


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main.run([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_compare_prints_the_verdicts(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "compare", experiment)
    lines = {line.split()[0]: line for line in out.splitlines() if line.split()[:1] in (["16"], ["64"], ["128"])}
    assert any(line.split()[:3] == ["16", "worse", "6"] for line in out.splitlines())
    assert set(lines) == {"16", "64", "128"}
    assert "CartPole-v1: stability" in out
    assert "95% intervals" in out
    assert "exploratory" not in out
    assert "exploratory" in said(capsys, "compare", experiment, "--metric", "final")


def test_json_is_one_object_and_recommend_says_the_same(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(said(capsys, "compare", experiment, "--json"))
    assert told["schema"] == "rlbatch.compare/1"
    (way,) = told["parts"][0]["ways"]
    verdicts = {batch: one["verdict"] for batch, one in way["verdicts"]["standings"].items()}
    words = json.loads(said(capsys, "recommend", experiment, "--json"))
    (one,) = words["recommendations"]
    assert one["worse"] == [int(batch) for batch, verdict in verdicts.items() if verdict == "worse"] == [16]
    assert one["sentences"][0] in said(capsys, "recommend", experiment)


def test_every_episode_is_a_line_of_the_csv_file(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "compare", experiment, "--csv", tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 6 * 5 * 2
    assert {row["batch_size"] for row in rows} == {"16", "64", "128"}
    assert {(row["design"], row["match"], row["lr_rule"]) for row in rows} == {("", "updates", "none")}
    assert {(row["timesteps"], row["updates"]) for row in rows} == {
        *(("0", "0"), ("100", "0"), ("200", "100"), ("300", "200"), ("400", "300"))
    }


def test_the_csv_file_tells_designs_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = fill(tmp_path / "x", LEVELS, seeds=2) + fill(
        tmp_path / "x", {16: 100.0, 128: 300.0}, seeds=2, match="samples", train_freq=2
    )
    plan(tmp_path / "x", configs)
    said(capsys, "compare", tmp_path / "x", "--csv", tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["design"], row["match"]) for row in rows} == {(f"match {m}", m) for m in ("updates", "samples")}


def test_latex_is_escaped(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "compare", experiment, "--latex")
    assert out.count(r"\begin{tabular}") == out.count(r"\end{tabular}") >= 4
    assert r"\_" in out
    assert not re.search(r"(?<!\\)_", out)
    cells = [line for line in out.splitlines() if line.endswith(r"\\")]
    assert any("$-$0." in line for line in cells)
    assert not any(re.search(r"[ \[]-[0-9]|[0-9]e[-+][0-9]", line) for line in cells)


def test_an_unfinished_experiment_is_told_as_such_and_each_look_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = fill(tmp_path, LEVELS, seeds=3)
    open_ = config(batch_size=64, seed=77)
    write(tmp_path, open_, [10.0, 20.0], None)
    plan(tmp_path, [*configs, open_])
    out = said(capsys, "compare", tmp_path)
    assert "incomplete: 1 run not finished" in out
    assert "looked at once" in out
    assert "looked at once" in said(capsys, "compare", tmp_path)
    told = json.loads(said(capsys, "recommend", tmp_path, "--json"))
    assert not told["complete"]
    for view in (told["caveats"], said(capsys, "recommend", tmp_path), said(capsys, "compare", tmp_path, "--latex")):
        assert "incomplete: 1 run not finished" in str(view)
        assert "exploratory" in str(view)


def test_environments_and_batch_sizes_of_which_nothing_was_begun_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    never = [config(batch_size=512), config(batch_size=64, env_id="Acrobot-v1", seed=1)]
    plan(tmp_path, [*fill(tmp_path, LEVELS, seeds=5), *never])
    out = said(capsys, "recommend", tmp_path)
    assert "incomplete: 2 runs not finished" in out
    assert "without any run that counts: Acrobot-v1 batch 64 learning rate 0.0001, CartPole-v1 batch 512" in out
    assert "1 planned run of this environment is not in these numbers" in out


def test_what_a_folder_says_cannot_forge_a_line_or_reach_the_terminal_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs, bad = fill(tmp_path, LEVELS, seeds=5), config(batch_size=64, seed=70)
    write(tmp_path, bad, [10.0], "crashed", "\x1b[2Jgone\nbatch 64 is best")
    plan(tmp_path, [*configs, bad])
    for words in (("compare",), ("compare", "--latex"), ("recommend",)):
        out = said(capsys, words[0], tmp_path, *words[1:])
        assert "\x1b[2J" not in out
        assert "\nbatch 64 is best" not in out


@pytest.mark.parametrize("option", [["compare", "--csv"], ["report", "--to"]])
def test_what_else_is_there_is_not_overwritten(
    option: list[str], experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = option
    place = experiment / "experiment.yaml"
    before = place.read_bytes()
    assert main.run([command, str(experiment), *rest, str(place)]) == 2
    assert "is there already and holds something else; name another file" in capsys.readouterr().err
    assert place.read_bytes() == before
    own = tmp_path / "own"
    for _ in range(2):  # what the command itself made is made anew
        assert main.run([command, str(experiment), *rest, str(own)]) == 0
    assert main.run([command, str(experiment), *rest, str(tmp_path)]) == 2
    assert "is a folder; name a file" in capsys.readouterr().err


def test_figures_that_have_no_place_leave_no_page(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    to = ["--to", str(tmp_path / "page.html"), "--figures", str(tmp_path / "file")]
    assert main.run(["report", str(experiment), *to]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("option", [["compare", "--csv"], ["report", "--to"], ["report", "--figures"]])
def test_a_place_that_cannot_be_written_to_is_one_line(
    option: list[str], experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main.run([option[0], str(experiment), option[1], str(tmp_path / "file" / "out")]) == 2
    error = capsys.readouterr().err
    assert "cannot be written" in error
    assert error.count("\n") == 1


def test_a_group_has_a_table_for_each_of_its_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = [one for rate in (1e-4, 1e-3) for one in fill(tmp_path, LEVELS, seeds=6, learning_rate=rate)]
    plan(tmp_path, configs)
    out = said(capsys, "compare", tmp_path)
    assert "its own best learning rate" in out
    assert "good rates" in out
    out = said(capsys, "compare", tmp_path, "--group", "learning_rate")
    assert "its own best learning rate" not in out
    assert out.index("CartPole-v1, learning_rate 0.0001: area") < out.index("CartPole-v1, learning_rate 0.001: area")
    told = json.loads(said(capsys, "compare", tmp_path, "--group", "learning_rate", "--json"))
    assert [part["fixed"] for part in told["parts"]] == [{"learning_rate": 1e-4}, {"learning_rate": 1e-3}]


def test_a_filter_is_no_look_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = fill(tmp_path, LEVELS, seeds=3)
    plan(tmp_path, [*configs, config(batch_size=64, seed=77)])
    for batch in (16, 64, 128):
        assert "looked at once" in said(capsys, "compare", tmp_path, "--where", f"batch_size={batch}")


def test_a_part_of_a_finished_experiment_is_no_look_and_of_an_unfinished_one_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = fill(tmp_path / "x", {16: -480.0, 64: -100.0}, seeds=3, env_id="Acrobot-v1")
    configs += fill(tmp_path / "x", LEVELS, seeds=3)
    plan(tmp_path / "x", configs)
    assert "looked at" not in said(capsys, "compare", tmp_path / "x" / "CartPole-v1")
    assert "looked at" not in said(capsys, "compare", tmp_path / "x")
    plan(tmp_path / "x", [*configs, config(batch_size=64, seed=77, env_id="Acrobot-v1")])
    assert "looked at twice" in said(capsys, "compare", tmp_path / "x" / "CartPole-v1")  # and before runs were added


def test_a_run_that_two_experiments_share_leaves_neither_unfinished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, levels in (("a", {16: 100.0, 64: 300.0}), ("b", {64: 300.0, 128: 310.0})):
        plan(tmp_path / name, fill(tmp_path / name, levels, seeds=3))
    assert "looked at" not in said(capsys, "compare", tmp_path)
    assert "looked at" not in said(capsys, "compare", tmp_path / "b")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--group", "learning_rat"], "--group: learning_rat does not vary; what varies: nothing else"),
        (["--group", "batch_size"], "--group: batch_size is what is compared"),
        (["--axis", "step"], "--axis: 'step' is not an axis; did you mean steps?"),
        (["--metric", "acu"], "--metric: acu is no score of a run; did you mean auc?"),
        (["--delta", "2"], "2 is not between 0 and 1"),
        (["--threshold", "many"], "--threshold"),
        (["--where", "batch_size=9"], "--where: no run has batch_size=9"),
        (["nowhere"], "nowhere: is not a folder"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    words: list[str], told: str, experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(experiment.rglob("*"))
    assert main.run(["compare", str(experiment), *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert sorted(experiment.rglob("*")) == before


@pytest.mark.usefixtures("in_process")
def test_a_claim_is_confirmed_on_fresh_seeds_in_a_folder_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "known"
    configs = fill(root, {16: 490.0, 64: 300.0}, seeds=6)
    plan(root, configs, reference={"batch_size": 64}, metric="auc", equivalence=0.1)
    before = {*root.rglob("*")}
    words = ("recommend", tmp_path, "--confirm", 2, "--no-calibration", "--where", "match=updates")
    out = said(capsys, *words)
    assert {path.name for path in {*root.rglob("*")} - before} == {"looks.jsonl"}
    runs = find_runs(tmp_path / "known-confirm")
    assert sorted((run.config().batch_size, run.config().seed) for run in runs) == [(16, 6), (16, 7), (64, 6), (64, 7)]
    assert {run.config().arm_id for run in runs} == {one.arm_id for one in configs}
    assert "CartPole-v1: batch 16 minus batch 64 on 2 fresh seeds:" in out
    told = json.loads(said(capsys, *words, "--json"))
    (one,) = told["confirmed"]
    assert {"recommendations", "together", "complete", "declared", "caveats"} < set(told)
    assert f"{one['difference']['estimate']:+.3f}" in out
    assert (one["verdict"], one["lacking"], one["looked_at_before"]) == ("too few seeds", [], [])
    assert "no verdict: 5 fresh seeds" in out
    assert len(find_runs(tmp_path / "known-confirm")) == 4
    capsys.readouterr()
    assert main.run(["recommend", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert (err, "known-confirm is left out: its seeds confirm what known chose\n" in out) == ("", True)
    assert "6 seeds per batch size" in out
    assert main.run(["recommend", str(tmp_path / "known-confirm"), "--confirm", "2"]) == 2
    assert "--confirm: known-confirm itself confirms known; name known" in capsys.readouterr().err


def test_there_is_nothing_to_confirm_where_the_reference_is_best(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["recommend", str(experiment), "--confirm", "2"]) == 2
    assert "nothing to confirm" in capsys.readouterr().err
    assert not experiment.with_name("known-confirm").exists()


@pytest.mark.parametrize(
    ("words", "option"),
    [(("--jobs", "7"), "--jobs"), (("-q",), "-q"), (("--dry-run",), "--dry-run"), (("--import", "x"), "--import")],
)
def test_options_of_training_are_refused_where_nothing_is_trained(
    words: tuple[str, ...], option: str, experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["recommend", str(experiment), *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        f"rlbatch: error: {option}: is of no use where nothing is trained; add --confirm N, or leave it out\n",
    )
    assert not (experiment / "looks.jsonl").exists()


def test_a_dry_run_of_a_confirmation_says_what_it_would_train_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = fill(tmp_path / "known", {16: 490.0, 64: 300.0}, seeds=6)
    plan(tmp_path / "known", configs[:-1], reference={"batch_size": 64}, metric="auc", equivalence=0.1)
    before = {*tmp_path.rglob("*")}
    words = ("recommend", tmp_path / "known", "--confirm", 2, "--dry-run")
    assert "4 runs" in said(capsys, *words)
    told = json.loads(said(capsys, *words, "--json"))
    assert (told["schema"], told["dry_run"]) == ("rlbatch.recommend/1", True)
    assert {*tmp_path.rglob("*")} == before


def test_another_reference_is_compared_with_and_makes_it_exploratory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(tmp_path / "x", fill(tmp_path / "x", {16: 120.0, 128: 400.0}, seeds=6), metric="auc", equivalence=0.125)
    assert "minus batch" not in said(capsys, "compare", tmp_path / "x")
    assert main.run(["recommend", str(tmp_path / "x"), "--confirm", "5"]) == 2
    assert "the reference has no runs to compare with; --reference BATCH names another" in capsys.readouterr().err
    out = said(capsys, "compare", tmp_path / "x", "--reference", 16)
    assert "minus batch 16" in out
    assert "exploratory, not as declared before training: asked for was --reference" in out
    assert "within 12.5% of the range" in said(capsys, "recommend", tmp_path / "x", "--reference", 16)
    assert main.run(["compare", str(tmp_path / "x"), "--reference", "64"]) == 2
    assert "--reference: no run has batch 64; they have 16, 128" in capsys.readouterr().err


def test_what_is_called_steadier_has_the_higher_number(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (part,) = json.loads(said(capsys, "compare", experiment, "--json"))["parts"]
    told = part["steadiness"]["drawdown_max"]
    assert told["higher_is_steadier"] is True
    falls = {arm["batch_size"]: fmean(arm["normalised"]["drawdown_max"]) for arm in part["arms"]}
    assert {int(size): one["mean"] for size, one in told["standings"].items()} == {
        size: pytest.approx(-falls[size]) for size in (64, 128)
    }


def test_chance_is_not_told_of_few_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan(tmp_path / "x", fill(tmp_path / "x", LEVELS, seeds=4))
    assert "when the seeds are drawn anew" not in said(capsys, "compare", tmp_path / "x")


def test_a_part_the_whole_and_tensorboard_see_one_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = fill(tmp_path / "x", LEVELS, seeds=3)
    goes_on = config(batch_size=64, seed=9)
    write(tmp_path / "x", goes_on, [10.0, 20.0, 30.0], None)
    plan(tmp_path / "x", [*configs, goes_on])
    arm = next((tmp_path / "x").glob("CartPole-v1/dqn/b00016*"))
    for folder in (tmp_path / "x", arm):
        said(capsys, "compare", folder)
    tensorboard._note_looks(tmp_path)
    assert looks_at(tmp_path / "x", len(configs) + 1) == 1


def test_where_one_batch_size_is_left_there_is_nothing_to_confirm(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["recommend", str(experiment), "--where", "batch_size=64", "--confirm", "2"]) == 2
    assert "--confirm: there are no two batch sizes to compare: nothing to confirm" in capsys.readouterr().err


def test_a_reference_that_was_asked_for_is_not_called_declared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = fill(tmp_path / "x", LEVELS, seeds=3)
    acrobot = fill(tmp_path / "x", {16: -480.0, 32: -100.0}, seeds=3, env_id="Acrobot-v1")
    plan(tmp_path / "x", [*configs, *acrobot])
    told = "CartPole-v1: batch 32, which --reference names, has no runs to compare with"
    assert told in said(capsys, "compare", tmp_path / "x", "--reference", 32)
