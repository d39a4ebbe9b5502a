"""What a service gives at two points: boxes of a detector, the text of a reader, asked for as clients do."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

from tidegate.demo.client import UnixConnection
from tidegate.models.boxes import Found
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.evidence import Raw
from tidegate.models.ladder import Comparison
from tidegate.models.matching import same_objects
from tidegate_bench.broken import BrokenError
from tidegate_bench.footprint.agent import configure, started

POLICY = """\
tidegate: 1
name: pretrained
version: 1
max_accuracy_loss: 5 %
default: {{use: {point}}}
dwell: {{down: 0 s, up: 0 s}}
"""
ANSWER_S = 60.0
AGAIN_S = 0.25

Same = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]


def served_failures(bundle: Bundle, point: str, inputs: Raw) -> int | None:
    """On how many inputs (n, *input shape) what is served at the point is another thing than at full.

    Floats as the network takes them, or bytes that its scale belongs to. None for tasks whose raw output is all
    that is served. Raises BrokenError.
    """
    comparison = bundle.calibration.comparison
    if comparison.detector is None and (comparison.label_map is None or comparison.label_map.blank is None):
        return None
    wanted = ("text",) if comparison.detector is None else ("boxes", "scores", "labels")
    full, other = (_served(bundle, each, inputs, wanted) for each in (bundle.ladder.full.name, point))
    return sum(not same(comparison, *pair) for pair in zip(full, other, strict=True))


def same(comparison: Comparison, full: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two replies, data by output, say the same by the comparison's rule; a text has to be equal."""
    detector, bound = comparison.detector, comparison.bound
    if detector is None or bound is None:
        return bool(full["text"] == other["text"])
    return same_objects(_found(full), _found(other), detector.sure, bound)


def _found(reply: Mapping[str, Any]) -> Found:
    boxes = np.array(reply["boxes"], np.float32).reshape(-1, 4)
    return Found(boxes, np.array(reply["scores"], np.float32), np.array(reply["labels"], np.int64))


def _served(bundle: Bundle, point: str, inputs: Raw, wanted: tuple[str, ...]) -> list[Mapping[str, Any]]:
    with TemporaryDirectory(prefix="tg-") as made:
        directory = Path(made)
        config = configure(directory, None)
        policy = directory / "policy.yaml"
        policy.write_text(POLICY.format(point=point))
        document = yaml.safe_load(config.read_text())
        config.write_text(yaml.safe_dump({**document, "bundle": str(bundle.path), "policy": str(policy)}))
        with started(config):
            client = UnixConnection(str(directory / "tidegate.sock"), ANSWER_S)
            try:
                # An agent begins at full, before its policy's first decision.
                until = time.monotonic() + ANSWER_S
                while _asked(client, bundle, inputs[0], wanted)[0] != point and time.monotonic() < until:
                    time.sleep(AGAIN_S)
                found = [_asked(client, bundle, each, wanted) for each in inputs]
                if others := {by for by, _ in found if by != point}:
                    raise BrokenError(f"{point} was to answer, and {', '.join(sorted(others))} did")
                return [data for _, data in found]
            finally:
                client.close()


def _asked(
    client: UnixConnection, bundle: Bundle, values: Raw, wanted: tuple[str, ...]
) -> tuple[str, Mapping[str, Any]]:
    """Which point has answered, and data by output. Raises BrokenError for a refusal."""
    data = np.ascontiguousarray(values).tobytes()
    tensor = {
        "name": bundle.input.name,
        "datatype": "UINT8" if values.dtype == np.uint8 else "FP32",
        "shape": [1, *values.shape],
        "parameters": {"binary_data_size": len(data)},
    }
    header = json.dumps({"inputs": [tensor], "outputs": [{"name": name} for name in wanted]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"}
    client.request("POST", f"/v2/models/{bundle.model}/infer", header + data, headers)
    response = client.getresponse()
    reply = json.loads(response.read())
    if response.status != 200:
        raise BrokenError(f"{bundle.model} has not answered: {str(reply)[:300]}")
    return reply["parameters"]["operating_point"], {each["name"]: each["data"] for each in reply["outputs"]}
