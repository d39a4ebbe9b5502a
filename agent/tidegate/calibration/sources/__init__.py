"""Where a model comes from, by what `--model` says: a function, an ONNX file, an exported program, a directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tidegate.calibration.progress import Progress
from tidegate.calibration.sources import exported_program, factory, hugging_face, onnx_file
from tidegate.calibration.sources.source import ModelSource, SourceError, module_source

__all__ = ["ModelSource", "SourceError", "check_name", "module_source", "open_model"]

_ALLOWED = (
    "allowed are package.module:factory or package.module:factory(arguments) of a torch module, a file that ends "
    "in .onnx or .pt2, and a directory that transformers has saved"
)
_TORCH_FILES = {".pt", ".pth", ".ckpt", ".bin", ".torchscript", ".ptl", ".jit"}


def check_name(text: str) -> None:
    """Whether `--model` names a model, by what is known without opening it. Raises SourceError."""
    path = Path(text)
    if path.is_dir() and (path / hugging_face.CONFIG).is_file():
        return
    if path.suffix in {".onnx", ".pt2"}:
        if not path.is_file():
            raise SourceError(f"--model {path}: there is no such file")
        return
    if path.suffix == ".tflite":
        raise SourceError(
            f"--model {text}: TFLite files can't be read; give the model as .onnx (tf2onnx makes it)"
        )
    if path.suffix in _TORCH_FILES and path.is_file():
        raise SourceError(f"--model {text}: {_what_is_in(path)}; {_ALLOWED}")
    if ":" not in text:
        raise SourceError(f"--model {text}: names no function and no model file; {_ALLOWED}")


def open_model(
    text: str,
    progress: Progress,
    fixed: Mapping[str, float] = MappingProxyType({}),
    joined: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> ModelSource:
    """The model that `--model` names. Raises SourceError, which says what was found and what is allowed.

    `fixed` gives inputs of an ONNX file one number for good; `joined` are shapes, by name, of several that become
    one.
    """
    check_name(text)
    path = Path(text)
    if (fixed or joined) and path.suffix != ".onnx":
        raise SourceError(
            f"--model {text}: {', '.join((*fixed, *joined))}: inputs of .onnx files can be fixed or "
            "joined; write a factory of a module with one input that calls the model with the others"
        )
    if path.is_dir():
        return hugging_face.open_directory(path, progress)
    if path.suffix == ".onnx":
        return onnx_file.open_file(path, progress, fixed, joined)
    if path.suffix == ".pt2":
        return exported_program.open_file(path, progress)
    return factory.open_factory(text, progress)


def _what_is_in(path: Path) -> str:
    """Of a file of torch's, without running anything in it."""
    with path.open("rb") as stream:
        is_zip = stream.read(2) == b"PK"
        stream.seek(0)
        content = stream.read() if is_zip else b""
    if b"constants.pkl" in content and b"code/" in content:
        return (
            "is TorchScript, whose layers can't be had back; export the torch module itself with "
            "torch.export.save(torch.export.export(model, (example,)), 'model.pt2')"
        )
    return (
        "holds weights or a pickled object, which needs the code of its class; write a function that makes the "
        "model and loads it: def make(): model = Net(); model.load_state_dict(torch.load(FILE)); return model"
    )
