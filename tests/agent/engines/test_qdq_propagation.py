"""Values that are moved between codes and a gate's fp32 block: ONNX Runtime must not take the process along."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from operator_arguments import Drawn, X
from random_networks import Builder, batch_for, difference, image_network, point
from random_operators import IMAGE, behind_an_exit, network_around
from ranged_engine import with_ranges
from test_engines_agree import INT8, open_onnx

from tidegate.engines.onnxruntime import model_cache
from tidegate.engines.onnxruntime.engine import OnnxEngine
from tidegate.engines.onnxruntime.protobuf import OnnxGraph
from tidegate.engines.onnxruntime.qdq_propagation import OPTIMIZER, disabled_optimizers
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork

PERMUTE = "aten.permute.default"


def around(operator: str, *args: object) -> TrainedNetwork:
    return network_around(Drawn((X, *args)), operator, IMAGE, None, np.random.default_rng(0))


def behind_a_removed_node(operator: str, number: float) -> TrainedNetwork:
    """With an operator in front that changes nothing, which ONNX Runtime removes first."""
    whole = around(PERMUTE, (0, 1, 3, 2))
    build = Builder("b0", IMAGE, {}, np.random.default_rng(0))
    channels, height, width = IMAGE
    turned = (channels, width, height)
    build.add(PERMUTE, (build.add(operator, (X, number), IMAGE), (0, 1, 3, 2)), turned)
    stem, _, *others = whole.segments
    return replace(whole, segments=(stem, replace(build.done(), fixed=True), *others))


NETWORKS = {
    "permute": around(PERMUTE, (0, 1, 3, 2)),
    "transpose": around("aten.transpose.int", 2, 3),
    "slice": around("aten.slice.Tensor", 2, 1, 4, 2),
    "max_pool2d": behind_an_exit(around("aten.max_pool2d.default", (3, 2), (2, 1)), np.random.default_rng(0)),
    "permute behind + 0": behind_a_removed_node("aten.add.Tensor", 0.0),
    "permute behind x 1": behind_a_removed_node("aten.mul.Tensor", 1.0),
}


def gated(name: str, precision: Precision) -> dict[str, object]:
    """The knobs of a point at which all blocks are gated and in fp32, the rest in this precision."""
    blocks = [segment for segment in NETWORKS[name].segments if segment.name in {"a", "b1"}]
    inside = {layer: Precision.FP32 for block in blocks for layer in block.layers}
    thresholds = {block.name: -1.0 for block in blocks}
    return {"precision": precision, "layer_precision": inside, "thresholds": thresholds}


PROGRAM = """
import pickle, sys
from pathlib import Path
from tidegate.engines.onnxruntime.engine import OnnxEngine
asked, found = pickle.loads(Path(sys.argv[1]).read_bytes()), []
for case, (network, point, batch) in asked.items():
    print(case, flush=True)
    found.append(OnnxEngine(network).prepare(point).run(batch).outputs)
Path(sys.argv[1]).write_bytes(pickle.dumps(found))
"""


def test_moved_values_may_enter_gated_blocks_in_fp32(tmp_path: Path) -> None:
    """In a process of its own, which an abort ends and not this one; all that takes torch is done in this one."""
    asked, expected = {}, []
    for name, network in NETWORKS.items():
        batch = batch_for(network)
        for precision in (Precision.INT8, Precision.INT4):
            knobs = gated(name, precision)
            expected.append(EagerEngine(network).prepare(point("eager", **knobs)).run(batch).outputs)
            asked[name, precision] = network, with_ranges(point("onnx", **knobs), network, batch), batch
    file = tmp_path / "cases"
    file.write_bytes(pickle.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file)], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    found = pickle.loads(file.read_bytes())
    shares = dict(zip(asked, map(difference, found, expected), strict=True))
    assert all(share < INT8 for share in shares.values()), shares


@pytest.fixture
def disabled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was disabled for each model that was opened."""
    found: list[tuple[str, ...]] = []

    def noted(graph: OnnxGraph) -> tuple[str, ...]:
        found.append(disabled_optimizers(graph))
        return found[-1]

    monkeypatch.setattr(model_cache, "disabled_optimizers", noted)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_none_of_these_networks_is_left_to_the_propagation(name: str, disabled: list[tuple[str, ...]]) -> None:
    """Or the test above shows nothing."""
    open_onnx(NETWORKS[name]).prepare(point("onnx", **gated(name, Precision.INT8)))
    assert disabled == [(OPTIMIZER,)]


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
@pytest.mark.parametrize("narrow", [(), ("b1",), ("stem", "b0", "head")])
def test_gates_around_blocks_without_such_values_leave_all_optimizers_on(
    precision: Precision, narrow: tuple[str, ...], disabled: list[tuple[str, ...]]
) -> None:
    network = image_network(("residual", "residual", "downsample", "residual"), 8, 0)
    layers = [layer for segment in network.segments if segment.name in narrow for layer in segment.layers]
    mixed = dict.fromkeys(layers, Precision.INT8)
    thresholds = dict.fromkeys(("b0", "b1", "b3"), -1.0)
    chosen = point("onnx", precision=precision, layer_precision=mixed, thresholds=thresholds)
    open_onnx(network).prepare(chosen)
    assert disabled == [()]


def test_the_shipped_ladder_keeps_all_optimizers(disabled: list[tuple[str, ...]]) -> None:
    bundle = open_bundle(Path(__file__).parents[3] / "profiles" / "bundles" / "digits")
    engine = OnnxEngine(bundle)
    for chosen in bundle.ladder.points:
        if chosen.engine in {"eager", "onnx"}:
            engine.prepare(chosen)
    assert set(disabled) == {()}
