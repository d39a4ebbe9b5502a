"""A real endpoint on the shipped bundle, in this process."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tidegate.engines.runtime.installed import installed_engines
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.endpoint import Endpoint
from tidegate.worker.http.connections import Connections
from tidegate.worker.http.server import Server
from tidegate.worker.inference_queue import InferenceQueue
from tidegate.worker.model_endpoint import ModelEndpoint
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.reception import Reception
from tidegate.worker.shadow import Shadow


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    bundle = open_bundle(profiles_directory() / "bundles" / "digits")
    engine = open_engine(installed_engines()[0], bundle, None, False)
    queue = InferenceQueue(engine.prepare(bundle.ladder.full))
    interface = Interface.of(bundle)
    shadow = Shadow(engine, bundle.ladder.full, bundle.calibration.comparison, queue)
    certified_answers = CertifiedAnswers(engine, bundle.ladder, {}, bundle.canaries(), queue)
    reception = Reception()
    yield Endpoint(ModelEndpoint(bundle.model, interface, queue, certified_answers, reception, shadow), reception)
    queue.close()


@pytest.fixture(scope="module")
def port(endpoint: Endpoint) -> Iterator[int]:
    """Of 127.0.0.1, where it answers: in another thread, as other projects' clients block theirs."""
    listening = socket.create_server(("127.0.0.1", 0))
    started: Future[tuple[asyncio.AbstractEventLoop, Server]] = Future()

    async def serve() -> None:
        server = Server(endpoint, Connections(16), lambda: None)
        started.set_result((asyncio.get_running_loop(), server))
        await server.serve([listening])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, server = started.result(10)
    yield int(listening.getsockname()[1])
    loop.call_soon_threadsafe(server.stop)
    thread.join(10)
