"""Where each tensor lies in a safetensors file, for those who map the file instead of reading it.

Format: https://huggingface.co/docs/safetensors/index#format (8 bytes of header length, JSON header, data).
"""

import json
from pathlib import Path

from agent.models.errors import BundleError

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000


def tensor_places(path: Path) -> dict[str, range]:
    """Byte positions of every tensor's data in the file. Raises BundleError when the header is no such header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > _MAX_HEADER_BYTES:
            raise BundleError(f"{path}: a header of {length} bytes; allowed are {_MAX_HEADER_BYTES}")
        text = file.read(length)
    start = _LENGTH_BYTES + length
    try:
        header = json.loads(text)
        offsets = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
        return {name: range(start + first, start + end) for name, (first, end) in offsets.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: the header is no safetensors header: {error}") from error
