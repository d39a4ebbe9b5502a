"""A telemetry window: what travels is what was known, it reads back, and its schema is the one that is shipped."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from telemetry_windows import windows

from tidegate.telemetry.payloads.document import to_json
from tidegate.telemetry.payloads.window import FORM, KEYS, Window, parse_window
from tidegate.telemetry.payloads.window_schema import SHIPPED, window_schema

BARE = Window(1_800_000_000.0, 10.0, "full", 7, "down", 0, 0)


@given(windows)
def test_a_window_reads_back_as_it_was(window: Window) -> None:
    assert parse_window(to_json(window.to_document())) == window


@given(windows)
def test_nothing_unknown_travels(window: Window) -> None:
    document = window.to_document()
    assert None not in document.values()
    assert {} not in document.values()
    assert document.keys() <= {key for name, key in KEYS.items() if getattr(window, name) is not None}


def test_zero_is_told_and_unknown_is_not() -> None:
    idle = Window(1.0, 10.0, "full", 7, "serving", 0, 0, requests=0, energy_j=0.0, readings={"cpu": 0.0})
    assert {"n": 0, "e": 0, "r": {"cpu": 0}}.items() <= idle.to_document().items()
    assert not {"n", "e", "r", "risk"} & BARE.to_document().keys()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'"text"',
        to_json({**BARE.to_document(), "v": FORM + 1}),
        to_json({**BARE.to_document(), "n": -1}),
        to_json({**BARE.to_document(), "r": [1]}),
    ],
)
def test_what_is_no_window_of_this_form_is_none(payload: bytes) -> None:
    assert parse_window(payload) is None


def test_what_a_newer_agent_says_besides_is_left_out() -> None:
    assert parse_window(to_json({**BARE.to_document(), "seq": 4, "mood": "fine"})) is not None


def test_the_shipped_schema_is_that_of_the_payload() -> None:
    """`python -m tidegate.telemetry.payloads.window_schema` writes it anew."""
    assert json.loads(SHIPPED.read_text(encoding="utf-8")) == window_schema()


def test_the_shipped_schema_has_every_key_with_its_meaning() -> None:
    schema = json.loads(SHIPPED.read_text(encoding="utf-8"))
    assert set(schema["required"]) == {*BARE.to_document(), "seq"}
    assert list(schema["properties"]) == list(KEYS.values())
    assert all(each["description"] for each in schema["properties"].values())


def test_every_field_has_a_key_of_its_own() -> None:
    assert set(KEYS) == {each.name for each in fields(Window)}
    assert len(set(KEYS.values())) == len(KEYS)
