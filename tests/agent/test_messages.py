"""Messages between supervisor and worker survive the wire; anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.messages import (
    Ping,
    Pong,
    Ready,
    Report,
    Served,
    Standing,
    Stop,
    Switch,
    Switched,
    decode_from_worker,
    decode_to_worker,
    encode,
)

numbers = st.floats(0, 1e9, allow_nan=False)
counts = st.integers(0, 2**40)
to_worker = st.one_of(
    st.builds(Switch, counts, st.text(max_size=20), kind=st.just("switch")),
    st.builds(Ping, counts, kind=st.just("ping")),
    st.builds(Report, counts, kind=st.just("report")),
    st.builds(Standing, st.booleans(), st.booleans(), st.text(max_size=20), kind=st.just("standing")),
    st.builds(Stop, kind=st.just("stop")),
)
from_worker = st.one_of(
    st.builds(Ready, counts, st.text(max_size=20), st.text(max_size=20), kind=st.just("ready")),
    st.builds(
        Switched,
        counts,
        st.booleans(),
        st.text(max_size=20),
        numbers,
        numbers,
        st.none() | numbers,
        st.text(max_size=20),
        kind=st.just("switched"),
    ),
    st.builds(Pong, counts, kind=st.just("pong")),
    st.builds(
        Served,
        counts,
        numbers,
        counts,
        counts,
        counts,
        st.none() | numbers,
        st.none() | numbers,
        st.none() | numbers,
        counts,
        kind=st.just("served"),
    ),
)


@given(to_worker)
def test_messages_to_the_worker_survive(message: Switch | Ping | Report | Standing | Stop) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_to_worker(line) == message


@given(from_worker)
def test_messages_from_the_worker_survive(message: Ready | Switched | Pong | Served) -> None:
    assert decode_from_worker(encode(message)) == message


@given(st.binary(max_size=80))
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(ValidationError):
        decode_to_worker(line)
