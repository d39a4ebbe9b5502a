"""The server that is measured: the worker's own endpoint on a kept network, in a process of its own.

`python -m tidegate_bench.serving.server DIRECTORY SOCKET` listens on a Unix socket and on a port of 127.0.0.1.
"""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tidegate.models.bundle.evidence import Canaries
from tidegate.models.ladder import Comparison, Ladder, Precision
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.endpoint import Endpoint
from tidegate.worker.http.connections import Connections
from tidegate.worker.http.open_files import MAX_CONNECTIONS, raise_file_limit
from tidegate.worker.http.server import Server
from tidegate.worker.inference_queue import InferenceQueue
from tidegate.worker.model_endpoint import ModelEndpoint
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.reception import Reception
from tidegate.worker.shadow import Shadow
from tidegate_bench.engine.runtimes.tidegate import open_onnx, unmeasured
from tidegate_bench.engine.store import open_inputs, open_network, open_ranges
from tidegate_bench.race import answer_requests, output_for_answers
from tidegate_bench.serving.streamed import streamed_ns

MODEL, INPUT, OUTPUT = "network", "image", "logits"
SCALE = 1 / 255
RAW_SUFFIX = ".raw"
"""Of the path at which pictures are taken without a protocol."""


def main() -> None:
    """Entry point of the process."""
    directory, path = Path(sys.argv[1]), sys.argv[2]
    raise_file_limit()
    output = output_for_answers()
    network = open_network(directory)
    engine = open_onnx(directory, network)
    point = unmeasured(engine.name, Precision.INT8, 1, ranges=open_ranges(directory))
    queue = InferenceQueue(engine.prepare(point))
    sample = open_inputs(directory)[:1]
    outputs = queue.infer(sample).result().answer.outputs
    interface = Interface(INPUT, sample.shape[1:], SCALE, OUTPUT, tuple(map(str, range(outputs.shape[1]))))
    # Neither has work to do here: no request asks for a bound, and no share of the answers is shadowed.
    shadow = Shadow(engine, point, Comparison(), queue)
    listening = [socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 0))]
    listening[0].bind(path)
    listening[0].listen()
    raw = socket.socket(socket.AF_UNIX)
    raw.bind(f"{path}{RAW_SUFFIX}")
    raw.listen()

    variant = engine.prepare(point)

    def serve_raw() -> None:
        connected, _ = raw.accept()
        batch = np.empty_like(sample)
        while connected.recv_into(batch.data.cast("B"), batch.nbytes, socket.MSG_WAITALL) == batch.nbytes:
            connected.sendall(variant.run(batch).outputs.tobytes())

    async def serve() -> None:
        certified = CertifiedAnswers(
            engine, Ladder((point,)), {}, Canaries(sample, outputs, {}, Comparison()), queue
        )
        reception = Reception()
        endpoint = Endpoint(ModelEndpoint(MODEL, interface, queue, certified, reception, shadow), reception)
        await Server(endpoint, Connections(MAX_CONNECTIONS), lambda: None).serve(listening)

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    threading.Thread(target=serve_raw, daemon=True).start()

    def bare(answers: int) -> int:
        began_ns = time.process_time_ns()
        for _ in range(answers):
            variant.run(sample)
        return time.process_time_ns() - began_ns

    def measured(request: dict[str, Any]) -> Mapping[str, object]:
        match request["do"]:
            case "bare":
                # In the thread that answers requests, whose caches and allocator are the ones that count.
                return {"ns": queue.call(lambda: bare(request["answers"])).result()}
            case "stream":
                return {"ns": streamed_ns(request["answers"], sample.shape[1:], interface, queue, shadow)}
            case "about":
                return {"port": listening[1].getsockname()[1], "answer_bytes": outputs.nbytes}
            case _:
                return {"ns": time.process_time_ns()}

    answer_requests(measured, output)


if __name__ == "__main__":
    main()
