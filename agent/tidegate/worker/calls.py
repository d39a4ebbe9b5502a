"""All calls of the protocol and its extensions but inference: what they answer, and why some are refused."""

from collections.abc import Callable
from typing import Any

from tidegate.messages import AdmissionState
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.protocol.model_documents import (
    model_configuration,
    model_metadata,
    repository_index,
    server_metadata,
)
from tidegate.worker.protocol.refusals import BadRequest
from tidegate.worker.routes import Call, Route
from tidegate.worker.shared_memory import SharedMemory
from tidegate.worker.statistics import Statistics

_REFUSED = {
    Call.CUDA_REGIONS: "CUDA shared memory: not here; allowed are binary data and system shared memory",
    Call.TRACE_SETTINGS: "trace settings: none here; requests are counted at /v2/models/stats",
    Call.LOG_SETTINGS: "log settings: none here; the agent's log goes to journald or standard error",
}


class Calls:
    """Answers with documents. One event loop's, not thread-safe."""

    def __init__(self, model: str, interface: Interface, regions: SharedMemory, statistics: Statistics) -> None:
        self._model = model
        self._regions = regions
        documents: dict[Call, Callable[[], Any]] = {
            Call.SERVER_METADATA: server_metadata,
            Call.LIVE: lambda: {"live": True},
            Call.READY: lambda: {"ready": True},
            Call.MODEL_METADATA: lambda: model_metadata(model, interface),
            Call.CONFIGURATION: lambda: model_configuration(model, interface),
            Call.STATISTICS: lambda: statistics.document(model),
        }
        self._documents = documents

    def answer(self, route: Route, body: bytes, admission_state: AdmissionState) -> Any:
        """The document that a call is answered with. Raises BadRequest."""
        if (document := self._documents.get(route.call)) is not None:
            return document()
        if route.call is Call.REPOSITORY_INDEX:
            return repository_index(
                self._model, admission_state.reason if admission_state.lets_nothing_in else None
            )
        if route.call is Call.REGION_STATUS:
            return self._regions.status(route.region)
        self._change(route, body)
        return {}

    def _change(self, route: Route, body: bytes) -> None:
        match route.call:
            case Call.REGION_REGISTER:
                self._regions.register(str(route.region), body)
            case Call.REGION_UNREGISTER:
                self._regions.unregister(route.region)
            case Call.LOAD:
                if b'"parameters"' in body:
                    raise BadRequest(
                        f"parameters: model {self._model!r} is loaded as its bundle says; allowed is to load it"
                        " without any"
                    )
            case Call.UNLOAD:
                raise BadRequest(f"model {self._model!r}: the agent serves it as long as it runs; stop the agent")
            case _:
                raise BadRequest(_REFUSED[route.call])
