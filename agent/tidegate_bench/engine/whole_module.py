"""A network as one torch module, for runtimes whose compilers and converters start from torch."""

from operator import attrgetter

import torch
from torch import fx, nn

from tidegate.models.graph import INPUT, Argument, BatchSize, Ref, Segment, Weight
from tidegate.models.graph.operators import VIEW
from tidegate.models.network import Network


def whole_module(network: Network) -> fx.GraphModule:
    """In evaluation mode, from (1, *input shape) to (1, *output shape); its parameters are copies."""
    arrays = network.weights(name for segment in network.segments for name in segment.weights)
    # Names of parameters may hold no dots.
    places = {name: f"weight_{index}" for index, name in enumerate(arrays)}
    root = nn.Module()
    for name, place in places.items():
        root.register_parameter(place, nn.Parameter(torch.tensor(arrays[name]), requires_grad=False))
    graph = fx.Graph()
    x = graph.placeholder("x")
    for segment in network.segments:
        x = _append(graph, segment, x, places)
    graph.output(x)
    return fx.GraphModule(root, graph).eval()


def _append(graph: fx.Graph, segment: Segment, x: fx.Node, places: dict[str, str]) -> fx.Node:
    values = {INPUT: x}

    def resolved(argument: Argument) -> fx.node.Argument:
        match argument:
            case Ref(name):
                return values[name]
            case Weight(name):
                return graph.get_attr(places[name])
            case BatchSize():
                return 1
            case tuple():
                return [resolved(each) for each in argument]
            case _:
                return argument

    for node in segment.nodes:
        # torch.reshape for the same reason as in the interpreter: some layouts have no view.
        function = torch.reshape if node.operator == VIEW else attrgetter(node.operator)(torch.ops)
        arguments = tuple(resolved(argument) for argument in node.args)
        by_name = {key: resolved(argument) for key, argument in node.kwargs.items()}
        values[node.name] = graph.call_function(function, arguments, by_name)
    return values[segment.nodes[-1].name]
