"""Messages between supervisor and worker survive the wire; anything else is refused."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tidegate.messages import (
    LINE_LIMIT_BYTES,
    REASON_LIMIT,
    AdmissionState,
    FurtherModelSpec,
    FurtherModelState,
    ModelsSet,
    ModelState,
    ModelStates,
    Ping,
    Pong,
    Ready,
    Report,
    Serve,
    Served,
    SetModels,
    Starting,
    Stop,
    StreamSpec,
    Switch,
    Switched,
    Tried,
    decode_from_worker,
    decode_to_worker,
    encode,
    lines,
)

numbers = st.floats(0, 1e9, allow_nan=False)
counts = st.integers(0, 2**40)
to_worker = st.one_of(
    st.builds(Switch, counts, st.text(max_size=20), kind=st.just("switch")),
    st.builds(Ping, counts, kind=st.just("ping")),
    st.builds(Report, counts, kind=st.just("report")),
    st.builds(AdmissionState, st.booleans(), st.booleans(), st.text(max_size=20), kind=st.just("admission")),
    st.builds(
        Serve,
        st.lists(st.builds(StreamSpec, st.text(max_size=9), st.text(max_size=9)), max_size=2).map(tuple),
        kind=st.just("serve"),
    ),
    st.builds(
        SetModels,
        counts,
        st.lists(st.builds(FurtherModelSpec, *[st.text(max_size=9)] * 5), max_size=2).map(tuple),
        kind=st.just("set_models"),
    ),
    st.builds(Stop, kind=st.just("stop")),
)
model_states = st.builds(
    FurtherModelState, st.text(max_size=9), st.text(max_size=9), st.sampled_from(ModelState), st.booleans()
)
from_worker = st.one_of(
    st.builds(Starting, st.text(max_size=20), kind=st.just("starting")),
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
    st.builds(ModelStates, st.lists(model_states, max_size=2).map(tuple), kind=st.just("model_states")),
    st.builds(
        ModelsSet,
        counts,
        st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=2),
        kind=st.just("models_set"),
    ),
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
def test_messages_to_the_worker_survive(message: Switch | Ping | Report | AdmissionState | Stop) -> None:
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


@pytest.mark.parametrize(
    "message",
    [
        AdmissionState(fits=False, refuse=True, reason="\N{SNOWMAN}\n" * 40_000),
        Switched(1, False, "full", 0.0, 0.0, None, "x" * 10_000_000),
        Ready(1, "full", "onnx", {f"point-{number}": "why " * 20_000 for number in range(200)}),
        Tried("onnx", {f"point-{number}": "why " * 20_000 for number in range(200)}),
        ModelStates(
            tuple(
                FurtherModelState(
                    f"model-{model}",
                    "ab" * 32,
                    ModelState.UNAVAILABLE,
                    True,
                    reason="why " * 20_000,
                    refused={f"point-{number}": "why " * 20_000 for number in range(200)},
                )
                for model in range(8)
            )
        ),
        ModelsSet(1, {f"model-{model}": "why " * 20_000 for model in range(8)}),
    ],
)
def test_what_is_said_has_a_bound_whatever_the_reason(message: AdmissionState | Switched | Ready | Tried) -> None:
    line = encode(message)
    assert len(line) < LINE_LIMIT_BYTES
    decoded = decode_to_worker(line) if isinstance(message, AdmissionState) else decode_from_worker(line)
    match decoded:
        case Ready() | Tried():
            reasons = [*decoded.refused.values()]
        case ModelsSet():
            reasons = [*decoded.failed.values()]
        case ModelStates():
            reasons = [each.reason for each in decoded.models]
        case _:
            reasons = [decoded.reason]  # type: ignore[union-attr]
    assert reasons
    assert all(len(reason) == REASON_LIMIT and reason.endswith("\N{HORIZONTAL ELLIPSIS}") for reason in reasons)


@pytest.mark.parametrize("length", [1000, 1001, 1025, 5000, 100_000])
def test_a_line_that_is_too_long_is_dropped_and_the_channel_goes_on(
    length: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def read() -> list[bytes]:
        reader = asyncio.StreamReader(limit=1000)
        for data in (b"before\n", b"x" * length, b"\n", b"after\n", b"cut off"):
            reader.feed_data(data)
        reader.feed_eof()
        return [line async for line in lines(reader)]

    with caplog.at_level(logging.ERROR):
        came = asyncio.run(read())
    assert [line for line in came if not line.startswith(b"x")] == [b"before\n", b"after\n"]
    assert len(came) == 2 + (length <= 1000)
    assert len(caplog.records) == (length > 1000)
