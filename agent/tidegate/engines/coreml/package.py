"""A ladder as a Core ML package: a function per point, weights shared, the same bytes on every build.

Not run on hardware yet. What is written is read back and compared with what was asked for.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from tidegate.engines.coreml.function import StageFunction
from tidegate.engines.coreml.point_functions import formats_of, functions_of
from tidegate.engines.coreml.runtime import TARGET, FeatureTypes_pb2, Model_pb2, Program, ct, mil_convert
from tidegate.engines.coreml.weight_format import WeightFormat
from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.functions.names import GIVEN
from tidegate.errors import EX_SOFTWARE, TidegateError
from tidegate.files import place_directory
from tidegate.models.ladder import OperatingPoint
from tidegate.models.network import Network

_DATA = Path("Data/com.apple.CoreML")
_SPEC = _DATA / "model.mlmodel"
_WEIGHTS = _DATA / "weights"
_MANIFEST = "Manifest.json"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "tidegate/coreml")
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644
"""A service's user reads them; coremltools writes them for nobody else."""


class PackageError(TidegateError):
    """A package that was written holds something else than was asked for."""

    exit_code = EX_SOFTWARE


@dataclass(frozen=True, slots=True)
class Written:
    """A package on disk: its functions by point, and the points that have none, with the reason."""

    path: Path
    weight_format: WeightFormat
    functions: dict[str, tuple[str, ...]]
    refused: dict[str, str]
    weights_bytes: int


def write_packages(network: Network, points: Sequence[OperatingPoint], directory: Path) -> list[Written]:
    """A package for every format that a point can have, `directory/FORMAT.mlpackage`, each placed whole.

    Raises PackageError, and OSError where one lies there already or can't be written.
    """
    by_format = {each: [p for p in points if each in formats_of(p, network)] for each in WeightFormat}
    return [
        write_package(network, own, weight_format, directory / f"{weight_format}.mlpackage")
        for weight_format, own in by_format.items()
        if own
    ]


def write_package(
    network: Network, points: Sequence[OperatingPoint], weight_format: WeightFormat, path: Path
) -> Written:
    """One package. Raises UnsupportedPoint where no point has a form, PackageError and OSError as above."""
    built: dict[str, list[StageFunction]] = {}
    refused: dict[str, str] = {}
    for point in points:
        try:
            built[point.name] = functions_of(network, point, weight_format)
        except UnsupportedPoint as error:
            refused[point.name] = str(error)
    if not built:
        raise UnsupportedPoint(f"{weight_format}: no operating point has a form: {'; '.join(refused.values())}")
    functions = [each for own in built.values() for each in own]

    def fill(draft: Path) -> None:
        _save(functions, weight_format, draft)

    place_directory(path, fill)
    _check(functions, weight_format, path)
    size = sum(file.stat().st_size for file in (path / _WEIGHTS).iterdir())
    names = {name: tuple(each.name for each in own) for name, own in built.items()}
    return Written(path, weight_format, names, refused, size)


def _save(functions: Iterable[StageFunction], weight_format: WeightFormat, draft: Path) -> None:
    program = Program()
    for each in functions:
        program.functions[each.name] = each.function
    program.default_function_name = next(iter(program.functions))
    program.export_as_multifunction = True
    program.skip_all_passes = True
    # It has progress bars that can't be turned off.
    with redirect_stderr(StringIO()):
        model = mil_convert(
            program,
            convert_to="mlprogram",
            convert_from="milinternal",
            specification_version=TARGET,
            compute_units=ct.ComputeUnit.CPU_ONLY,
            skip_model_load=True,
            # The operators stay as they were emitted; by default each is validated again behind a hundred passes.
            pass_pipeline=ct.PassPipeline.EMPTY,
        )
    # It insists on the ending.
    inner = draft / f"{weight_format}.mlpackage"
    model.save(str(inner))
    for child in list(inner.iterdir()):
        child.rename(draft / child.name)
    inner.rmdir()
    _normalize(draft)


def _normalize(package: Path) -> None:
    """The same bytes for the same contents: protobuf's maps in order, and no identifiers drawn by chance."""
    spec = Model_pb2.Model()
    spec.ParseFromString((package / _SPEC).read_bytes())
    (package / _SPEC).write_bytes(spec.SerializeToString(deterministic=True))
    manifest = json.loads((package / _MANIFEST).read_text())
    entries = {
        str(uuid.uuid5(_NAMESPACE, entry["path"])).upper(): entry for entry in manifest["itemInfoEntries"].values()
    }
    root = next(name for name, entry in entries.items() if entry["path"].endswith(_SPEC.name))
    fixed = {**manifest, "itemInfoEntries": entries, "rootModelIdentifier": root}
    (package / _MANIFEST).write_text(json.dumps(fixed, indent=2, sort_keys=True) + "\n")
    package.chmod(_DIRECTORY_MODE)
    for each in package.rglob("*"):
        each.chmod(_DIRECTORY_MODE if each.is_dir() else _FILE_MODE)


def _check(functions: Sequence[StageFunction], weight_format: WeightFormat, path: Path) -> None:
    """Hold what can be read back against what was asked for: functions, their shapes and types, and layers."""
    spec = Model_pb2.Model()
    spec.ParseFromString((path / _SPEC).read_bytes())
    found = {each.name: each for each in spec.description.functions}
    wanted = {each.name: each for each in functions}
    if found.keys() != wanted.keys():
        raise PackageError(f"{path}: has functions {sorted(found)}, asked for were {sorted(wanted)}")
    array = FeatureTypes_pb2.ArrayFeatureType
    kind = array.FLOAT32 if weight_format.is_wide else array.FLOAT16
    for name, each in wanted.items():
        (given,) = found[name].input
        shape = tuple(given.type.multiArrayType.shape)
        outputs = tuple(output.name for output in found[name].output)
        if (given.name, shape) != (GIVEN, each.shape) or set(outputs) != set(each.outputs):
            raise PackageError(
                f"{path}: function {name} takes {given.name} {shape} and gives {outputs}; asked for were {GIVEN}"
                f" {each.shape} and {each.outputs}"
            )
        if given.type.multiArrayType.dataType != kind:
            raise PackageError(f"{path}: function {name} takes another type than {weight_format} computes in")
        _check_layers(each, spec.mlProgram.functions[name], path)


def _check_layers(each: StageFunction, found: "Model_pb2.Model", path: Path) -> None:
    """Each convolution and linear layer in its order: the shape of its result, which groups and strides decide."""
    (block,) = found.block_specializations.values()
    layers = [
        (operation.type, tuple(size.constant.size for size in operation.outputs[0].type.tensorType.dimensions))
        for operation in block.operations
        if operation.type in {"conv", "linear"}
    ]
    wanted = [
        (operation.op_type, tuple(operation.outputs[0].shape))
        for operation in each.function.operations
        if operation.op_type in {"conv", "linear"}
    ]
    if layers != wanted:
        raise PackageError(f"{path}: function {each.name} holds layers {layers}, asked for were {wanted}")
