"""Values: which raw inputs become a typed value."""

from __future__ import annotations

from typing import Any

import pytest

from rlbatch.values import Choice, Either, Integer, Real, boolean, ent_coef, from_json, layers, mapping, text


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (Integer(1), True),
        (Integer(1), "32"),
        (Integer(1), 0),
        (Integer(1, 5), 6),
        (Integer(1), 2**31),
        (Real(0), True),
        (Real(0), float("nan")),
        (Real(0), float("inf")),
        (Real(0, above_low=True), 0),
        (Real(0, 1, below_high=True), 1.0),
        (Real(0), "0.1"),
        (Choice(("a", "b")), "c"),
        (Choice(("a", "b")), ["a"]),
        (boolean, 1),
        (boolean, "true"),
        (text, ""),
        (text, "a\x1b[31m"),
        (layers, 64),
        (layers, [0]),
        (layers, [64.0]),
        (layers, [8] * 9),
        (ent_coef, "auto_0"),
        (ent_coef, "automatic"),
        (ent_coef, -0.1),
        (mapping, [1]),
        (mapping, {1: 2}),
        (mapping, {"a": float("nan")}),
        (Either((Choice(("auto",)), Real())), "x"),
        (Either((Real(),)), None),
    ],
)
def test_a_wrong_value_is_refused_with_a_reason(check: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        check(value)


def test_a_whole_float_says_how_to_write_it() -> None:
    with pytest.raises(ValueError, match="use 32"):
        Integer(1)(32.0)


@pytest.mark.parametrize(
    ("check", "value", "typed"),
    [
        (Integer(1, special=(-1,)), -1, -1),
        (Real(0), 1, 1.0),
        (layers, [64, 32], (64, 32)),
        (layers, [], ()),
        (ent_coef, "auto_0.1", "auto_0.1"),
        (ent_coef, 1, 1.0),
        (Either((Real(),), none=True), None, None),
        (mapping, {"g": [1, {"a": None}]}, {"g": [1, {"a": None}]}),
    ],
)
def test_a_right_value_becomes_typed(check: Any, value: Any, typed: Any) -> None:
    result = check(value)
    assert result == typed
    assert type(result) is type(typed)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("1e-4", 1e-4), ("32", 32), ("true", True), ("[64,64]", [64, 64]), ("sqrt", "sqrt"), ("null", None), ('"a"', "a")],
)
def test_a_setting_is_read_as_json_or_text(raw: str, value: Any) -> None:
    assert from_json(raw) == value


@pytest.mark.parametrize("raw", ["", " ", "NaN", "Infinity", "-Infinity", "[64", '{"a":1,"a":2}', "'a'"])
def test_what_only_looks_like_json_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        from_json(raw)


@pytest.mark.parametrize("raw", ["1_000", "010", "0x20", "1e3x", "٣٢"])
def test_other_ways_to_write_numbers_stay_text_and_are_no_integers(raw: str) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        Integer(1)(from_json(raw))
