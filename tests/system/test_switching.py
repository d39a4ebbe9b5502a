"""Switching under load, through a real worker: no failed request, full comes back bit-identical."""

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_process import BUNDLE, ENGINE, rungs

from tidegate.demo.client import LoadClient, UnixConnection
from tidegate.engines.runtime.installed import installed_engines
from tidegate.models.bundle import open_bundle
from tidegate.supervisor.sockets.listeners import Listeners, open_listeners
from tidegate.supervisor.worker.process import WorkerEnded, WorkerProcess
from tidegate.supervisor.worker.spec import WorkerSpec

ROUNDS = 2
LEAST_SERVED = 30
"""Requests that the switches are to fall between; a busy machine goes on switching until it has answered them."""


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Listeners]:
    opened = open_listeners(tmp_path / "tidegate.sock", 0)
    yield opened
    opened.close()


def ask(listeners: Listeners) -> dict[str, object]:
    """One request with the first canary; the whole reply."""
    bundle = open_bundle(BUNDLE)
    image = bundle.canaries().inputs[:1]
    tensor = {
        "name": bundle.input.name,
        "shape": list(image.shape),
        "datatype": "FP32",
        "data": image.ravel().tolist(),
    }
    connection = UnixConnection(str(listeners.unix_path), 30)
    connection.request("POST", f"/v2/models/{bundle.model}/infer", json.dumps({"id": "a", "inputs": [tensor]}))
    reply: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return reply


WAYS = [(engine, False) for engine in installed_engines()] + [(engine, True) for engine in installed_engines()[:1]]


@pytest.mark.parametrize(("engine", "spin"), WAYS)
def test_every_switch_falls_between_two_requests(listeners: Listeners, engine: str, spin: bool) -> None:
    asyncio.run(switch_through_the_ladder(listeners, engine, spin))


async def switch_through_the_ladder(listeners: Listeners, engine: str, spin: bool) -> None:
    bundle = open_bundle(BUNDLE)
    samples = bundle.samples()
    ended: list[WorkerEnded] = []
    worker = WorkerProcess(WorkerSpec(BUNDLE, engine, listeners.sockets, spin=spin), "full", ended.append)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(100):
        await worker.wait_ready()
        before = await asyncio.to_thread(ask, listeners)
        client = LoadClient(bundle.model, bundle.input.name, listeners.unix_path, listeners.tcp_port)
        load = asyncio.create_task(asyncio.to_thread(client.run, samples.raw, samples.labels, 200.0, 1e12))
        names = rungs(engine)
        rounds = 0
        while rounds < ROUNDS or client.summary.served <= LEAST_SERVED:
            rounds += 1
            for name in [*names[::-1], *names[::2], names[-1]]:
                switched = await worker.switch(name)
                assert (switched.ok, switched.point, switched.canary_agreement) == (True, name, 1.0)
        unknown = await worker.switch("no-such-point")
        assert not unknown.ok
        assert unknown.point == names[-1]
        assert (await worker.switch("full")).ok
        client.stopping = True
        await load
        after = await asyncio.to_thread(ask, listeners)
        await worker.stop()
        await running
    assert client.summary.served > LEAST_SERVED
    assert (client.summary.failed, client.summary.retried) == (0, 0)
    assert after == before, "the full point answers to the last bit as it did before any switch"
    assert before["parameters"] == {
        "operating_point": "full",
        "skip_ratio": 0.0,
        "policy_fits": True,
        "certified_risk": 0.0,
    }
    assert ended == []


def test_endpoint_refuses_bad_requests_and_goes_on(listeners: Listeners) -> None:
    asyncio.run(make_every_mistake(listeners))


async def make_every_mistake(listeners: Listeners) -> None:
    worker = WorkerProcess(WorkerSpec(BUNDLE, ENGINE, listeners.sockets), "full", lambda _: None)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        await worker.wait_ready()
        answers = await asyncio.to_thread(send_bad_requests, listeners)
        good = await asyncio.to_thread(ask, listeners)
        served = await worker.report()
        await worker.stop()
        await running
    for (status, body), words in zip(answers, BAD_ANSWERS, strict=True):
        assert status == words[0]
        assert words[1] in body
    assert "outputs" in good
    assert served is not None
    assert (served.requests, served.failed) == (1, 0)


BAD_ANSWERS = [
    (400, "body"),
    (400, "inputs"),
    (400, "the model's input is"),
    (400, "allowed is [1..64, 1, 8, 8]"),
    (400, "found 3 values"),
    (400, "NaN"),
    (400, "whole numbers from 0 to 255"),
    (404, "/v2/models/digits"),
]


def send_bad_requests(listeners: Listeners) -> list[tuple[int, str]]:
    """What the endpoint says to each mistake."""
    good = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0.0] * 64}
    name = open_bundle(BUNDLE).input.name
    good["name"] = name
    bodies = [
        ("digits", "not json"),
        ("digits", json.dumps({"inputs": []})),
        ("digits", json.dumps({"inputs": [{**good, "name": "other"}]})),
        ("digits", json.dumps({"inputs": [{**good, "shape": [1, 3, 8, 8]}]})),
        ("digits", json.dumps({"inputs": [{**good, "data": [1, 2, 3]}]})),
        ("digits", json.dumps({"inputs": [{**good, "data": [float("nan")] * 64}]})),
        ("digits", json.dumps({"inputs": [{**good, "datatype": "UINT8", "data": [0.5] * 64}]})),
        ("other", json.dumps({"inputs": [good]})),
    ]
    answers = []
    for model, body in bodies:
        connection = http.client.HTTPConnection("127.0.0.1", listeners.tcp_port or 0, timeout=30)
        connection.request("POST", f"/v2/models/{model}/infer", body)
        response = connection.getresponse()
        answers.append((response.status, response.read().decode()))
        connection.close()
    return answers
