"""Values whose samples are not alone in front: windows of images, heads of attention, time before samples."""

from collections.abc import Mapping
from typing import Any

from torch import fx

from tidegate.models.graph.operators import OPERATORS
from tidegate.models.importing.lowering.layouts import images, lifted, over_axes, parts, products, views
from tidegate.models.importing.lowering.layouts.layout import is_plain, refused
from tidegate.models.importing.lowering.layouts.parts import SPLITS, part_of_split
from tidegate.models.importing.lowering.layouts.pointwise import pointwise
from tidegate.models.importing.lowering.reader import Laid, Reader, Rule

_ALL: dict[str, Rule] = {**images.RULES, **views.RULES, **parts.RULES, **products.RULES, **over_axes.RULES}


def rule_for(node: fx.Node, reader: Reader, more: Mapping[str, Rule]) -> Rule | None:
    """How to read a node with samples elsewhere than in front, or that puts them there; None for any other.

    `more` are rules besides those of this folder.
    """
    sources = [reader.values.get(each.name) for each in node.all_input_nodes]
    if str(node.target) == "<built-in function getitem>":
        parent: Any = node.args[0]
        sources = [reader.values.get(each.name) for each in parent.all_input_nodes]
        is_part = any(isinstance(each, Laid) for each in sources) and str(parent.target) in SPLITS
        return part_of_split if is_part else None
    if str(node.target) in SPLITS:
        return None
    if not any(isinstance(each, Laid) for each in sources) and is_plain(node):
        return None
    own = _ALL.get(str(node.target)) or more.get(str(node.target))
    if own is not None:
        return own
    if _is_elementwise(node):
        return pointwise
    return lifted.lifted if lifted.is_known(str(node.target)) else refused


def is_known(operator: str) -> bool:
    """Whether there is a rule for the operator where samples lie elsewhere, or are put there."""
    return operator in _ALL or operator in SPLITS


def _is_elementwise(node: fx.Node) -> bool:
    return str(node.target) in OPERATORS and OPERATORS[str(node.target)].is_elementwise
