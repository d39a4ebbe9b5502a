"""What lies where in a safetensors file, read from its header alone: no tensor is touched, no numpy imported.

Format: https://huggingface.co/docs/safetensors/index#format (8 bytes of header length, JSON header, data). The
supervisor checks bundles with this; whoever wants the tensors themselves loads them with the safetensors library
or maps the file.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tidegate.models.errors import BundleError

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
_METADATA = "__metadata__"

_Size = Annotated[int, Field(ge=0, strict=True)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dtype: str
    shape: tuple[_Size, ...]
    data_offsets: tuple[_Size, _Size]


@cache
def _entry_models() -> TypeAdapter[dict[str, _Entry]]:
    return TypeAdapter(dict[str, _Entry])


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of the file; `place` are the positions of its bytes."""

    dtype: str
    shape: tuple[int, ...]
    place: range


def tensors_in(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of the file. Raises BundleError unless the header accounts for each byte exactly once."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > min(_MAX_HEADER_BYTES, size):
            raise BundleError(f"{path}: is not a safetensors file: a header of {length} bytes in a file of {size}")
        text = file.read(length)
    start = _LENGTH_BYTES + length
    found = {
        name: StoredTensor(entry.dtype, entry.shape, range(*(start + offset for offset in entry.data_offsets)))
        for name, entry in _entries(path, text).items()
    }
    end = start
    for name, tensor in sorted(found.items(), key=lambda item: (item[1].place.start, item[1].place.stop)):
        if tensor.dtype not in _BYTES:
            raise BundleError(
                f"{path}: is not a safetensors file: {name} is {tensor.dtype}; known are {', '.join(_BYTES)}"
            )
        needed = math.prod(tensor.shape) * _BYTES[tensor.dtype]
        place = tensor.place
        if (place.start, place.stop) != (end, end + needed):
            raise BundleError(
                f"{path}: is not a safetensors file: {name} is said to lie in bytes {place.start} to "
                f"{place.stop}; "
                f"{tensor.dtype} {tensor.shape} after the tensor before it is {end} to {end + needed}"
            )
        end += needed
    if end != size:
        raise BundleError(f"{path}: is not a safetensors file: {size} bytes, the header speaks of {end}")
    return found


def tensor_places(path: Path) -> dict[str, range]:
    """Byte positions of every tensor's data in the file. Raises BundleError."""
    return {name: tensor.place for name, tensor in tensors_in(path).items()}


def _entries(path: Path, text: bytes) -> dict[str, _Entry]:
    try:
        header = json.loads(text, object_pairs_hook=_without_repeats)
        header.pop(_METADATA, None)
        return _entry_models().validate_python(header)
    except (ValidationError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: is not a safetensors file: {error}") from error


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found
