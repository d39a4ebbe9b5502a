"""The shortcut path of a residual block, read off its graph: what is left when the branch adds nothing."""

from dataclasses import replace

from tidegate.models.graph import INPUT, Node, Ref, Segment
from tidegate.models.graph.operators import ADD, RELU


def shortcut_of(segment: Segment) -> Segment | None:
    """The shorter of the two paths that meet in the last addition, with the ReLU behind it if there is one.

    Both must come from the segment's input, and the shortcut must compute something: where it is the input
    itself, identity stands in. None for anything else, and where both are equally long. Its weights are the
    block's own.
    """
    by_name = {node.name: node for node in segment.nodes}
    *_, last = segment.nodes
    relu = last if last.operator == RELU else None
    addition = by_name.get(_first_ref(relu)) if relu is not None else last
    if addition is None or addition.operator != ADD:
        return None
    ends = [argument.ref for argument in addition.args if isinstance(argument, Ref)]
    if len(ends) != 2 or INPUT in ends:
        return None
    paths = [_ancestors(end, segment) for end in ends]
    if any(not _reads_input(path) for path in paths):
        return None
    path, branch = sorted(paths, key=len)
    if len(path) == len(branch):
        return None
    if relu is not None:
        path = (*path, replace(relu, args=(Ref(path[-1].name),)))
    return Segment(f"{segment.name}.shortcut", segment.input_shape, path)


def _ancestors(end: str, segment: Segment) -> tuple[Node, ...]:
    """The nodes that `end` is computed from, itself last."""
    needed = {end}
    for node in reversed(segment.nodes):
        if node.name in needed:
            needed.update(node.operands)
    return tuple(node for node in segment.nodes if node.name in needed)


def _reads_input(path: tuple[Node, ...]) -> bool:
    return any(leaf == Ref(INPUT) for node in path for leaf in node.leaves)


def _first_ref(node: Node) -> str:
    return next(iter(node.operands), "")
