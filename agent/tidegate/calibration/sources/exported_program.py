"""A program that `torch.export.save` wrote (.pt2), also one for a fixed number of samples."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from tidegate.calibration.progress import Progress
from tidegate.calibration.sources.onnx_file import check_shape
from tidegate.calibration.sources.source import ModelSource, SourceError
from tidegate.models.importing.any_batch import for_any_batch


def open_file(path: Path, progress: Progress) -> ModelSource:
    """Raises SourceError for what torch can't load, and for programs of several inputs."""
    try:
        program = torch.export.load(str(path))
    # The file is anybody's data, and torch raises whatever it meets there.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise SourceError(
            f"--model {path}: can't be loaded by torch {torch.__version__}: {reason}; needed is what "
            "torch.export.save writes"
        ) from error
    inputs = program.graph_signature.user_inputs
    if len(inputs) != 1:
        raise SourceError(
            f"--model {path}: has {len(inputs)} inputs ({', '.join(map(str, inputs))}); allowed is one"
        )
    (given,) = (node for node in program.graph.nodes if node.name == inputs[0])
    sizes = list(given.meta["val"].shape)
    samples = sizes[0] if isinstance(sizes[0], int) else None
    stated = [size if isinstance(size, int) else None for size in sizes[1:]]
    progress(f"model: {path}: for {'any number of' if samples is None else samples} samples")

    def module(shape: Sequence[int], output: str | None) -> nn.Module:
        del output  # of torch modules it is chosen by what they return
        check_shape(stated, shape, str(path))
        return for_any_batch(program)

    return ModelSource(str(path), module)
