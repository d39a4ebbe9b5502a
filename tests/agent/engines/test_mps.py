"""The mps engine on torch's CPU: all of it but Apple's kernels. Not run on hardware yet."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from random_networks import all_knobs, batch_for, difference, image_network, networks, point, token_network

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.mps import engine as engine_module
from tidegate.engines.mps.engine import NAMES, MpsEngine, limit_memory
from tidegate.engines.mps.library import TorchLibrary
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.runtime import apple_silicon
from tidegate.engines.runtime.agreement import tolerance_of
from tidegate.engines.runtime.installed import UnknownEngine, installed_engines
from tidegate.engines.runtime.placement import GPU, placement_of
from tidegate.engines.runtime.registry import open_engine
from tidegate.engines.runtime.speculative_pipeline import HABIT
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Activity, Precision, StandIn
from tidegate.models.network import TrainedNetwork
from tidegate.paths import profiles_directory

IMAGES = image_network(("residual", "inverted", "excited", "downsample", "pool", "twice_read", "activated"), 8, 3)
TOKENS = token_network(2, 32, 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("network", [IMAGES, TOKENS], ids=["images", "tokens"])
@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"precision": Precision.INT4},
        {"precision": Precision.BF16},
        {"thresholds": {"b0": 0.7, "b1": 0.6}, "exits": {"b1": 0.4}},
        {"thresholds": {"b0": -1.0, "b1": 1e4}, "activity": Activity.RMS},
        {"thresholds": {"b0": 0.7, "b1": 0.6}, "activity": Activity.FRAME_CHANGE},
        {"thresholds": {"b0": 0.7, "b1": 0.6}, "activity": Activity.BLOCK_CHANGE},
        {"skip": frozenset({"b1"}), "stand_ins": {"b1": StandIn.SURROGATE}},
    ],
)
def test_a_point_answers_as_on_eager(name: str, network: TrainedNetwork, knobs: dict[str, object]) -> None:
    at, batch = point("eager", **knobs), batch_for(network)
    expected = EagerEngine(network).prepare(at).run(batch)
    variant = MpsEngine(network, name, "cpu").prepare(at)
    found = variant.run(batch)
    assert difference(found.outputs, expected.outputs) < tolerance_of(name)
    assert found.executed_blocks == expected.executed_blocks
    assert found.outputs.dtype == np.float32
    assert variant.weights_resident_bytes > 0


@settings(max_examples=20, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data(), network=networks)
def test_every_knob_of_random_points_does_what_it_does_on_eager(
    data: st.DataObject, network: TrainedNetwork
) -> None:
    drawn = data.draw(all_knobs(network, tuple(Precision)))
    at, batch = point("eager", **drawn), batch_for(network)
    expected = EagerEngine(network).prepare(at).run(batch)
    found = MpsEngine(network, device="cpu").prepare(at).run(batch)
    assert difference(found.outputs, expected.outputs) < 1e-4
    assert found.executed_blocks == expected.executed_blocks


def test_the_device_is_waited_for_once_an_answer_where_gates_decide_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    network = image_network(("residual",) * 3, 8, 0)
    chosen = {"thresholds": {"b0": -1.0, "b1": 1e9, "b2": -1.0}, "exits": {"b2": 2.0}}
    waits: list[int] = []
    wait = TorchLibrary.wait

    def counted(self: TorchLibrary, answer: torch.Tensor | None, scores: list[torch.Tensor]) -> object:
        waits.append(len(scores))
        return wait(self, answer, scores)

    monkeypatch.setattr(TorchLibrary, "wait", counted)
    variant = MpsEngine(network, device="cpu").prepare(point("eager", **chosen))
    variant.run(batch_for(network, HABIT + 3))
    assert waits[-3:] == [4, 4, 4], "three gates and a margin, each time with the answer"


def test_the_buffer_is_made_once_and_answers_are_not_in_it() -> None:
    library = TorchLibrary(torch.device("cpu"), torch.float32)
    first, _ = library.wait(torch.ones(1, 5), [torch.ones(1)])
    buffer = library._buffer
    second, scores = library.wait(torch.full((1, 3), 2.0), [torch.full((1,), 7.0), torch.full((1,), 8.0)])
    assert library._buffer is buffer
    assert scores == [7.0, 8.0]
    assert np.array_equal(first, np.ones((1, 5), np.float32))
    assert np.array_equal(second, np.full((1, 3), 2, np.float32))


def test_memory_is_bounded_by_the_limit_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(engine_module.torch.mps, "recommended_max_memory", lambda: 1000)
    monkeypatch.setattr(engine_module.torch.mps, "set_per_process_memory_fraction", asked.append)
    limit_memory(None)
    limit_memory(250)
    limit_memory(5000)
    assert asked == [0.25, 1.0]


def test_it_is_for_those_who_name_it_and_says_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(profiles_directory() / "bundles" / "digits")
    with pytest.raises(UnknownEngine, match="GPU of Apple Silicon"):
        open_engine("mps", bundle)
    monkeypatch.setattr(apple_silicon.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(apple_silicon.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(apple_silicon.platform, "mac_ver", lambda: ("15.2", ("", "", ""), "arm64"))
    assert not {"mps", "mps-fp16"} & set(installed_engines())
    assert placement_of("mps").unit == GPU
    with pytest.raises(UnknownEngine, match="finds no GPU here"):
        open_engine("mps-fp16", bundle)


def test_a_point_of_another_arithmetic_is_refused() -> None:
    with pytest.raises(UnsupportedPoint, match="certified on engine onnx"):
        MpsEngine(TOKENS, device="cpu").prepare(point("onnx"))
