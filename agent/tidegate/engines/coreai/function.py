"""A stage of a point as one function of an asset."""

from collections.abc import Callable
from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated

import numpy as np

from tidegate.engines.coreai.adapted import emit_adapted
from tidegate.engines.coreai.converters import convert
from tidegate.engines.coreai.gate import emit_score
from tidegate.engines.coreai.graph_builder import Dtype, GraphBuilder
from tidegate.engines.coreai.runtime import Value, ops
from tidegate.engines.functions.names import ANSWER, BEFORE, CARRIED, GIVEN, SCORE, SEEN
from tidegate.engines.plan.arithmetic import Arithmetic
from tidegate.engines.plan.stages import Run, Stage
from tidegate.models.graph import INPUT
from tidegate.models.network import Shape, WeightArray


@dataclass(frozen=True, slots=True)
class StageFunction:
    """A function to be: its name, and the shapes of what comes in and goes out, the samples' axis included."""

    name: str
    stage: Stage
    arithmetic: Arithmetic

    @property
    def shape(self) -> Shape:
        """Of its input."""
        return (1, *self.stage.shape)

    @property
    def outputs(self) -> dict[str, Shape]:
        """Shapes by name, in their order."""
        stage = self.stage
        carried = (1, *(stage.runs[-1].subgraph.output_shape if stage.runs else stage.shape))
        outputs: dict[str, Shape] = {}
        if stage.leaving is not None and stage.leaving.exit_head is not None:
            outputs[ANSWER] = (1, *stage.leaving.exit_head.output_shape)
        if stage.answers:
            return {ANSWER: carried}
        outputs[CARRIED] = carried
        if stage.gated is None:
            return outputs
        if not self.arithmetic.activity.looks_back:
            return {**outputs, SCORE: (1,)}
        outputs[SEEN] = carried
        blocks = [run.subgraph for run in stage.runs if run.subgraph.is_block]
        return {**outputs, BEFORE: (1, *blocks[-1].shape)} if blocks else outputs


def emit_function(function: StageFunction, arrays: Callable[[str], WeightArray], dtype: Dtype) -> None:
    """Add the function, for one sample, to the module that is open. Raises Unconvertible for an operator without
    Core AI form."""

    def body(x: Value) -> tuple[Value, ...]:
        made = _made(function, arrays, dtype, x)
        return tuple(made[name] for name in function.outputs)

    specs = tuple(
        Annotated[Value, ops.TensorSpec(list(shape), np.float32 if name == SCORE else dtype, name=name)]
        for name, shape in function.outputs.items()
    )
    # Core AI reads a function's types from its annotations.
    body.__annotations__ = {
        GIVEN: Annotated[Value, ops.TensorSpec(shape=list(function.shape), dtype=dtype)],
        "return": GenericAlias(tuple, specs),
    }
    body.__name__ = function.name
    ops.graph(body)


def _made(
    function: StageFunction, arrays: Callable[[str], WeightArray], dtype: Dtype, x: Value
) -> dict[str, Value]:
    stage, arithmetic = function.stage, function.arithmetic
    build = GraphBuilder(dtype, arrays, {**arithmetic.rounding, **arithmetic.codes})
    before: Value | None = None
    for run in stage.runs:
        before = x if run.subgraph.is_block else before
        x = x if run.graph is None else _graph(build, run, x, arithmetic)
    made = {CARRIED: x, SEEN: x, ANSWER: x}
    if stage.leaving is not None:
        made[ANSWER] = _graph(build, Run(stage.leaving, stage.leaving.exit_head), x, arithmetic)
    if before is not None:
        made[BEFORE] = before
    if SCORE in function.outputs:
        made[SCORE] = emit_score(build, arithmetic.activity, x)
    return made


def _graph(build: GraphBuilder, run: Run, x: Value, arithmetic: Arithmetic) -> Value:
    graph, subgraph = run.graph, run.subgraph
    assert graph is not None  # noqa: S101 - the caller passes by what has none
    own = arithmetic.adapted if graph is subgraph.segment else {}
    build.values = {INPUT: x}
    for node in graph.nodes:
        value = convert(build, node)
        setting = own.get(f"{graph.name}/{node.name}")
        build.values[node.name] = value if setting is None else emit_adapted(build, value, setting)
    return build.values[graph.nodes[-1].name]
