"""The schema's options tables, which have no types."""

from typing import Any

from ai_edge_litert import schema_py_generated as schema

NONE = int(schema.ActivationFunctionType.NONE)
RELU = int(schema.ActivationFunctionType.RELU)
RELU6 = int(schema.ActivationFunctionType.RELU6)
"""Activation functions that an operator may do on its way out."""

TensorType = schema.TensorType

SAME, VALID = int(schema.Padding.SAME), int(schema.Padding.VALID)
"""The two paddings there are: as much as keeps the size, more of it behind; none."""


def options(name: str, **values: object) -> Any:
    """An options table by its schema name without `Options`. Raises AttributeError for an unknown field."""
    table = getattr(schema, f"{name}OptionsT")()
    for key, value in values.items():
        if not hasattr(table, key):
            raise AttributeError(f"{name}Options has no {key}")
        setattr(table, key, value)
    return table
