"""Strict YAML: what is read, where it stands, and that every trap of YAML is an error with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbatch import strict_yaml
from rlbatch.errors import InputError
from rlbatch.strict_yaml import parse, read


def refusal(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        parse(text, "f.yaml")
    return caught.value


def test_plain_data_is_read_with_the_place_of_every_value() -> None:
    document = parse("a: [1, -2.5, x]\nb:\n  c: true\n  d: 0..19\ne: 'no'\nf: null\n", "f.yaml")
    assert document.content == {"a": [1, -2.5, "x"], "b": {"c": True, "d": "0..19"}, "e": "no", "f": None}
    assert document.where(("a", 2)) == "f.yaml:1:14"
    assert document.where(("b", "d")) == "f.yaml:4:3"
    assert document.where(("b", "nowhere", 7)) == "f.yaml:2:1"
    assert document.origin(("b", "d")) == "f.yaml:4"


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.0e-4", "0.0001", "0.1e-3"])
def test_a_number_is_read_as_in_yaml_1_2(text: str) -> None:
    assert parse(f"a: {text}", "f").content == {"a": 1e-4}


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20))
def test_any_number_of_python_is_read_back(value: float) -> None:
    read_back = parse(f"a: {value!r}", "f").content["a"]
    assert read_back == value
    assert type(read_back) is type(value)


@pytest.mark.parametrize(
    "text", ["010", "0x20", "0o10", "1_000", "12:30:00", "+5", ".5", "5.", ".inf", "-.INF", ".nan"]
)
def test_a_number_in_another_spelling_is_refused(text: str) -> None:
    error = refusal(f"a: 1\nb: [2, {text}]")
    assert (error.where, error.what) == ("f.yaml:2:8", f"{text!r} is a number to some readers of YAML")
    assert "plain decimal" in error.hint


@pytest.mark.parametrize("text", ["yes", "no", "on", "Off", "True", "FALSE", "y", "N"])
def test_a_boolean_in_another_spelling_is_refused(text: str) -> None:
    assert "write true or false" in refusal(f"a: {text}").hint


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1", "'a' stands twice, before in line 1"),
        ("a: {b: 1, b: 2}", "f.yaml:1:11", "'b' stands twice"),
        ("a: &x 1", "f.yaml:1:4", "anchor"),
        ("a: *x", "f.yaml:1:4", "anchor"),
        ("a: {<<: {b: 1}}", "f.yaml:1:5", "merge key"),
        ("a: !!python/object/apply:os.system [id]", "f.yaml:1:4", "holds the tag"),
        ("a: !env HOME", "f.yaml:1:4", "holds the tag '!env'"),
        ("a: 2024-01-01", "f.yaml:1:4", "is a date"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1", "second document"),
        ("%YAML 1.2\n---\na: 1", "f.yaml:1:1", "directive"),
        ("1: 2", "f.yaml:1:1", "key that is not text"),
        ("? [1]\n: 2", "f.yaml:1:3", "key that is not text"),
        ("a: 1\nb:\n", "f.yaml:2", "has no value"),
        ("a: ~", "f.yaml:1:4", "has no value"),
        ("- 1", "f.yaml:1:1", "is not a mapping at the top"),
        ("words", "f.yaml:1:1", "is not a mapping at the top"),
        ("", "f.yaml", "is empty"),
        ("# only this\n", "f.yaml", "is empty"),
        ("a: 1\n\tb: 2", "f.yaml:2:1", "is not YAML"),
        ("a: [1", "f.yaml", "is not YAML"),
        ("a: 1e999", "f.yaml:1:4", "out of the range"),
        ("a: 1e-999", "f.yaml:1:4", "out of the range"),
        (f"a: {'9' * 5000}", "f.yaml:1:4", "too many digits"),
        (f"a: {'[' * 30}{']' * 30}", "f.yaml:1:24", "more than 20 deep"),
        (f"a: [{'1, ' * 10_000}1]", "f.yaml:1:", "more than 10,000 values"),
        ("a: 1\nb: \0", "f.yaml:2:4", "holds the character"),
        ("\ufeffa: 1", "f.yaml:1:1", "byte order mark"),
    ],
)
def test_what_yaml_can_do_and_a_reader_would_miss_is_refused(text: str, where: str, said: str) -> None:
    error = refusal(text)
    assert error.where.startswith(where)
    assert said in error.what


def test_the_slow_parser_refuses_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_yaml, "_LOADER", strict_yaml.yaml.SafeLoader)
    assert parse("a: 1e-4\nb: 'no'", "f").content == {"a": 1e-4, "b": "no"}
    assert refusal("a: 010").where == "f.yaml:1:4"
    assert "stands twice" in refusal("a: 1\na: 1").what


def test_line_endings_and_spaces_at_the_end_change_nothing() -> None:
    text = "a: [1, 2]\nb: x y\n"
    assert parse(text.replace("\n", "  \r\n"), "f").content == parse(text, "f").content


def test_what_is_no_small_utf8_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * (2**20 + 1))
    os.mkfifo(tmp_path / "pipe.yaml")
    cases = {"latin.yaml": "is not UTF-8", "large.yaml": "larger than", "pipe.yaml": "is not a file", ".": "is not a"}
    for name, said in (cases | {"none.yaml": "cannot be read"}).items():
        with pytest.raises(InputError, match=said):
            read(tmp_path / name)
    with pytest.raises(InputError, match="is not a file"):
        read(Path("/dev/zero"))
