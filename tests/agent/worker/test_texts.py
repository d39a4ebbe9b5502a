"""A reader's text as tensors of the protocol: labels and their names, beside the raw output, asked for by name."""

import json
from typing import Any

import numpy as np
import pytest

from tidegate.models.task import LabelMap
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.protocol.model_documents import model_configuration, model_metadata
from tidegate.worker.protocol.refusals import BadRequest
from tidegate.worker.protocol.reply import Reply, reply
from tidegate.worker.protocol.request import RegionPart, RequestReader

READER = LabelMap(3, False, blank=0)
INTERFACE = Interface("lines", (4,), 1.0, "logits", ("", "a", "b"), 4, reader=READER)
AAB_AND_NOTHING = np.eye(3, dtype=np.float32)[[[1, 0, 1, 2], [0, 0, 0, 0]]].reshape(2, -1)


def asked(outputs: list[dict[str, Any]] | None, answered: np.ndarray = AAB_AND_NOTHING) -> Reply:
    """The reply to a request for these outputs."""

    def no_region(part: RegionPart, _data: bytes) -> None:
        raise AssertionError(f"nothing goes to {part}")

    tensor = {"name": "lines", "datatype": "FP32", "shape": [2, 4], "data": [0] * 8}
    document = {"inputs": [tensor], **({} if outputs is None else {"outputs": outputs})}
    request = RequestReader(INTERFACE, lambda _: b"").read(json.dumps(document).encode(), None)
    return reply("reader", None, INTERFACE, request.outputs, answered, {}, no_region)


def test_labels_and_text_come_beside_the_raw_output() -> None:
    raw, labels, text = json.loads(asked(None).document)["outputs"]
    assert (raw["name"], raw["shape"]) == ("logits", [2, 12])
    assert (labels["name"], labels["datatype"], labels["shape"]) == ("labels", "INT64", [2, 3])
    assert labels["data"] == [1, 1, 2, -1, -1, -1]
    assert text == {"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": ["aab", ""]}


def test_text_comes_as_bytes_after_their_length() -> None:
    found = asked([{"name": "text", "parameters": {"binary_data": True}}])
    assert found.binary == b"\x03\0\0\0aab\0\0\0\0"


def test_what_reads_nothing_has_no_labels() -> None:
    labels, text = json.loads(asked([{"name": "labels"}, {"name": "text"}], AAB_AND_NOTHING[1:]).document)[
        "outputs"
    ]
    assert (labels["shape"], labels["data"]) == ([1, 0], [])
    assert text["data"] == [""]


def test_the_model_s_documents_name_the_outputs() -> None:
    told = model_metadata("reader", INTERFACE)["outputs"]
    assert [(each["name"], each["datatype"], each["shape"]) for each in told] == [
        ("logits", "FP32", [-1, 12]),
        ("labels", "INT64", [-1, -1]),
        ("text", "BYTES", [-1, 1]),
    ]
    configured = model_configuration("reader", INTERFACE)["output"]
    assert [each["data_type"] for each in configured] == ["TYPE_FP32", "TYPE_INT64", "TYPE_STRING"]


@pytest.mark.parametrize("name", ["text", "logits"])
def test_best_classes_of_a_text_are_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="no number for each label"):
        asked([{"name": name, "parameters": {"classification": 2}}])
