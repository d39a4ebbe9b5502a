"""Values in ONNX Runtime's blocks between gates in fp32: what comes of it, and where they are used."""

import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from random_networks import all_knobs, batch_for, difference, image_network, image_networks, point
from ranged_engine import RangedEngine

from tidegate.engines.engine import Answer
from tidegate.engines.onnxruntime import nchwc
from tidegate.engines.onnxruntime.engine import OnnxEngine
from tidegate.engines.onnxruntime.protobuf import OnnxGraph, OnnxNode, model_bytes
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.network_cache import NO_CACHE, NetworkCache
from tidegate.engines.runtime.processor import cpu_flags
from tidegate.models.ladder import Activation, Activity, OperatingPoint, Precision, StandIn
from tidegate.models.network import TrainedNetwork

EXACT = 1e-4
NEEDS_BLOCKS = pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"}, reason="elsewhere ONNX Runtime may know no blocks of channels"
)
KINDS = ("residual", "inverted", "residual", "downsample", "residual", "twice_read")
NETWORK = image_network(KINDS, 16, 0)
"""The last two blocks have 24 channels, which don't fill the widest blocks."""
BATCH = batch_for(NETWORK)
GATES = {"b0": -1.0, "b1": -1.0, "b2": -1.0, "b4": -1.0, "b5": -1.0}
GATED = point("onnx", thresholds=GATES)


def answered(chosen: OperatingPoint, directory: Path | None, network: TrainedNetwork = NETWORK) -> Answer:
    cache = NO_CACHE if directory is None else NetworkCache(Cache(directory))
    return RangedEngine(OnnxEngine(network, cache), network, lambda: BATCH).prepare(chosen).run(BATCH)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[OnnxGraph]]:
    """The graphs that were put together out of optimized subgraphs."""
    graphs: list[OnnxGraph] = []

    def bytes_of(graph: OnnxGraph) -> bytes:
        graphs.append(graph)
        return model_bytes(graph)

    monkeypatch.setattr(nchwc, "model_bytes", bytes_of)
    return graphs


def nodes_of(graph: OnnxGraph) -> Iterator[OnnxNode]:
    for node in graph.nodes:
        yield node
        for value in node.attributes.values():
            if isinstance(value, OnnxGraph):
                yield from nodes_of(value)


@NEEDS_BLOCKS
@pytest.mark.skipif("avx512f" not in cpu_flags(), reason="blocks are 8 channels wide here: 24 channels fill them")
def test_values_are_turned_where_channels_do_not_fill_blocks_and_nowhere_else(
    tmp_path: Path, built: list[OnnxGraph]
) -> None:
    answered(GATED, tmp_path)
    (graph,) = built
    turned = [node.outputs[0].split("/")[0] for node in nodes_of(graph) if node.type.startswith("Reorder")]
    assert turned == ["b3", "b4", "b4", "b5", "b5"]
    (branch,) = (node.attributes["then_branch"] for node in graph.nodes if node.outputs == ("b0/result",))
    assert isinstance(branch, OnnxGraph)
    # The shortcut is added inside the second one.
    assert [node.type for node in branch.nodes] == ["Conv", "Conv"]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), network=image_networks)
def test_they_answer_as_eager_does(data: st.DataObject, network: TrainedNetwork) -> None:
    chosen = point("onnx", **data.draw(all_knobs(network, (Precision.FP32,))) | {"activations": {}})
    batch = batch_for(network)
    expected = EagerEngine(network).prepare(replace(chosen, engine="eager")).run(batch)
    with TemporaryDirectory() as directory:
        engine = OnnxEngine(network, NetworkCache(Cache(Path(directory))))
        # The second time from files.
        for _ in range(2):
            answer = engine.prepare(chosen).run(batch)
            assert difference(answer.outputs, expected.outputs) < EXACT
            assert answer.executed_blocks == expected.executed_blocks


