"""What is told of the server and its model: metadata, configuration and the repository's index."""

from typing import Any

from tidegate import __version__
from tidegate.worker.protocol.interface import Interface

VERSION = "1"
"""The protocol numbers a model's versions; a bundle is served in the one that the agent has."""
PLATFORM = "tidegate"
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
    "system_shared_memory",
)

_TYPES = {"BYTES": "TYPE_STRING"}
"""Where ModelConfig has another word than the protocol."""

Document = dict[str, Any]


def server_metadata() -> Document:
    """GET /v2."""
    return {"name": "tidegate", "version": __version__, "extensions": list(EXTENSIONS)}


def model_metadata(model: str, interface: Interface) -> Document:
    """GET /v2/models/{m}."""
    taken = {"name": interface.input_name, "datatype": "FP32", "shape": [-1, *interface.sample_shape]}
    given = [
        {"name": each.name, "datatype": each.datatype, "shape": [-1, *each.shape]} for each in interface.outputs
    ]
    return {"name": model, "versions": [VERSION], "platform": PLATFORM, "inputs": [taken], "outputs": given}


def model_configuration(model: str, interface: Interface) -> Document:
    """GET /v2/models/{m}/config: what of Triton's ModelConfig holds here."""
    taken = {"name": interface.input_name, "data_type": "TYPE_FP32", "dims": list(interface.sample_shape)}
    given = [
        {
            "name": each.name,
            "data_type": _TYPES.get(each.datatype, f"TYPE_{each.datatype}"),
            "dims": list(each.shape),
        }
        for each in interface.outputs
    ]
    return {
        "name": model,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": interface.max_samples,
        "input": [taken],
        "output": given,
        "parameters": {"labels": {"string_value": "\n".join(interface.labels)}},
    }


def index_entry(model: str, state: str, reason: str) -> Document:
    """One model in the answer to POST /v2/repository/index; `reason` says why it takes no requests, if so."""
    return {"name": model, "version": VERSION, "state": state, **({"reason": reason} if reason else {})}
