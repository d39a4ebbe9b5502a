"""Segments in JSON: an argument is a literal, a list, {"ref": name}, {"weight": name} or {"batch": true}."""

import hashlib
import json
import math
from typing import Annotated

from pydantic import Field, JsonValue

from tidegate.models.bundle.strict_model import Name, Size, StrictModel
from tidegate.models.errors import BundleError
from tidegate.models.graph import Argument, BatchSize, Node, Ref, Segment, Weight
from tidegate.models.network import Network

ShapeModel = Annotated[tuple[Size, ...], Field(max_length=8)]

_MAX_DEPTH = 3


class NodeModel(StrictModel):
    """One node as it stands in the file."""

    name: Name
    operator: str
    args: Annotated[list[JsonValue], Field(max_length=16)]
    kwargs: dict[str, JsonValue] = Field(default_factory=dict, max_length=16)
    shape: ShapeModel

    @classmethod
    def of(cls, node: Node) -> "NodeModel":
        """A node as the file has it; `node` gives it back."""
        return cls(
            name=node.name,
            operator=node.operator,
            args=[_encode(argument) for argument in node.args],
            kwargs={key: _encode(argument) for key, argument in node.kwargs.items()},
            shape=node.shape,
        )

    def node(self) -> Node:
        """The node. Raises BundleError for an argument of unknown form or an operator off the list."""
        args = tuple(_decode(argument, self.name) for argument in self.args)
        kwargs = {key: _decode(argument, self.name) for key, argument in self.kwargs.items()}
        return Node(self.name, self.operator, args, self.shape, kwargs)


class SegmentModel(StrictModel):
    """One segment as it stands in the file."""

    name: Name
    input_shape: ShapeModel
    nodes: list[NodeModel]
    fixed: bool = False

    @classmethod
    def of(cls, segment: Segment) -> "SegmentModel":
        """A segment as the file has it; `segment` gives it back."""
        nodes = [NodeModel.of(node) for node in segment.nodes]
        return cls(name=segment.name, input_shape=segment.input_shape, nodes=nodes, fixed=segment.fixed)

    def segment(self) -> Segment:
        """The segment. Raises BundleError when it is none."""
        return Segment(self.name, self.input_shape, tuple(node.node() for node in self.nodes), self.fixed)


def graphs_sha256(network: Network) -> str:
    """Hash of all that a network computes but for the values of its weights."""

    def plain(segment: Segment) -> JsonValue:
        return SegmentModel.of(segment).model_dump(mode="json")

    document = {
        "segments": [plain(segment) for segment in network.segments],
        "stand_ins": {
            block: {kind: plain(segment) for kind, segment in kinds.items()}
            for block, kinds in network.stand_ins.items()
        },
        "exit_heads": {block: plain(head) for block, head in network.exit_heads.items()},
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _encode(argument: Argument) -> JsonValue:
    match argument:
        case Ref(name):
            return {"ref": name}
        case Weight(name):
            return {"weight": name}
        case BatchSize():
            return {"batch": True}
        case tuple():
            return [_encode(item) for item in argument]
        case float() if not math.isfinite(argument):
            raise BundleError(
                f"an operator has the argument {argument}, which JSON can't hold; allowed are numbers"
            )
        case _:
            return argument


def _decode(value: JsonValue, where: str, depth: int = 0) -> Argument:
    match value:
        case {"ref": str(name), **rest} if not rest:
            return Ref(name)
        case {"weight": str(name), **rest} if not rest:
            return Weight(name)
        case {"batch": True, **rest} if not rest:
            return BatchSize()
        case list() if depth < _MAX_DEPTH:
            return tuple(_decode(item, where, depth + 1) for item in value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise BundleError(
                f"node {where}: argument {str(value)[:80]!r} is neither a literal nor a list of up to "
                f"{_MAX_DEPTH} levels, "
                'nor one of {"ref": name}, {"weight": name}, {"batch": true}'
            )
