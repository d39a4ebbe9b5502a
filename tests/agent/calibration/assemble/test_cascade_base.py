"""What a cascade starts from: 8 bits, but fp32 where an engine was measured to be faster in it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.assemble.calibrate import fitted
from tidegate.calibration.assemble.cascade_base import CascadeBase, cascade_base
from tidegate.calibration.candidate import has_reduced_precision
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.exit_times import ExitTime, ExitTimes
from tidegate.calibration.search.objective import Objective
from tidegate.models.importing.export_network import export_network
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork, body_segments

EIGHT = KnobSettings(precision=Precision.INT8)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.linear(x))


@pytest.fixture(scope="module")
def network() -> TrainedNetwork:
    torch.manual_seed(3)
    model = [("stem", nn.Linear(6, 6)), ("first", Block()), ("second", Block()), ("head", nn.Linear(6, 4))]
    inputs = np.random.default_rng(3).standard_normal((80, 6)).astype(np.float32)
    return fitted(export_network(model, torch.from_numpy(inputs[:2])), inputs).network


def times_of(before_first: float, before_second: float, whole: float) -> ExitTimes:
    return ExitTimes(whole, {"first": ExitTime(before_first, 0.01), "second": ExitTime(before_second, 0.01)})


def engine_with(
    network: TrainedNetwork, fp32_ms: ExitTimes, int8_ms: ExitTimes
) -> Callable[[KnobSettings], ExitTimes]:
    """Times of an engine on which what runs in fp32 takes its share of `fp32_ms`, and the rest of `int8_ms`."""

    def timed(setting: KnobSettings) -> ExitTimes:
        spent = 0.0
        ends = []
        fp32, int8 = ([*(e.before_ms for e in t.exits.values()), t.whole_ms] for t in (fp32_ms, int8_ms))
        for at, first_layer in enumerate(("stem", "first.linear", "second.linear")):
            own = fp32 if precision_of(setting, first_layer) is Precision.FP32 else int8
            spent += own[at] - (own[at - 1] if at else 0.0)
            ends.append(spent)
        return times_of(*ends)

    return timed


def base_of(network: TrainedNetwork, fp32_ms: ExitTimes, int8_ms: ExitTimes, share: float = 0.5) -> CascadeBase:
    objective = replace(Objective(), flops_share=share)
    return cascade_base(network, EIGHT, objective, engine_with(network, fp32_ms, int8_ms))


def fp32_layers(network: TrainedNetwork, setting: KnobSettings) -> set[str]:
    body = (layer for segment in body_segments(network) for layer in segment.layers)
    return {layer for layer in body if precision_of(setting, layer) is Precision.FP32}


def test_the_layers_before_an_exit_are_in_fp32_where_that_is_faster(network: TrainedNetwork) -> None:
    base = base_of(network, times_of(0.1, 0.6, 1.4), times_of(0.4, 0.6, 1.0))
    assert {"stem"} == fp32_layers(network, base.setting) & {"stem", "first.linear", "second.linear", "head"}
    assert base.times.whole_ms == pytest.approx(0.7)
    assert base.beginning.whole_ms == pytest.approx(1.0)


def test_stand_ins_are_in_the_precision_of_their_block(network: TrainedNetwork) -> None:
    base = base_of(network, times_of(0.4, 0.5, 1.4), times_of(0.2, 0.9, 1.2))
    stand_ins = {layer for graph in network.stand_ins["first"].values() for layer in graph.layers}
    assert stand_ins
    assert fp32_layers(network, base.setting) == {"first.linear"} | stand_ins


def test_a_network_that_is_faster_in_fp32_throughout_is_the_full_one(network: TrainedNetwork) -> None:
    base = base_of(network, times_of(0.1, 0.2, 0.3), times_of(0.2, 0.4, 0.6))
    assert not has_reduced_precision(base.setting)
    assert base.setting.runs_all


@pytest.mark.parametrize("fp32_ms", [times_of(0.5, 0.8, 1.2), times_of(0.39, 0.59, 0.99)])
def test_all_stays_in_8_bits_where_fp32_is_no_faster(network: TrainedNetwork, fp32_ms: ExitTimes) -> None:
    base = base_of(network, fp32_ms, times_of(0.4, 0.6, 1.0))
    assert base.setting is EIGHT
    assert base.times is base.beginning


def test_all_stays_in_8_bits_where_bytes_alone_count(network: TrainedNetwork) -> None:
    base = base_of(network, times_of(0.1, 0.2, 0.3), times_of(0.2, 0.4, 0.6), share=0.0)
    assert base.setting is EIGHT


def test_what_was_foreseen_of_a_mixture_has_to_be_measured(network: TrainedNetwork) -> None:
    int8_ms = times_of(0.4, 0.6, 1.0)

    def timed(setting: KnobSettings) -> ExitTimes:
        mixed = 0 < len(fp32_layers(network, setting)) < len(fp32_layers(network, KnobSettings()))
        fp32 = not has_reduced_precision(setting)
        return times_of(0.1, 0.7, 1.4) if fp32 else times_of(0.5, 0.7, 1.1) if mixed else int8_ms

    assert cascade_base(network, EIGHT, Objective(), timed).setting is EIGHT


def test_without_exits_nothing_is_timed_twice(network: TrainedNetwork) -> None:
    timed = []

    def once(setting: KnobSettings) -> ExitTimes:
        timed.append(setting)
        return ExitTimes(1.0, {})

    assert cascade_base(network, EIGHT, Objective(), once).setting is EIGHT
    assert timed == [EIGHT]
