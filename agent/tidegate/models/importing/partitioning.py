"""Partitioning a graph where only one value crosses. Pure: graphs in, graphs out."""

from dataclasses import replace

from tidegate.models.graph import INPUT, Argument, Node, Ref, Segment


def cut_points(segment: Segment) -> tuple[int, ...]:
    """Indices of the nodes behind which only their own value is still needed, ascending; the last node is one."""
    last_use = {INPUT: -1}
    for index, node in enumerate(segment.nodes):
        last_use |= dict.fromkeys(node.operands, index)
    points = []
    needed_until = last_use[INPUT]
    for index, node in enumerate(segment.nodes):
        if needed_until <= index:
            points.append(index)
        needed_until = max(needed_until, last_use.get(node.name, index))
    return tuple(points)


def subgraph(segment: Segment, name: str, first: int, last: int, *, fixed: bool) -> Segment:
    """Nodes `first` to `last` as a segment of its own; both ends must be cut points (or the segment's ends)."""
    before = segment.nodes[first - 1] if first > 0 else None
    shape = segment.input_shape if before is None else before.shape
    source = INPUT if before is None else before.name
    nodes = tuple(_reading(node, source) for node in segment.nodes[first : last + 1])
    return Segment(name, shape, nodes, fixed)


def _reading(node: Node, source: str) -> Node:
    """The node with `source` as its segment's input."""
    args = tuple(_renamed(argument, source) for argument in node.args)
    return replace(node, args=args, kwargs={key: _renamed(value, source) for key, value in node.kwargs.items()})


def _renamed(argument: Argument, source: str) -> Argument:
    if isinstance(argument, tuple):
        return tuple(_renamed(item, source) for item in argument)
    return Ref(INPUT) if argument == Ref(source) else argument
