"""An answer as a line: the best class of a classifier, the boxes of a detector, no more than is known."""

import json
from dataclasses import replace

import numpy as np

from tidegate.engines.engine import Answer
from tidegate.models.bundle import open_bundle
from tidegate.models.task import Detector, HeadLayout, LabelMap
from tidegate.paths import profiles_directory
from tidegate.worker.inference_queue import QueueAnswer
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.streams.answer_line import answer_line

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")


def line(
    outputs: np.ndarray, interface: Interface, *, all_outputs: bool = False, certified: bool = True
) -> dict[str, object]:
    point = BUNDLE.ladder.cheapest if certified else replace(BUNDLE.ladder.cheapest, certificate=None)
    answered = QueueAnswer(Answer(outputs.astype(np.float32), 1, 0), point, 1.0)
    written = answer_line("door", "a", 0.0, answered, interface, all_outputs=all_outputs)
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    document: dict[str, object] = json.loads(written)
    return document


def test_a_classifier_names_its_best_class() -> None:
    found = line(np.eye(10)[3:4] * 2.5, Interface.of(BUNDLE))
    assert found == {
        "stream": "door",
        "frame": "a",
        "at": "1970-01-01T00:00:00.000+00:00",
        "operating_point": BUNDLE.ladder.cheapest.name,
        "label": BUNDLE.labels[3],
        "value": 2.5,
        "certified_risk": BUNDLE.ladder.cheapest.certified_risk,
    }
    assert line(np.eye(10)[3:4], Interface.of(BUNDLE), all_outputs=True)["outputs"] == [*np.eye(10)[3]]
    assert "certified_risk" not in line(np.eye(10)[3:4], Interface.of(BUNDLE), certified=False)


def test_a_detector_lists_its_boxes() -> None:
    detector = Detector(HeadLayout.YOLOV8, 2, 21, (32, 32))
    head = np.zeros((6, 21))
    head[:, 4] = [16, 8, 8, 4, 0.1, 0.9]
    interface = Interface("image", (3, 32, 32), 1 / 255, "logits", ("cat", "dog"), 1, detector)
    found = line(head.reshape(1, -1), interface)
    assert found["boxes"] == [{"label": "dog", "score": 0.9, "box": [12.0, 6.0, 20.0, 10.0]}]
    assert "label" not in found
    assert line(np.zeros((1, 126)), interface)["boxes"] == []


def test_a_reader_gives_its_text() -> None:
    interface = Interface(
        "image", (3, 32, 32), 1 / 255, "logits", ("", "a", "b"), 4, reader=LabelMap(3, False, blank=0)
    )
    found = line(np.eye(3)[[1, 1, 0, 1]].reshape(1, -1), interface)
    assert found["text"] == "aa"
    assert "label" not in found
    assert line(np.eye(3)[[0, 0, 0, 0]].reshape(1, -1), interface)["text"] == ""


def test_a_map_of_labels_names_no_class_of_the_whole() -> None:
    interface = replace(Interface.of(BUNDLE), positions=4)
    assert "label" not in line(np.zeros((1, 40)), interface)
