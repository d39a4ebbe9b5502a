"""An exported program as a module for any number of samples, also where it was exported for a fixed one."""

import operator
from typing import Any

import torch
from torch import fx, nn

_VIEWS = ("view", "_unsafe_view", "reshape", "expand")


def for_any_batch(program: torch.export.ExportedProgram) -> nn.Module:
    """The program's module; sizes that stand for the number of samples become that of the input.

    Whether the answers stay the same is for the caller to compare.
    """
    exported = program.module(check_guards=False)
    # A program's own module can't be told to be at inference, though it is.
    module = fx.GraphModule(exported, exported.graph)
    given = next(node for node in module.graph.nodes if node.op == "placeholder")
    samples = given.meta["val"].shape[0]
    if not isinstance(samples, int):
        return module
    with module.graph.inserting_after(given):
        count = module.graph.call_function(torch.ops.aten.sym_size.int, (given, 0))
    for node in list(module.graph.nodes):
        if node.op == "call_function" and _is_view(node):
            _widen(node, samples, count)
        elif node.op == "call_module" and "guards" in str(node.target):
            module.graph.erase_node(node)
    module.graph.lint()
    module.recompile()
    return module


def _is_view(node: fx.Node) -> bool:
    return any(str(node.target).startswith(f"aten.{name}.") for name in _VIEWS)


def _widen(node: fx.Node, samples: int, count: fx.Node) -> None:
    """The first size, which stands for the samples or several values of each, as a multiple of their number."""
    sizes: list[Any] = list(node.args[1])  # type: ignore[arg-type]  # a list of sizes in every view
    first = sizes[0]
    if not isinstance(first, int) or first < 1 or first % samples:
        return
    if first == samples:
        sizes[0] = count
    else:
        with node.graph.inserting_before(node):
            sizes[0] = node.graph.call_function(operator.mul, (count, first // samples))
    node.args = (node.args[0], sizes, *node.args[2:])
