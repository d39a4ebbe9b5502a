"""An ONNX file: read into a torch module, and checked against ONNX Runtime where it is installed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import nn

from tidegate.calibration.progress import Progress
from tidegate.calibration.sources.source import ModelSource, SourceError
from tidegate.engines.engine import Array
from tidegate.models.importing.onnx.file import OnnxGraph, axis_of_samples, read_onnx
from tidegate.models.importing.onnx.module import OnnxModule, chosen_outputs


def open_file(
    path: Path,
    progress: Progress,
    fixed: Mapping[str, float] = MappingProxyType({}),
    joined: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> ModelSource:
    """`fixed` gives inputs one number for good; `joined` are shapes of several that become one, by name.

    Raises ExportError naming all nodes that can't be taken.
    """
    graph = read_onnx(path, fixed, joined)
    for part in graph.parts:
        progress(f"input {part.name} {part.shape}: numbers {part.first} to {part.end - 1} of the joined input")
    open_sizes = ", ".join("?" if size is None else str(size) for size in graph.input_shape)
    progress(
        f"model: {path}: opset {graph.opset}, {len(graph.nodes)} nodes, {graph.input} ({open_sizes}) per sample"
    )

    def module(shape: Sequence[int], output: str | None) -> nn.Module:
        check_shape(graph.input_shape, shape, str(path))
        return OnnxModule(graph, shape, output)

    def answers(output: str | None) -> Callable[[Array], Array] | None:
        return _answers(path, graph, chosen_outputs(graph, output), progress)

    return ModelSource(str(path), module, answers, graph.classes, graph.whole)


def check_shape(stated: Sequence[int | None], given: Sequence[int], model: str) -> None:
    """Raises SourceError where the data's shape per sample is not the model's; None stands for any size."""
    if len(stated) == len(given) and all(a in {None, b} for a, b in zip(stated, given, strict=True)):
        return
    told = ", ".join("any" if size is None else str(size) for size in stated)
    last = [*given[1:], given[0]]
    is_turned = len(stated) == len(given) == 3 and all(a in {None, b} for a, b in zip(stated, last, strict=True))
    hint = (
        "; the model has its channels last (NHWC), the data first (NCHW): export it with channels first "
        "(tf2onnx has an option for it)"
        if is_turned
        else ""
    )
    if not hint and len(stated) == len(given) == 3:
        hint = _of_pictures([*stated], [*given])
    raise SourceError(f"--model {model}: takes ({told}) per sample, the data gives {tuple(given)}{hint}")


def _of_pictures(stated: list[int | None], given: list[int]) -> str:
    """Which options of a folder's pictures would make them fit; empty where none would."""
    channels, height, width = stated
    options = []
    if channels == 1 and given[0] == 3:
        options.append("--grey")
    elif channels not in {None, given[0]}:
        return "; grey pictures have 1 channel and others 3" if given[0] in {1, 3} else ""
    if height == width and height not in {None, given[1]}:
        options.append(f"--size {height}")
    return f"; a folder's pictures fit with {' '.join(options)}" if options else ""


_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}
"""Types that numpy calls otherwise."""


def _answers(
    path: Path, graph: OnnxGraph, outputs: Sequence[str], progress: Progress
) -> Callable[[Array], Array] | None:
    """What ONNX Runtime says, several outputs joined; None where it isn't here, or can't run the file."""
    try:
        from tidegate.engines.onnxruntime.session import open_session  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        progress("the graph is not compared with ONNX Runtime, which is not installed")
        return None
    session = open_session(path, None, 1)
    kinds = {each.name: each.type for each in session.get_inputs()}

    def fed(inputs: Array) -> dict[str, Any]:
        if graph.parts:
            return {part.name: part.of(inputs) for part in graph.parts}
        kind = kinds[graph.input]
        return {graph.input: inputs.astype(_DTYPES.get(kind) or kind.removeprefix("tensor(").removesuffix(")"))}

    def run(inputs: Array) -> Array:
        # What is fixed is fixed for one sample.
        size = 1 if graph.one_sample or graph.fixed else len(inputs)
        fixed = graph.fixed_values(inputs.shape[1:])
        parts = []
        for start in range(0, len(inputs), size):
            given = inputs[start : start + size]
            answers = session.run(list(outputs), {**fed(given), **fixed})
            stated = [graph.sample_axes.get(name, 0) for name in outputs]
            found = [
                np.moveaxis(each, axis_of_samples(each.shape, len(given), axis), 0)
                for each, axis in zip(answers, stated, strict=True)
            ]
            flat = [each.reshape(len(given), -1) for each in found]
            parts.append(found[0] if len(found) == 1 else np.concatenate(flat, 1))
        return np.concatenate(parts).astype(np.float32)

    return run
