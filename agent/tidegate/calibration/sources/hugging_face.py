"""A directory that transformers has saved: config.json and weights as safetensors."""

import json
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from tidegate.calibration.progress import Progress
from tidegate.calibration.sources.source import ModelSource, SourceError

CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def open_directory(path: Path, progress: Progress) -> ModelSource:
    """The model of the class that config.json names first. Raises SourceError; no code of the directory runs."""
    if not any((path / name).is_file() for name in _WEIGHTS):
        raise SourceError(
            f"--model {path}: has no {' and no '.join(_WEIGHTS)}; save it again with "
            "model.save_pretrained(DIRECTORY, safe_serialization=True)"
        )
    try:
        import transformers  # noqa: PLC0415 - for those who bring such a directory
    except ModuleNotFoundError as error:
        raise SourceError(f"--model {path}: needs transformers; install it: pip install transformers") from error
    names = json.loads((path / CONFIG).read_text(encoding="utf-8")).get("architectures") or ["AutoModel"]
    try:
        found = getattr(transformers, names[0], None)
    # It imports the model's code only here, and with it libraries that may not fit each other.
    except (ImportError, RuntimeError) as error:
        cause = error.__cause__ or error
        raise SourceError(
            f"--model {path}: transformers {transformers.__version__} can't import {names[0]}: {cause}; mend what "
            "is installed, or export the model to .onnx where it can be imported"
        ) from error
    if found is None:
        raise SourceError(f"--model {path}: transformers {transformers.__version__} has no {names[0]}")
    try:
        made = found.from_pretrained(str(path), local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SourceError(f"--model {path}: {names[0]} can't be loaded: {reason}") from error
    module: nn.Module = made.float().eval()
    progress(f"model: {path}: {names[0]}")

    def of(_shape: Sequence[int], output: str | None) -> nn.Module:
        del output  # of torch modules it is chosen by what they return
        return module

    return ModelSource(str(path), of)
