"""A detector's boxes as tensors of the protocol: beside the raw output, asked for by name."""

import json
from typing import Any

import numpy as np
import pytest

from tidegate.models.task import Detector, HeadLayout
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.protocol.model_documents import model_configuration, model_metadata
from tidegate.worker.protocol.refusals import BadRequest
from tidegate.worker.protocol.reply import Reply, reply
from tidegate.worker.protocol.request import RegionPart, RequestReader

DETECTOR = Detector(HeadLayout.YOLOV8, 2, 5, (64, 64))
INTERFACE = Interface("images", (3, 64, 64), 1 / 255, "logits", ("cat", "dog"), detector=DETECTOR)


def outputs_of(*samples: list[tuple[float, float, float, float, float, int]]) -> np.ndarray:
    """Raw outputs in which each sample has these boxes: centre, sides, score and label."""
    head = np.zeros((len(samples), 6, 5), np.float32)
    for row, boxes in enumerate(samples):
        for place, (*box, score, label) in enumerate(boxes):
            head[row, :4, place] = box
            head[row, 4 + label, place] = score
    return head.reshape(len(samples), -1)


TWO_AND_NONE = outputs_of([(20, 20, 16, 16, 0.6, 0), (44, 44, 20, 20, 0.9, 1)], [])


def no_region(part: RegionPart, _data: bytes) -> None:
    raise AssertionError(f"nothing goes to {part}")


def asked(outputs: list[dict[str, Any]] | None, answered: np.ndarray = TWO_AND_NONE) -> Reply:
    """The reply to a request for these outputs."""
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 3, 64, 64], "data": [0] * 3 * 64 * 64}
    document = {"inputs": [tensor], **({} if outputs is None else {"outputs": outputs})}
    request = RequestReader(INTERFACE, lambda _: b"").read(json.dumps(document).encode(), None)
    return reply("cats", None, INTERFACE, request.outputs, answered, {}, no_region)


def test_without_names_all_outputs_come_and_the_raw_one_first() -> None:
    tensors = json.loads(asked(None).document)["outputs"]
    assert [each["name"] for each in tensors] == ["logits", "boxes", "scores", "labels"]
    raw, boxes, scores, labels = tensors
    assert raw["data"] == TWO_AND_NONE.ravel().tolist()
    assert (boxes["shape"], scores["shape"], labels["shape"]) == ([2, 2, 4], [2, 2], [2, 2])
    assert boxes["data"][:8] == [34, 34, 54, 54, 12, 12, 28, 28]
    assert scores["data"] == pytest.approx([0.9, 0.6, 0, 0])
    assert (labels["datatype"], labels["data"]) == ("INT64", [1, 0, -1, -1])


def test_outputs_come_in_the_order_asked_for_each_in_its_own_form() -> None:
    binary = {"binary_data": True}
    found = asked(
        [{"name": "labels", "parameters": binary}, {"name": "scores"}, {"name": "boxes", "parameters": binary}]
    )
    tensors = json.loads(found.document)["outputs"]
    assert [each["name"] for each in tensors] == ["labels", "scores", "boxes"]
    assert found.binary is not None
    sizes = [tensors[0]["parameters"]["binary_data_size"], tensors[2]["parameters"]["binary_data_size"]]
    assert sum(sizes) == len(found.binary)
    assert np.frombuffer(found.binary[: sizes[0]], "<i8").tolist() == [1, 0, -1, -1]
    assert np.frombuffer(found.binary[sizes[0] :], "<f4")[:4].tolist() == [34, 34, 54, 54]


def test_nothing_found_is_an_empty_tensor() -> None:
    boxes, labels = json.loads(asked([{"name": "boxes"}, {"name": "labels"}], outputs_of([])).document)["outputs"]
    assert (boxes["shape"], boxes["data"]) == ([1, 0, 4], [])
    assert (labels["shape"], labels["data"]) == ([1, 0], [])


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([{"name": "masks"}], "allowed is 'logits' or 'boxes' or 'scores' or 'labels'"),
        ([{"name": "boxes"}, {"name": "boxes"}], r"outputs\.1\.name: .* a second time"),
        ([{"name": "scores", "parameters": {"classification": 2}}], "no number for each label"),
        ([{"name": "logits", "parameters": {"classification": 2}}], "no number for each label"),
    ],
)
def test_what_a_detector_has_not_is_refused(outputs: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        asked(outputs)


def test_the_model_s_documents_name_all_outputs_and_the_classes() -> None:
    told = model_metadata("cats", INTERFACE)["outputs"]
    assert [(each["name"], each["datatype"], each["shape"]) for each in told] == [
        ("logits", "FP32", [-1, 30]),
        ("boxes", "FP32", [-1, -1, 4]),
        ("scores", "FP32", [-1, -1]),
        ("labels", "INT64", [-1, -1]),
    ]
    configured = model_configuration("cats", INTERFACE)
    assert [each["data_type"] for each in configured["output"]] == [
        "TYPE_FP32",
        "TYPE_FP32",
        "TYPE_FP32",
        "TYPE_INT64",
    ]
    assert configured["parameters"]["labels"]["string_value"] == "cat\ndog"
