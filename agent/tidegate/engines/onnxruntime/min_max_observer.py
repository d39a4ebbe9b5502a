"""The range of every value over some inputs, on the paths that a point's samples take."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from tidegate.engines.engine import Array
from tidegate.engines.onnxruntime.graph import CARRIED, MARGIN, Setting, X, Y, build_graph
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.partitions import Step, partitions_of, settled
from tidegate.engines.onnxruntime.protobuf import model_bytes
from tidegate.engines.onnxruntime.session import open_session
from tidegate.engines.onnxruntime.session_pipeline import SessionPipeline
from tidegate.engines.onnxruntime.weights import weights_folder
from tidegate.engines.plan.quantization import Range
from tidegate.models.network import Network

_NO_VALUES = frozenset({CARRIED, MARGIN, Y})
"""Outputs of a part that have no range of their own."""

OpenGates = Callable[[Sequence[Step]], SessionPipeline]
"""Makes a passage in fp32 of steps with gates and without exits."""


def observe(
    network: Network, steps: Sequence[Step], setting: Setting, inputs: Array, open_gates: OpenGates
) -> Mapping[str, Range]:
    """Ranges by name (the network's input is ""), in fp32, exits and what stands in for blocks included.

    On the paths that the inputs take through the gates: behind a skipped block values can be far larger than in
    the full net. What none of those paths computes has the range it would have with all gates open, or all shut.
    """
    gated = frozenset(step.name for step in steps if step.gated)
    paths: dict[frozenset[str], list[Array]] = {}
    if gated:
        passage = open_gates([replace(step, head=None) for step in steps])
        for sample in inputs:
            opened = passage.run(sample[None]).opened
            paths.setdefault(frozenset(name for name in gated if not opened[name]), []).append(sample)
    else:
        paths[gated] = [*inputs]
    on_path: dict[str, Range] = {}
    for shut, samples in paths.items():
        _add(on_path, _seen(network, settled(steps, shut), setting, samples))
    elsewhere: dict[str, Range] = {}
    for shut in {frozenset(), gated} - paths.keys():
        _add(elsewhere, _seen(network, settled(steps, shut), setting, inputs))
    return {**elsewhere, **on_path}


def _add(ranges: dict[str, Range], found: Mapping[str, Range]) -> None:
    for name, span in found.items():
        ranges[name] = span.union(ranges.get(name, span))


def _seen(
    network: Network, steps: Sequence[Step], setting: Setting, samples: Iterable[Array]
) -> Mapping[str, Range]:
    sessions = []
    for part in partitions_of(steps):
        graph = build_graph(part, setting, Initializers(network), show_all=True)
        session = open_session(model_bytes(graph), weights_folder(network), threads=1)
        sessions.append((session, [output.name for output in graph.outputs]))
    seen: dict[str, Range] = {}
    for sample in samples:
        _add(seen, {"": Range.of(sample)})
        values = {CARRIED: sample[None]}
        for session, names in sessions:
            # Nobody leaves here: what is behind an exit has its range over all samples.
            values = dict(zip(names, session.run(names, {X: values[CARRIED]}), strict=True))
            _add(seen, {name: Range.of(value) for name, value in values.items() if name not in _NO_VALUES})
    return seen
