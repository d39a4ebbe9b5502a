"""The table of operators: every fact is there, every engine answers for every record, and names stand once."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tidegate.models.graph.operator import Kind, Operator, Quantization
from tidegate.models.graph.operators import OPERATORS

AGENT = Path(__file__).parents[4] / "agent"
TABLE = "tidegate/models/graph/operators.py"
CONVERTERS = {
    f"tidegate/engines/{engine}/converters.py" for engine in ("onnxruntime", "litert", "mlx", "coreml", "coreai")
}
IMPORTERS = "tidegate/models/importing/"

EACH = pytest.mark.parametrize("operator", OPERATORS.values(), ids=list(OPERATORS))


@EACH
def test_its_parameters_are_those_of_torchs_schema_in_their_order(operator: Operator) -> None:
    _, packet, overload = operator.name.split(".")
    schema = getattr(getattr(torch.ops.aten, packet), overload)._schema
    assert not schema.is_mutable
    by_place = [argument.name for argument in schema.arguments if not argument.kwarg_only]
    by_name = {argument.name for argument in schema.arguments if argument.kwarg_only}
    named = [parameter.name for parameter in operator.parameters if not parameter.by_name]
    assert named == by_place[: len(named)]
    assert {parameter.name for parameter in operator.parameters if parameter.by_name} <= by_name


@EACH
def test_what_may_be_left_out_stands_last_and_has_a_default(operator: Operator) -> None:
    optional = [parameter.optional for parameter in operator.parameters if not parameter.by_name]
    assert optional == sorted(optional)
    _, packet, overload = operator.name.split(".")
    defaults = {
        argument.name: argument.has_default_value()
        for argument in getattr(getattr(torch.ops.aten, packet), overload)._schema.arguments
    }
    assert all(defaults[parameter.name] for parameter in operator.parameters if parameter.optional)


@EACH
def test_layers_and_only_layers_have_weights_to_quantize(operator: Operator) -> None:
    if operator.quantization is Quantization.WEIGHTS_AND_INPUTS:
        assert operator.kind is Kind.LAYER
    if operator.kind is Kind.VIEW:
        assert operator.quantization is Quantization.AGNOSTIC


def test_onnx_has_a_converter_for_every_operator_and_for_no_other() -> None:
    if find_spec("onnxruntime") is None:
        pytest.skip("needs tidegate[onnx]")
    from tidegate.engines.onnxruntime.converters import CONVERTERS as converters  # noqa: N811, PLC0415 - an extra

    assert converters.keys() == OPERATORS.keys()


def test_names_of_operators_stand_in_the_table_the_importers_and_one_table_per_engine() -> None:
    found = {
        path.relative_to(AGENT).as_posix()
        for path in AGENT.rglob("*.py")
        if re.search(r"[\"']aten\.\w+", path.read_text(encoding="utf-8"))
    }
    elsewhere = {path for path in found - {TABLE, *CONVERTERS} if not path.startswith(IMPORTERS)}
    assert elsewhere == set()
    assert {TABLE, *CONVERTERS} <= found
