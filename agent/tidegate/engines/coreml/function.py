"""A stage of a point as one function of a package."""

from collections.abc import Callable
from dataclasses import dataclass

from tidegate.engines.coreml.adapted import emit_adapted
from tidegate.engines.coreml.converters import convert
from tidegate.engines.coreml.gate import emit_score
from tidegate.engines.coreml.graph_builder import GraphBuilder
from tidegate.engines.coreml.runtime import TARGET, Function, Var, mb, types
from tidegate.engines.coreml.weight_format import WeightFormat
from tidegate.engines.functions.names import ANSWER, BEFORE, CARRIED, GIVEN, SCORE, SEEN
from tidegate.engines.plan.adapted import Adapted
from tidegate.engines.plan.arithmetic import Arithmetic
from tidegate.engines.plan.stages import Run, Stage
from tidegate.models.graph import INPUT
from tidegate.models.ladder import Precision
from tidegate.models.network import Shape, WeightArray


@dataclass(frozen=True, slots=True)
class StageFunction:
    """A function, its name, and what it promises: the shape of its input and the names of its outputs."""

    name: str
    function: Function
    shape: Shape
    outputs: tuple[str, ...]


def build_function(
    name: str,
    stage: Stage,
    arithmetic: Arithmetic,
    arrays: Callable[[str], WeightArray],
    weight_format: WeightFormat,
) -> StageFunction:
    """The stage for one sample. Raises Unconvertible for an operator without MIL form."""
    shape = (1, *stage.shape)
    width = types.fp32 if weight_format.is_wide else types.fp16
    precisions: dict[str, Precision] = {**arithmetic.rounding, **arithmetic.codes}
    build = GraphBuilder(name, weight_format, arrays, precisions, arithmetic.params_of)
    with Function({GIVEN: mb.placeholder(shape=shape, dtype=width)}, opset_version=TARGET) as function:
        outputs = _outputs(build, stage, arithmetic, function.inputs[GIVEN])
        # A name of its own each: what comes in can't be what goes out, nor one value twice.
        function.set_outputs([mb.identity(x=value, name=kind) for kind, value in outputs.items()])
    return StageFunction(name, function, shape, tuple(outputs))


def _outputs(build: GraphBuilder, stage: Stage, arithmetic: Arithmetic, x: Var) -> dict[str, Var]:
    before: Var | None = None
    for run in stage.runs:
        before = x if run.subgraph.is_block else before
        x = x if run.graph is None else _graph(build, run, x, arithmetic)
    outputs: dict[str, Var] = {}
    if stage.leaving is not None:
        outputs[ANSWER] = _graph(build, Run(stage.leaving, stage.leaving.exit_head), x, arithmetic)
    if stage.answers:
        outputs[ANSWER] = x
        return outputs
    outputs[CARRIED] = x
    if stage.gated is not None:
        if arithmetic.activity.looks_back:
            outputs[SEEN] = x
            if before is not None:
                outputs[BEFORE] = before
        else:
            outputs[SCORE] = emit_score(build, arithmetic.activity, x)
    return outputs


def _graph(build: GraphBuilder, run: Run, x: Var, arithmetic: Arithmetic) -> Var:
    graph, subgraph = run.graph, run.subgraph
    assert graph is not None  # noqa: S101 - the caller passes by what has none
    own = arithmetic.adapted if graph is subgraph.segment else {}
    build.values, build.names = {INPUT: x}, {INPUT: subgraph.input_name}
    for node in graph.nodes:
        value = convert(build, node)
        setting: Adapted | None = own.get(f"{graph.name}/{node.name}")
        build.values[node.name] = value if setting is None else emit_adapted(build, value, setting)
        build.names[node.name] = subgraph.tensor(graph, node.name)
    return build.values[graph.nodes[-1].name]
