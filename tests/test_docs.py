"""The documents say what the program does: commands, options, tags, exit codes, links, and an example that runs."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click
import gymnasium
import pytest
from engines import ENGINE

from rlbatch import env_ids, environments, errors, presets
from rlbatch.analysis.metrics import ACROSS, METRICS
from rlbatch.cli import main
from rlbatch.config import SETTINGS
from rlbatch.experiment_file import plan
from rlbatch.launch.crew import SIGNALS
from rlbatch.results import find_runs
from rlbatch.rows import EVAL_TAGS, LIVE_TAGS, TRAIN_TAGS
from rlbatch.strict_yaml import parse
from rlbatch.values import Choice

REPOSITORY = Path(__file__).parents[1]
NAMES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "experiments/README.md",
    "results/README.md",
)
DOCUMENTS = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in NAMES}
README = DOCUMENTS["README.md"]
ENDINGS = {0, 3} | {128 + number for number in SIGNALS}
"""Exit codes that are not an error's: done, a run ended badly, and signals."""


def commands() -> dict[str, click.Command]:
    context = click.Context(main.commands)
    found = {name: main.commands.get_command(context, name) for name in main.COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


def option_names(command: click.Command) -> set[str]:
    options = [p for p in command.params if isinstance(p, click.Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)} | {"-h", "--help"}


def options_in(text: str) -> set[str]:
    """The long options that a document mentions; lines that call Ray's own command aside."""
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", re.sub(r"^ray .*$", "", text, flags=re.MULTILINE)))


def blocks(text: str, language: str = "") -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [content for kind, content in fenced if kind == language]


def inline(text: str) -> list[str]:
    without_blocks = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", without_blocks)


def block_commands(text: str) -> list[str]:
    lines = "".join(blocks(text)).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("rlbatch ")]


