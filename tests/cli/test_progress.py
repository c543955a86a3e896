"""Progress: what is told while runs train."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from cli.messages import Clock, evaluated, finished, runs, tick
from rich.cells import cell_len
from rich.console import Console

from rlbatch.cli import progress as module
from rlbatch.cli import tally
from rlbatch.cli.arm_labels import arm_labels
from rlbatch.cli.output import duration, number, plural, size
from rlbatch.cli.progress import progress
from rlbatch.cli.screen import Screen
from rlbatch.cli.table import Arm, arms_table, bar_line, percent
from rlbatch.cli.tally import Tally


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for reader in (module, tally):
        monkeypatch.setattr(reader, "time", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Make = Callable[[Terminal], Terminal]


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes standard error a terminal of 100 columns."""
    for name, value in {"TERM": "xterm", "COLUMNS": "100", "LINES": "30", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def make(terminal: Terminal) -> Terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        return terminal

    return make


def drawn(state: Tally, width: int = 100, height: int = 30) -> list[str]:
    """Returns the lines that a terminal of this size shows."""
    return lines_of(module._Live(state, Console(file=io.StringIO()))._draw(width, height), width, height)


def lines_of(renderable: Any, width: int, height: int = 30) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(renderable)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def arm(label: str, ended: int = 0, *, count: int = 4, begun: bool = True, **known: Any) -> Arm:
    return Arm((label,), ended, count, begun, **{"fraction": ended / count, "returns": [], "not_ok": 0} | known)


def test_runs_that_are_not_left_to_do_do_not_count(clock: Clock) -> None:
    state = Tally(runs(2, (32, 64)), left=[3])
    state.hear(tick(100, 3))
    clock.now = 1.0
    state.hear(tick(200, 3))
    assert state.time_text() == "8 s left"
    table = drawn(state)
    assert len(table) == 3
    assert table[1].split()[:2] == ["64", "0/1"]
    assert table[2].startswith("0/1 runs")


def test_runs_that_never_began_do_not_count_in_the_end(clock: Clock, on_terminal: Make) -> None:
    terminal = on_terminal(Terminal())
    with progress(runs(2, (32, 64)), quiet=False) as show:
        show({"type": "started", "run": 1})
        show(finished(1))
    heading, first, last = terminal.getvalue().splitlines()[-4:-1]
    assert "batch" in heading
    assert first.split()[:2] == ["32", "1/1"]
    assert last.startswith("1/1 runs")
    assert "100%" in last


def test_nothing_stays_on_the_terminal_when_nothing_was_trained(on_terminal: Make) -> None:
    terminal = on_terminal(Terminal())
    with progress(runs(), quiet=False):
        pass
    assert "starting" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[1A\x1b[2K")


def test_the_table_has_a_line_per_arm_and_one_for_all(clock: Clock) -> None:
    state = Tally(runs(2, (32, 64)), left=range(4))
    state.hear(tick(1, 0, 1))
    for run, value in ((0, 100.0), (1, 200.5), (2, None)):
        state.hear(evaluated(run, 500, value))
    clock.now = 2.0
    state.hear(finished(1, outcome="env_error", timesteps=501))
    heading, first, second, last = drawn(state)
    assert heading.split() == ["batch", "runs", "env", "steps", "return", "min..max", "not", "ok"]
    assert first.replace("━", "").replace("╸", "").split() == ["32", "1/2", "75%", "150.2", "100..200.5", "1"]
    assert second.replace("━", "").replace("╸", "").split() == ["64", "0/2", "25%", "-"]
    assert last.startswith("1/4 runs ")
    assert last.endswith(" 50%  750 steps/s, 3 s left, 1 env_error")


def test_arms_are_told_apart_by_what_is_needed() -> None:
    assert arm_labels(runs(1, (32, 64))) == (["batch"], [("32",), ("64",)])
    rates = [*runs(1, learning_rate=0.0003), *runs(1, learning_rate=0.001), *runs(1, (64,), learning_rate=0.001)]
    assert arm_labels(rates) == (["batch", "lr"], [("32", "0.0003"), ("32", "0.001"), ("64", "0.001")])
    others = [*runs(1, gamma=0.9), *runs(1, gamma=0.9912345)]
    assert arm_labels(others) == (["batch", "gamma"], [("32", "0.9"), ("32", "0.9912")])


def test_a_long_label_is_cut() -> None:
    lines = lines_of(arms_table(["env_id"], [arm("x" * 200)], width=60, height=9), 60)
    assert lines[1].split()[:2] == ["x" * 23 + "…", "0/4"]


def test_arms_in_progress_come_first_where_not_all_fit() -> None:
    arms = [arm(f"{n}", 4) for n in range(3)] + [arm("8", begun=False), arm("9", 1), arm("10", begun=False)]
    assert [line.split()[0] for line in lines_of(arms_table(["batch"], arms, width=80, height=7), 80)[1:]] == [
        *("0", "1", "2", "8", "9", "10")
    ]
    lines = lines_of(arms_table(["batch"], arms, width=80, height=4), 80)
    assert [line.split()[0] for line in lines[1:3]] == ["9", "0"]
    assert lines[3] == "... and 4 more arms (2 done)"
    assert len(lines_of(arms_table(["batch"], arms, width=80, height=6), 80)) == 6
    assert [lines_of(arms_table(["batch"], arms, width=80, height=height), 80) for height in (2, 0, -1)] == [[]] * 3


def test_sixty_arms_fit_every_terminal(clock: Clock) -> None:
    state = Tally(runs(3, tuple(range(1000, 1060)), learning_starts=2000), left=range(180))
    state.hear(tick(1, *range(180)))
    for run in range(180):
        state.hear(evaluated(run, 500, -1234.56 - run))
    for run in range(0, 9, 2):
        state.hear(finished(run, outcome="out_of_memory"))
    clock.now = 1.0
    for width in (1, 2, 5, 10, 20, 30, 45, 60, 80, 120):
        for height in (1, 3, 10, 24, 100):
            lines = drawn(state, width, height)
            assert len(lines) <= max(height - 1, 1)
            assert max(cell_len(line) for line in lines) <= width
    assert len(drawn(state, 60, 24)) == 23


def test_a_narrow_table_keeps_what_matters() -> None:
    arms = [arm("32", 2, returns=[101.25, 203.5], not_ok=1), arm("64", begun=False)]
    wide, middle, narrow = (
        lines_of(arms_table(["batch"], arms, width=width, height=9), width) for width in (80, 60, 30)
    )
    assert "101.2..203.5" in wide[1]
    assert wide[1].count("━") == 15
    assert "101.2..203.5" in middle[1]
    assert middle[1].count("━") == 5
    assert narrow[1].split() == ["32", "2/4", "50%", "152.4"]


def test_a_line_is_told_in_fewer_words_where_there_is_less_room() -> None:
    texts = ["300 steps/s, 9 s left", "9 s left", ""]
    told = [lines_of(bar_line("1/4 runs", 0.25, texts, width=width), width)[0] for width in (80, 43, 42, 24, 12)]
    assert told[0].count("━") == 7
    assert told[0].endswith(" 25%  300 steps/s, 9 s left")
    assert told[1].endswith(" 25%  300 steps/s, 9 s left")
    assert told[2].endswith("  25%  9 s left")
    assert told[3:] == ["1/4 runs  25%  9 s left", "1/4 ru…  25%"]


def test_only_all_is_100_percent() -> None:
    assert [percent(part) for part in (0.0, 0.294, 0.999, 1.0)] == ["0%", "29%", "99%", "100%"]


def test_text_of_users_is_no_markup() -> None:
    state = Tally([*runs(1, env_id="[red]A-v0"), *runs(1, env_id="B-v0")])
    state.hear(tick(1, 0, 1))
    assert "[red]A-v0" in drawn(state)[1]
    single = Tally(runs(1, env_id="[red]A-v0"))
    single.hear(tick(1, 0))
    assert drawn(single)[0].startswith("[red]A-v0 batch 32 seed 0 ")


def test_a_terminal_shows_one_line_for_a_single_run(clock: Clock, on_terminal: Make) -> None:
    terminal = on_terminal(Terminal())
    with progress(runs(1), quiet=False) as show:
        show({"type": "device", "device": "cpu"})
        show({"type": "started", "run": 0})
        show(tick(1, 0))
        clock.now = 5.0
        show(evaluated(0, 251, 321.25))
    last = terminal.getvalue().splitlines()[-2]
    assert "X-v0 batch 32 seed 0 ━━━━━━━" in last
    assert "  25%  return 321.2, 50 steps/s, 15 s left" in last
    assert "runs" not in terminal.getvalue()


def test_a_narrower_terminal_has_wrapped_the_lines_that_are_erased() -> None:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    screen = Screen(lambda width, height: "x" * 70 + "\n" + "y" * 20, console)
    screen.start(refresh=True)
    console.file = io.StringIO()
    console.width = 30
    screen.refresh()
    up = "\x1b[2K\x1b[1A"
    assert console.file.getvalue().startswith(f"{up}{up}\r\x1b[2K\x1b[1A\x1b[2K")
    screen.leave(keep=True)


@pytest.mark.parametrize("error", [BrokenPipeError, OSError])
@pytest.mark.parametrize("when", ["before", "meanwhile", "at the end"])
def test_a_terminal_that_is_gone_ends_nothing(error: type[OSError], when: str, on_terminal: Make) -> None:
    class Gone(Terminal):
        gone = when == "before"
        refused = 0

        def write(self, text: str) -> int:
            if self.gone:
                self.refused += 1
                raise error
            return super().write(text)

    terminal = on_terminal(Gone())
    with progress(runs(), quiet=False) as show:
        show({"type": "started", "run": 0})
        if when == "meanwhile":
            terminal.gone = True
            show._screen.refresh()  # type: ignore[attr-defined]
        terminal.gone = True
    assert terminal.refused > 0


def test_a_dumb_terminal_gets_lines(on_terminal: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = on_terminal(Terminal())
    with progress(runs(1), quiet=False) as show:
        show({"type": "started", "run": 0})
    assert terminal.getvalue() == "X-v0 batch 32 seed 0: started\n"


def test_lines_tell_start_and_end_of_a_single_run_and_little_between(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress(runs(1), quiet=False) as show:
        show({"type": "device", "device": "cpu"})
        show({"type": "started", "run": 0})
        for step in range(0, 1000, 100):
            clock.now += 3.0
            show(tick(step, 0))
            show(evaluated(0, step, 1.5))
        show(finished(0, outcome="diverged", reason="loss\x1b[2J not finite"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "X-v0 batch 32 seed 0: started",
        "X-v0 batch 32 seed 0: 300/1,000 steps, return 1.5, 33 steps/s, 21 s left",
        "X-v0 batch 32 seed 0: 700/1,000 steps, return 1.5, 33 steps/s, 9 s left",
        "X-v0 batch 32 seed 0: diverged (loss\\x1b[2J not finite), return 7",
    ]


def test_lines_of_several_runs_are_summaries_and_failures(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(runs(2, (32, 64)), quiet=False, left=range(4)) as show:
        for run in (0, 1):
            show({"type": "started", "run": run})
            show(evaluated(run, 0, 10.0 * run))
        for step in range(0, 1000, 100):
            clock.now += 1.0
            show(tick(step, 0, 1))
        show(finished(0))
        show(finished(1, outcome="env_error", reason="step raised"))
        clock.now += 10.0
        show({"type": "started", "run": 2})
    assert capsys.readouterr().err.splitlines() == [
        "0/4 runs done, 45%, 200 steps/s, 11 s left; batch 32: return 5 (2 runs)",
        "X-v0 batch 32 seed 1: env_error (step raised), return 7",
        "2/4 runs done, 50%, 100 steps/s, 20 s left, 1 env_error",
    ]


def test_a_summary_names_few_arms(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(runs(1, tuple(range(10, 17))), quiet=False) as show:
        for run in range(6):
            show(evaluated(run, 0, 1.0))
        clock.now = 11.0
        show(finished(0))
    told = ", ".join(f"batch {batch}: return 1 (1 run)" for batch in (11, 12, 13, 14))
    assert capsys.readouterr().err == f"1/7 runs done, 14%; {told}, and 1 more arm\n"


def test_a_failure_names_what_tells_its_arm_from_others(capsys: pytest.CaptureFixture[str]) -> None:
    with progress([*runs(1), *runs(1, learning_rate=0.5)], quiet=False) as show:
        show(finished(1, outcome="diverged", final={"return_mean": None}))
    assert capsys.readouterr().err == "X-v0 batch 32 lr 0.5 seed 0: diverged, return -\n"


def test_nobody_who_reads_the_lines_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            tried.append(text)
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    with progress(runs(1), quiet=False) as show:
        show({"type": "started", "run": 0})
    assert tried  # it did speak, and nothing came of it


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(runs(), quiet=True) as show:
        show({"type": "started", "run": 0})
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "-"),
        (500.0, "500"),
        (71.34, "71.3"),
        (0.00125, "0.00125"),
        (1234567, "1,234,567"),
        ("never", "never"),
        (-1233.5, "-1,233.5"),
    ],
)
def test_numbers_are_short(value: Any, told: str) -> None:
    assert number(value) == told


def test_sizes_durations_and_plurals_read_well() -> None:
    assert [size(n) for n in (12, 52_000, 2_600_000, 1.5e12)] == ["12 B", "52.0 kB", "2.6 MB", "1.5 TB"]
    assert [duration(s) for s in (48, 200, 7500)] == ["48 s", "3 min 20 s", "2 h 05 min"]
    assert [plural(n, "run") for n in (1, 1200)] == ["1 run", "1,200 runs"]


def test_lines_say_what_is_measured_first_and_what_is_not_as_it_should_be(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress(runs(), quiet=False) as show:
        for done in range(4):
            show({"type": "measuring", "done": done, "of": 3})
        show({"type": "note", "text": "costs\nand score scales: no"})
    assert capsys.readouterr().err.splitlines() == [
        "measuring what is not known of costs and score scales yet: 3, about a second each",
        "note: costs\\nand score scales: no",
    ]
    with progress(runs(), quiet=True) as show:
        show({"type": "measuring", "done": 0, "of": 3})
        show({"type": "note", "text": "no"})
    assert capsys.readouterr().err == ""


def test_a_terminal_counts_measurements_and_shows_notes_at_the_end(on_terminal: Make) -> None:
    state = Tally(runs())
    state.hear({"type": "measuring", "done": 1, "of": 3})
    assert drawn(state)[0].startswith("measuring costs 1/3")
    state.hear({"type": "measuring", "done": 3, "of": 3})
    assert drawn(state)[0].startswith("starting")
    terminal = on_terminal(Terminal())
    with progress(runs(), quiet=False) as show:
        show({"type": "note", "text": "no cost"})
        assert "no cost" not in terminal.getvalue()
    assert terminal.getvalue().splitlines()[-1].endswith("note: no cost")
