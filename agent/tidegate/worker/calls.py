"""All calls of the protocol and its extensions but inference: what they answer, and why some are refused."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tidegate.messages import ModelState
from tidegate.worker.further_models import FurtherModels
from tidegate.worker.model_endpoint import ModelEndpoint
from tidegate.worker.protocol.model_documents import index_entry, server_metadata
from tidegate.worker.protocol.refusals import BadRequest
from tidegate.worker.reception import Reception
from tidegate.worker.routes import Call, Route

_REFUSED = {
    Call.CUDA_REGIONS: "CUDA shared memory: not here; allowed are binary data and system shared memory",
    Call.TRACE_SETTINGS: "trace settings: none here; requests are counted at /v2/models/stats",
    Call.LOG_SETTINGS: "log settings: none here; the agent's log goes to journald or standard error",
}
_OF_SERVER: Mapping[Call, Callable[[], Any]] = {
    Call.SERVER_METADATA: server_metadata,
    Call.LIVE: lambda: {"live": True},
    Call.READY: lambda: {"ready": True},
}


class Calls:
    """Answers with documents. One event loop's, not thread-safe."""

    def __init__(self, main: ModelEndpoint, reception: Reception) -> None:
        self.further: FurtherModels | None = None
        """The models beside the main one, where there may be any."""
        self._main = main
        self._reception = reception

    def answer(self, route: Route, asked: ModelEndpoint, body: bytes) -> Any | Awaitable[None]:
        """The document that a call is answered with, or what is awaited before an empty one. Raises BadRequest.

        `asked` is the model that the path names, and the main one where it names none or one that isn't loaded.
        """
        match route.call:
            case call if call in _OF_SERVER:
                return _OF_SERVER[call]()
            case Call.MODEL_METADATA | Call.CONFIGURATION:
                return asked.metadata() if route.call is Call.MODEL_METADATA else asked.configuration()
            case Call.STATISTICS:
                counted = self._counted(route, asked)
                return {"model_stats": [each.statistics.document(each.name) for each in counted]}
            case Call.REPOSITORY_INDEX:
                return self._index(body)
            case Call.LOAD | Call.UNLOAD:
                return self._change(route.call, str(route.model), body)
        return self._of_regions(route, body)

    def _of_regions(self, route: Route, body: bytes) -> Any:
        match route.call:
            case Call.REGION_STATUS:
                return self._reception.regions.status(route.region)
            case Call.REGION_REGISTER:
                self._reception.regions.register(str(route.region), body)
            case Call.REGION_UNREGISTER:
                self._reception.regions.unregister(route.region)
            case _:
                raise BadRequest(_REFUSED[route.call])
        return {}

    def _counted(self, route: Route, asked: ModelEndpoint) -> tuple[ModelEndpoint, ...]:
        if route.model is not None:
            return (asked,)
        return (self._main, *(() if self.further is None else self.further.endpoints))

    def _index(self, body: bytes) -> list[dict[str, Any]]:
        admission = self._reception.admission_state
        reason = admission.reason if admission.lets_nothing_in else None
        state = ModelState.READY if reason is None else ModelState.UNAVAILABLE
        models = [index_entry(self._main.name, state.value, reason or "")]
        models += [] if self.further is None else self.further.index()
        if reason is not None:
            unavailable = ModelState.UNAVAILABLE.value
            models = [
                each if "reason" in each else index_entry(each["name"], unavailable, reason) for each in models
            ]
        ready_alone = _parameters_in(body).get("ready") is True
        return [each for each in models if not ready_alone or each["state"] == ModelState.READY.value]

    def _change(self, call: Call, model: str, body: bytes) -> Any | Awaitable[None]:
        if call is Call.LOAD and b'"parameters"' in body:
            raise BadRequest(
                f"parameters: model {model!r} is loaded as its bundle says; allowed is to load it without any"
            )
        if self.further is not None and model != self._main.name:
            return self.further.load(model) if call is Call.LOAD else self.further.unload(model)
        if call is Call.UNLOAD:
            raise BadRequest(f"model {model!r}: the agent serves it as long as it runs; stop the agent")
        return {}


def _parameters_in(body: bytes) -> dict[str, Any]:
    """The body of a repository request; empty for none, and for what is no object."""
    try:
        found = json.loads(body) if body else {}
    except ValueError as error:
        raise BadRequest(f"body: not JSON: {error}") from None
    return found if isinstance(found, dict) else {}