def table_rows(heading: str) -> list[list[str]]:
    """Returns the cells of the tables in one section of the README, without their headings."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert section, heading
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if not set("".join(line)) <= set("- ")][1:]


SHOWN = [(name, line) for name, text in DOCUMENTS.items() for line in block_commands(text)]
NAMED = [(name, line) for name, text in DOCUMENTS.items() for line in inline(text) if line.startswith("rlbatch ")]


@pytest.mark.parametrize(("document", "line"), SHOWN)
def test_a_command_in_a_code_block_parses(document: str, line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    with commands()[name].make_context(name, arguments) as context:
        assert context.command is commands()[name]


@pytest.mark.parametrize(("document", "line"), NAMED)
def test_a_command_named_in_a_sentence_has_the_options_it_is_named_with(document: str, line: str) -> None:
    _, name, *arguments = shlex.split(line)
    assert {word for word in arguments if word.startswith("-")} <= option_names(commands()[name])


def test_the_documents_show_and_name_commands() -> None:
    assert len(SHOWN) >= 5
    assert len(NAMED) >= 5


def test_the_table_of_commands_names_every_command_but_train() -> None:
    named = {shlex.split(row[0].strip("`"))[1] for row in table_rows("The other commands")}
    assert named == set(main.COMMANDS) - {"train"}


def test_every_command_and_every_option_has_help() -> None:
    for name, command in commands().items():
        assert command.help, name
        for option in (p for p in command.params if isinstance(p, click.Option)):
            assert option.help, f"{name} {option.opts}"


def test_the_table_of_options_holds_every_option_of_train_and_no_other() -> None:
    shown = {word for row in table_rows("Options of train") for word in re.findall(r"`(-[\w-]+)", row[0])}
    assert shown == option_names(commands()["train"]) - {"-h", "--help"}


def test_the_options_of_run_are_named_and_no_other() -> None:
    section = README.partition("\n## Options of run\n")[2].partition("\n## ")[0]
    named = {word for text in inline(section) for word in re.findall(r"^-[\w-]+", text)}
    assert {"-q", *named} | {"--quiet", "--verbose"} == option_names(commands()["run"]) - {"-h", "--help"}


def test_the_example_of_an_experiment_file_is_one() -> None:
    (example,) = blocks(README, "yaml")
    file = plan(parse(example, "example.yaml"))
    assert len(file.planned) == 3 * 2 * (20 + 10)
    assert {(run.config.env_id, run.config.total_timesteps) for run in file.planned} == {
        ("CartPole-v1", 50_000),
        ("Acrobot-v1", 100_000),
    }


def test_the_readme_mentions_every_option_and_no_option_that_is_not_there() -> None:
    known = {name for command in commands().values() for name in option_names(command)}
    mentioned = options_in(README)
    assert mentioned == {name for name in known if name.startswith("--")}


@pytest.mark.parametrize("name", NAMES)
def test_a_document_mentions_no_option_that_is_not_there(name: str) -> None:
    known = {option for command in commands().values() for option in option_names(command)}
    assert options_in(DOCUMENTS[name]) <= known


def test_the_table_of_exit_codes_holds_every_code() -> None:
    rows = table_rows("Exit codes")
    kinds = [errors.RlbatchError, *errors.RlbatchError.__subclasses__()]
    assert {int(row[0]) for row in rows} == ENDINGS | {kind.exit_code for kind in kinds}
    assert all(row[1] for row in rows)


def test_the_table_of_tags_describes_every_tag_with_its_unit_and_no_other() -> None:
    rows = table_rows("What the tags mean")
    known = [tag for tags in TRAIN_TAGS.values() for tag in tags] + [*EVAL_TAGS, *LIVE_TAGS]
    assert {row[0].strip("`") for row in rows} == set(known)
    assert len(rows) == len(set(known))
    for tag, meaning, unit in rows:
        assert meaning, tag
        assert unit, tag


def test_the_table_of_metrics_names_every_metric_and_no_other() -> None:
    named = [name for row in table_rows("How runs are scored") for name in re.findall(r"`([^`]+)`", row[0])]
    amounts = {name for name in METRICS if "_to_" in name}
    assert [name for name in named if name not in amounts] == [name for name in METRICS if name not in amounts]
    section = README.partition("\n## How runs are scored\n")[2].partition("\n## ")[0]
    assert {*named, *inline(section)} >= set(ACROSS)


@pytest.mark.parametrize("field", ["match", "lr_rule"])
def test_the_readme_has_a_table_row_for_every_design_and_rule(field: str) -> None:
    check = SETTINGS[field].check
    assert isinstance(check, Choice)
    first_cells = " ".join(row[0] for row in table_rows("What is held fixed while the batch size varies"))
    assert all(f"`{name}`" in first_cells for name in check.names)


def test_the_readme_has_a_table_row_for_every_preset() -> None:
    first_cells = [row[0].partition(" ")[0].strip("`") for row in table_rows("Presets")]
    assert first_cells == list(presets.NAMES)


def test_the_readme_names_every_extra_that_an_environment_needs() -> None:
    assert all(f'pip install ".[{family}]"' in README for family in environments.INSTALL)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_help(name: str) -> None:
    assert SETTINGS[name].help.strip()


@pytest.mark.parametrize("name", NAMES)
def test_links_to_local_files_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", DOCUMENTS[name])
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (REPOSITORY / name).parent.joinpath(target).exists()]
    assert missing == []


def test_every_make_target_in_the_documents_is_in_the_makefile() -> None:
    named = {
        target for text in DOCUMENTS.values() for target in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)
    }
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert {"train", "test", "lint"} <= named <= targets


def test_make_train_runs_the_command_that_the_readme_says() -> None:
    (command,) = re.findall(r"^make train +#.*runs: rlbatch (.+)$", README, flags=re.MULTILINE)
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert f"/rlbatch {command}\n" in makefile


@pytest.mark.usefixtures("in_process")
def test_the_example_of_an_own_environment_trains_is_evaluated_again_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(env_ids, "_imported", set())
    (example,) = [block for block in blocks(README, "python") if "gym.register" in block]
    (tmp_path / "my_env.py").write_text(example, encoding="utf-8")
    brief = (re.sub("--steps 5000", "--steps 1300", line) for _, line in SHOWN if "my_env:" in line)
    one, several = (shlex.split(re.sub("--seeds 5", "--seeds 2", line))[1:] for line in brief)
    few = ["--engine", ENGINE, "--set", "n_evaluations=2", "--set", "n_eval_episodes=2", "--set", "log_points=4"]
    try:
        assert main.run([*one, *few]) == 0, capsys.readouterr().err
        (run,) = find_runs(tmp_path / "results")
        assert run.status() == "ok"
        assert next(run.rows("eval"))["eval/return_mean"] < 0
        shown = [shlex.split(line)[1:] for _, line in SHOWN if "--import my_env" in line]
        assert len(shown) == 2
        for arguments in shown:
            assert main.run(arguments) == 0, capsys.readouterr().err
        assert (tmp_path / "line.zip").is_file()
        assert main.run([*several, *few]) == 0, capsys.readouterr().err
        capsys.readouterr()
        for command in ("compare", "recommend", "report"):
            assert main.run([command, "results/line"]) == 0, capsys.readouterr().err
            assert "Line-v0" in capsys.readouterr().out or command == "report"
        page = (tmp_path / "results" / "line" / "report.html").read_text(encoding="utf-8")
        assert "my_env:Line-v0" in page
        assert len(re.findall(r"Line-v0/dqn/b00(?:032|256)-[^<]+/s00[01]", page)) >= 4
    finally:
        sys.modules.pop("my_env", None)
        gymnasium.registry.pop("Line-v0", None)


@pytest.mark.usefixtures("in_process")
def test_the_examples_in_python_run_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    examples = [
        block for block in blocks(README, "python") if re.search(r"^(import|from) rlbatch", block, re.MULTILINE)
    ]
    assert len(examples) == 4
    for example in examples:
        brief = re.sub(r"10_000", "2_500", re.sub(r'(seeds"?[=:] ?)4', r"\g<1>2", example))
        exec(compile(brief, "README.md", "exec"), {})  # noqa: S102 - the page's own
    out = capsys.readouterr().out
    assert "shape: (4, 4)" in out
    assert "batch_size" in out
