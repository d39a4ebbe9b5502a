"""The plan that every engine runs: what it holds of a point, and what of it hangs on a runtime's capabilities."""

import subprocess
import sys
from dataclasses import replace

import pytest
from random_networks import batch_for, image_network, point
from ranged_engine import with_ranges

from tidegate.engines.plan.capabilities import Capabilities
from tidegate.engines.plan.execution import ExecutionPlan, Subgraph, plan_execution
from tidegate.engines.plan.partitions import partitions_of
from tidegate.engines.plan.quantization import QuantParams, Range
from tidegate.engines.plan.tensors import plan_tensors
from tidegate.engines.reference.walk import walk
from tidegate.models.graph import Segment
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.ladder import Activity, Precision, StandIn

NETWORK = image_network(("residual", "residual", "inverted", "residual"), 8, 0)
ALL = Capabilities(frozenset(Precision), frozenset(OPERATORS))
LAYERS = frozenset(layer for segment in NETWORK.segments for layer in segment.layers)
GATED = {"b0": 0.5, "b1": 0.5}


def planned(**knobs: object) -> ExecutionPlan:
    return plan_execution(NETWORK, point("any", **knobs))


def params(capabilities: Capabilities, **knobs: object) -> dict[str, QuantParams]:
    chosen = with_ranges(point("any", precision=Precision.INT8, **knobs), NETWORK, batch_for(NETWORK))
    ranges = {name: Range(*span) for name, span in chosen.ranges.items()}
    plan = plan_execution(NETWORK, chosen)
    return dict(plan_tensors(plan, LAYERS, {}, ranges, capabilities))


def test_a_block_that_never_runs_gives_what_came_in_or_what_its_stand_in_gives() -> None:
    identity, surrogate = (
        planned(skip=frozenset({"b0"}), stand_ins=kinds)[1] for kinds in ({}, {"b0": StandIn.SURROGATE})
    )
    assert (identity.graphs, identity.output_name) == ((), identity.input_name)
    assert [graph.name for graph in surrogate.graphs] == ["b0.surrogate"]
    assert surrogate.output_name.startswith("b0.surrogate/")
    assert not identity.gated
    assert not surrogate.gated


def test_the_first_gate_on_a_change_between_blocks_is_always_open() -> None:
    plan = planned(thresholds=GATED, activity=Activity.BLOCK_CHANGE, stand_ins={"b0": StandIn.AFFINE})
    assert [(each.name, each.gated) for each in plan[1:3]] == [("b0", False), ("b1", True)]
    assert [graph.name for graph in plan[1].graphs] == ["b0"]


def test_partitions_end_where_samples_may_leave() -> None:
    partitions = partitions_of(planned(exits={"b1": 0.5, "b3": 0.5}))
    assert [[each.name for each in partition.subgraphs] for partition in partitions] == [
        ["stem", "b0"],
        ["b1", "b2"],
        ["b3", "head"],
    ]
    assert [partition.leaving and partition.leaving.name for partition in partitions] == ["b1", "b3", None]


def test_tensors_that_gates_let_through_either_way_share_one_scale() -> None:
    plan = planned(thresholds=GATED)
    around = {plan[1].input_name, *(each.output_name for each in plan[1:3])}
    found = params(ALL, thresholds=GATED)
    assert len({found[name] for name in around}) == 1
    apart = params(ALL, thresholds=GATED, stand_ins=dict.fromkeys(GATED, StandIn.AFFINE))
    assert len({apart[name] for name in around}) > 1


def test_a_runtime_that_adds_in_floats_is_given_no_codes_for_sums() -> None:
    plan = planned()
    (total,) = (node.name for node in NETWORK.segments[1].nodes if node.operator == "aten.add.Tensor")
    none = params(replace(ALL, on_integers=frozenset()))
    assert f"b0/{total}" not in none
    assert none.keys() < params(ALL).keys()
    assert plan[1].output_name in params(ALL)


@pytest.mark.parametrize("gate_open", [True, False])
def test_a_walk_takes_samples_to_the_end_past_every_exit(gate_open: bool) -> None:
    plan = planned(thresholds={"b1": 0.5}, exits={"b1": 0.5}, skip=frozenset({"b3"}))
    passed: list[str] = []
    stood: list[tuple[str, str | None]] = []

    def run(graph: Segment, here: str) -> str:
        passed.append(graph.name)
        return f"behind {graph.name}"

    def gate(subgraph: Subgraph, here: str, previous: str | None) -> str:
        stood.append((here, previous))
        return run(subgraph.segment, here) if gate_open else here

    assert walk(plan, "input", run, gate) == "behind head"
    assert passed == ["stem", "b0", "b1.exit", *(["b1"] if gate_open else []), "b2", "head"]
    assert stood == [("behind b0", "behind stem")]


def test_planning_needs_no_runtime() -> None:
    program = (
        "import sys, tidegate.engines.plan.tensors, tidegate.engines.plan.partitions\n"
        "print({'torch', 'onnxruntime'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
