"""An answer as one line of JSON. Pure."""

import json
from datetime import UTC, datetime

from tidegate.models.boxes import found_in
from tidegate.worker.inference_queue import QueueAnswer
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.protocol.texts import spellings, texts_in


def answer_line(
    stream: str, origin: str, at_s: float, answered: QueueAnswer, interface: Interface, *, all_outputs: bool
) -> bytes:
    """The boxes found, the text read, or the best class with its value as the network gives it.

    `at_s` is Unix time. A point without a certificate has no `certified_risk` rather than a 0.
    """
    outputs = answered.answer.outputs[0]
    document: dict[str, object] = {
        "stream": stream,
        "frame": origin,
        "at": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds"),
        "operating_point": answered.point.name,
    }
    if interface.detector is not None:
        document["boxes"] = _boxes(interface, answered)
    elif interface.reader is not None:
        document["text"] = spellings(
            interface.reader, interface.labels, texts_in(interface.reader, outputs[None])
        )[0][0]
    elif interface.classifies:
        best = int(outputs.argmax())
        document |= {"label": interface.labels[best], "value": round(float(outputs[best]), 6)}
    if answered.point.certificate is not None:
        document["certified_risk"] = answered.point.certificate.alpha
    if all_outputs:
        document["outputs"] = [round(float(each), 6) for each in outputs]
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _boxes(interface: Interface, answered: QueueAnswer) -> list[dict[str, object]]:
    """Best first; left, top, right and bottom in pixels of the network's input."""
    assert interface.detector is not None  # noqa: S101 - as asked
    (found,) = found_in(interface.detector, answered.answer.outputs)
    return [
        {
            "label": interface.labels[label],
            "score": round(float(score), 4),
            "box": [round(float(side), 1) for side in box],
        }
        for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True)
    ]
