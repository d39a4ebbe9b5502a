"""The reply to an inference request: JSON, and behind it or in shared memory what is asked for as bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic_core import to_json

from tidegate.engines.engine import Array
from tidegate.worker.protocol.classification import best_classes
from tidegate.worker.protocol.datatypes import Stored
from tidegate.worker.protocol.detections import LABELS, detections
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.protocol.model_documents import VERSION
from tidegate.worker.protocol.refusals import BadRequest
from tidegate.worker.protocol.request import RegionPart, WantedOutput
from tidegate.worker.protocol.texts import TEXT, labels_of, spellings, texts_in

WriteRegion = Callable[[RegionPart, bytes], None]
"""Writes to a place in shared memory. Raises BadRequest."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply's body: its JSON, and binary data behind it; None where there is none."""

    document: bytes
    binary: bytes | None


def reply(
    model: str,
    request_id: str | None,
    interface: Interface,
    wanted: Sequence[WantedOutput],
    outputs: Array,
    parameters: Mapping[str, Any],
    write_region: WriteRegion,
) -> Reply:
    """The reply with the output tensors as they are wanted. Raises BadRequest for a bad region."""
    found: Mapping[str, Stored] = {interface.output_name: outputs}
    spelled: list[list[str]] = []
    beside = any(each.name != interface.output_name for each in wanted)
    if interface.detector is not None and beside:
        found = {**found, **detections(interface.detector, outputs)}
    if interface.reader is not None and beside:
        read = texts_in(interface.reader, outputs)
        found = {**found, LABELS: labels_of(read)}
        spelled = spellings(interface.reader, interface.labels, read)
    tensors: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for place, each in enumerate(wanted):
        texts = spelled if interface.reader is not None and each.name == TEXT else None
        if each.classes is not None:
            texts = best_classes(outputs, each.classes, interface.labels)
        values = outputs if texts is not None else found[each.name]
        tensor: dict[str, Any] = {
            "name": each.name,
            "datatype": "BYTES" if texts is not None else "FP32" if values.dtype.kind == "f" else "INT64",
            "shape": list(values.shape) if texts is None else [len(texts), len(texts[0])],
        }
        if each.region is not None:
            written = _bytes(values, texts)
            if len(written) > each.region.size:
                raise BadRequest(
                    f"outputs.{place}.parameters.shared_memory_byte_size: found {each.region.size}, the output has"
                    f" {len(written)} bytes"
                )
            write_region(each.region, written)
            tensor["parameters"] = {
                "shared_memory_region": each.region.region,
                "shared_memory_offset": each.region.offset,
                "shared_memory_byte_size": len(written),
            }
        elif each.binary:
            binary.append(_bytes(values, texts))
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = _numbers(values, place) if texts is None else [text for row in texts for text in row]
        tensors.append(tensor)
    document = {
        **({} if request_id is None else {"id": request_id}),
        "model_name": model,
        "model_version": VERSION,
        "parameters": dict(parameters),
        "outputs": tensors,
    }
    return Reply(to_json(document), None if not binary else binary[0] if len(binary) == 1 else b"".join(binary))


def _numbers(values: Stored, place: int) -> list[float]:
    if not np.isfinite(values).all():
        raise BadRequest(
            f"outputs.{place}: the answer is not finite, which JSON has no numbers for: ask for binary data"
        )
    numbers: list[float] = values.ravel().tolist()
    return numbers


def _bytes(values: Stored, texts: list[list[str]] | None) -> bytes:
    """Values in row-major order; texts each after its length as UINT32."""
    if texts is None:
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = [text.encode() for row in texts for text in row]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
