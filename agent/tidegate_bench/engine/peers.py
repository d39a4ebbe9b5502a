"""All peers by name. A runtime is imported where a peer is opened: each process loads one alone."""

from collections.abc import Mapping

from tidegate_bench.engine.runtimes import (
    executorch,
    litert_torch,
    mnn,
    ncnn,
    onnxruntime,
    openvino,
    tidegate,
    torch,
)
from tidegate_bench.engine.runtimes.peer import Peer

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for runtime in (torch, onnxruntime, openvino, litert_torch, ncnn, mnn, executorch, tidegate)
    for peer in runtime.PEERS
}