@NEEDS_BLOCKS
@pytest.mark.parametrize(
    ("activity", "least", "most"),
    [
        (Activity.MEAN_ABS, 0.05, 5),
        (Activity.RMS, 0.05, 5),
        (Activity.MAX, 0.5, 50),
        (Activity.SPARSITY, 0.3, 0.9),
    ],
)
def test_gates_open_for_the_same_samples_as_without_blocks(
    tmp_path: Path, activity: Activity, least: float, most: float, built: list[OnnxGraph]
) -> None:
    executed = set()
    for threshold in np.geomspace(least, most, 12):
        chosen = point("onnx", activity=activity, thresholds=dict.fromkeys(GATES, float(threshold)))
        found, expected = answered(chosen, tmp_path), answered(chosen, None)
        assert found.executed_blocks == expected.executed_blocks
        assert difference(found.outputs, expected.outputs) < EXACT
        executed.add(found.executed_blocks)
    assert len(executed) > 2
    assert len(built) == 12


@NEEDS_BLOCKS
def test_stand_ins_and_exits_go_with_them(tmp_path: Path, built: list[OnnxGraph]) -> None:
    for kind in (StandIn.AFFINE, StandIn.SURROGATE):
        for shut in (-1.0, 1e9):
            chosen = point(
                "onnx",
                thresholds=dict.fromkeys(GATES, shut),
                stand_ins=dict.fromkeys(GATES, kind),
                exits={"b2": 0.2, "b5": 0.2},
            )
            found, expected = answered(chosen, tmp_path), answered(chosen, None)
            assert found.executed_blocks == expected.executed_blocks
            assert difference(found.outputs, expected.outputs) < EXACT
    assert built


@pytest.mark.parametrize(
    "chosen",
    [
        point("onnx"),
        replace(GATED, activity=Activity.FRAME_CHANGE),
        replace(GATED, activity=Activity.BLOCK_CHANGE),
        replace(GATED, activations={"b0.relu_1": Activation(threshold=0.1)}),
        replace(GATED, precision=Precision.INT8),
        replace(GATED, engine="eager", precision=Precision.INT8),
        point("onnx", thresholds={"b4": -1.0, "b5": -1.0}),
    ],
    ids=["no gates", "frames", "blocks before", "AA-ReLU", "int8", "rounded weights", "24 channels"],
)
def test_other_partitions_are_built_whole(tmp_path: Path, chosen: OperatingPoint, built: list[OnnxGraph]) -> None:
    answered(chosen, tmp_path)
    assert not built


@NEEDS_BLOCKS
def test_points_share_the_optimized_subgraphs(tmp_path: Path, built: list[OnnxGraph]) -> None:
    answered(GATED, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("graph.onnx")}
    answered(replace(GATED, thresholds={"b0": -1.0}, threads=2), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("graph.onnx")} == before
    assert len(built) == 2


@NEEDS_BLOCKS
@pytest.mark.parametrize("damaged", ["graph.onnx", "graph.weights"])
@pytest.mark.parametrize("left", [0, 100])
def test_optimized_subgraphs_that_were_cut_short_are_made_again(
    tmp_path: Path, damaged: str, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    expected = answered(GATED, tmp_path).outputs.tobytes()
    sizes = {path: path.stat().st_size for path in tmp_path.rglob(damaged)}
    os.truncate(max(sizes, key=lambda path: sizes[path]), left)
    assert answered(GATED, tmp_path).outputs.tobytes() == expected
    assert "is damaged and made again" in caplog.text
    assert {path: path.stat().st_size for path in tmp_path.rglob(damaged)} == sizes


def test_a_place_that_takes_no_files_is_no_fault() -> None:
    found = answered(GATED, Path("/proc/nowhere"))
    assert difference(found.outputs, answered(GATED, None).outputs) < EXACT


@NEEDS_BLOCKS
def test_a_point_answers_the_same_bits_whatever_was_prepared_before(
    tmp_path: Path, built: list[OnnxGraph]
) -> None:
    """Its first partition is the other point's, but for the blocks of channels."""
    plain = point("onnx", thresholds=GATES, exits={"b3": 0.2})
    head = NETWORK.segments[-1].layers[0]
    rounded = replace(plain, engine="eager", layer_precision={head: Precision.INT8})
    expected = OnnxEngine(NETWORK, NetworkCache(Cache(tmp_path))).prepare(rounded).run(BATCH)
    assert not built
    engine = OnnxEngine(NETWORK, NetworkCache(Cache(tmp_path)))
    first = engine.prepare(plain)
    assert built
    found = engine.prepare(rounded).run(BATCH)
    first.release()
    assert found.outputs.tobytes() == expected.outputs.tobytes()
