"""The inference endpoint: paths, tokens and methods of all models; requests go to the one that they name."""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

import numpy as np

from tidegate.listening.bearer import shows
from tidegate.messages import AdmissionState
from tidegate.worker import codings
from tidegate.worker.calls import Calls
from tidegate.worker.further_models import FurtherModels
from tidegate.worker.http.bodies import BodyRefused, HeldBody, too_large
from tidegate.worker.http.connection import Answer
from tidegate.worker.http.message import HERE, Body, Caller, Head, Response
from tidegate.worker.model_endpoint import JSON_LENGTH, NO_REGION, ModelEndpoint
from tidegate.worker.protocol.model_documents import VERSION
from tidegate.worker.protocol.refusals import BadRequest, Forbidden, NotFound, Unavailable, shown
from tidegate.worker.reception import Reception
from tidegate.worker.responses import error_response, json_response, refused
from tidegate.worker.routes import Call, Route, model_path, route_of

ALIGNED_BYTES = 64
"""Kernels read whole vectors; a tensor that is not aligned would have to be copied."""

MAX_PATH_SHOWN = 100
CHALLENGE = 'Bearer realm="tidegate"'
REGION_CALLS = frozenset({Call.REGION_STATUS, Call.REGION_REGISTER, Call.REGION_UNREGISTER})
OF_LOADED = frozenset({Call.MODEL_METADATA, Call.CONFIGURATION, Call.STATISTICS})
"""What can be told of a model only while it is loaded."""


class Endpoint:
    """Serves the main model, and further ones where there are any."""

    def __init__(self, main: ModelEndpoint, reception: Reception) -> None:
        self._main = main
        self.bodies = reception.bodies
        self._reception = reception
        self._calls = Calls(main, reception)
        reception.fit_bodies((main.max_body_bytes,))

    @property
    def admission_state(self) -> AdmissionState:
        """What the supervisor last said of the policy."""
        return self._reception.admission_state

    @admission_state.setter
    def admission_state(self, state: AdmissionState) -> None:
        self._reception.admission_state = state

    def serve_also(self, further: FurtherModels) -> None:
        """Answer for these models too."""
        self._calls.further = further

    def take_turned_away(self) -> int:
        """How many requests the policy's limits refused since the last call."""
        return self._reception.take_turned_away()

    def begin(self, head: Head, caller: Caller = HERE) -> Response | Answer:
        """What answers a request once its body is here, or the answer where the body need not be read."""
        route = route_of(head.path)
        if caller.token is not None and not shows(caller.token, head.headers.get("authorization", "")):
            return self._without_token(head, route)
        try:
            if route is None:
                raise self._nothing_at(head.path)
            if head.method not in route.methods:
                allowed = ", ".join(route.methods)
                text = f"{head.path[:MAX_PATH_SHOWN]}: found method {head.method[:20]}, allowed is {allowed}"
                return error_response(HTTPStatus.METHOD_NOT_ALLOWED, text, {"Allow": allowed})
            self._check_model(route)
            if route.call is Call.INFER:
                if self.admission_state.refuse:
                    self._reception.turned_away += 1
                    return error_response(HTTPStatus.SERVICE_UNAVAILABLE, self.admission_state.reason)
                self._check_coding(head)
                return self._inferring(route, head, caller)
            if route.call in REGION_CALLS and not caller.is_local:
                raise Forbidden(NO_REGION)
        except (BadRequest, BodyRefused) as refusal:
            return refused(refusal, self.admission_state)
        return self._others(route)

    def body_buffer(self, head: Head, size: int) -> memoryview:
        """Memory for a body, in which the tensor behind the JSON is aligned."""
        declared = head.headers.get(JSON_LENGTH, "")
        json_bytes = int(declared) if declared.isdecimal() and len(declared) < 16 else 0
        memory = np.empty(size + ALIGNED_BYTES, np.uint8)
        start = -(memory.__array_interface__["data"][0] + json_bytes) % ALIGNED_BYTES
        return memory.data[start : start + size]

    def _without_token(self, head: Head, route: Route | None) -> Response:
        """Probes of load balancers and clusters show none: whether it lives and is ready is told, and no more."""
        if head.method == "GET" and route == Route(Call.LIVE):
            return json_response({"live": True})
        if head.method == "GET" and route == Route(Call.READY):
            ready = not self.admission_state.lets_nothing_in
            return json_response({"ready": ready}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)
        text = "a token is needed: `Authorization: Bearer TOKEN`, with what is in this device's listen.token_file"
        return error_response(HTTPStatus.UNAUTHORIZED, text, {"WWW-Authenticate": CHALLENGE})

    def _inferring(self, route: Route, head: Head, caller: Caller) -> Answer:
        if (further := self._calls.further) is None or route.model is None or route.model == self._main.name:
            _check_length(head, self._main)
            return self._main.infer if caller.is_local else self._main.infer_remotely
        name, known = route.model, further.find(route.model)
        if known is not None:
            _check_length(head, known)

        def answer(head: Head, body: Body, held: HeldBody) -> Response | Awaitable[Response]:
            # Once more: while the body was on its way, the model may have been replaced or unloaded.
            try:
                model = further.find(name) if name in further.names else None
            except Unavailable as refusal:
                return refused(refusal, self.admission_state)
            if model is None:
                return self._inferred_later(further, name, head, body, held, caller)
            return model.infer(head, body, held, is_local=caller.is_local)

        return answer

    async def _inferred_later(
        self, further: FurtherModels, name: str, head: Head, body: Body, held: HeldBody, caller: Caller
    ) -> Response:
        """Answer once the model is loaded."""
        try:
            model = await further.ready(name)
        except BadRequest as refusal:
            return refused(refusal, self.admission_state)
        answered = model.infer(head, body, held, is_local=caller.is_local)
        return answered if isinstance(answered, Response) else await answered

    def _others(self, route: Route) -> Answer:
        def answer(_head: Head, body: Body, _held: HeldBody) -> Response | Awaitable[Response]:
            try:
                if route.call is Call.READY and (obstacle := self._obstacle(route)) is not None:
                    return json_response({"ready": False, "error": obstacle}, HTTPStatus.SERVICE_UNAVAILABLE)
                found = self._calls.answer(route, self._asked(route), bytes(body))
            except BadRequest as refusal:
                return refused(refusal, self.admission_state)
            return self._changed(found) if isinstance(found, Awaitable) else json_response(found)

        return answer

    async def _changed(self, change: Awaitable[Any]) -> Response:
        try:
            await change
        except BadRequest as refusal:
            return refused(refusal, self.admission_state)
        return json_response({})

    def _obstacle(self, route: Route) -> str | None:
        """Why the server, or the model that the path names, takes no requests."""
        if self.admission_state.lets_nothing_in:
            return self.admission_state.reason
        further = self._calls.further
        if further is None or route.model is None or route.model == self._main.name:
            return None
        return further.is_ready(route.model)

    def _asked(self, route: Route) -> ModelEndpoint:
        """The model that the path names. Raises Unavailable for one that has to be loaded and isn't."""
        further = self._calls.further
        if further is None or route.model in {None, self._main.name} or route.call not in OF_LOADED:
            return self._main
        name = str(route.model)
        if (found := further.find(name)) is None:
            raise Unavailable(further.is_ready(name) or f"model {shown(name)} is being loaded; ask again")
        return found

    def _check_model(self, route: Route) -> None:
        if route.model is not None and route.model not in self._names:
            raise NotFound(f"model {shown(route.model)}: not here; {self._models_here()}")
        if route.version not in {None, VERSION}:
            name = route.model or self._main.name
            raise NotFound(f"version {shown(route.version)} of {name}: not here; allowed is {VERSION!r}")

    @property
    def _names(self) -> tuple[str, ...]:
        return (self._main.name, *(() if self._calls.further is None else self._calls.further.names))

    def _models_here(self) -> str:
        names = self._names
        if len(names) == 1:
            return f"this server's only model is at {model_path(names[0])}"
        return f"this server's models are at {', '.join(map(model_path, names))}"

    def _nothing_at(self, path: str) -> NotFound:
        return NotFound(f"{path[:MAX_PATH_SHOWN]}: nothing here; {self._models_here()}")

    def _check_coding(self, head: Head) -> None:
        coding = head.headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity", *codings.WINDOW_BITS}:
            allowed = ", ".join(("identity", *codings.WINDOW_BITS))
            text = f"Content-Encoding: found {coding[:40]!r}, allowed are {allowed}"
            raise BodyRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, {"Accept-Encoding": allowed})


def _check_length(head: Head, model: ModelEndpoint) -> None:
    """Raises BodyRefused for a body that is larger than any request to this model, if not to another one."""
    length, largest = head.headers.get("content-length", ""), model.max_body_bytes
    if length.isdecimal() and len(length) < 16 and int(length) > largest:
        raise too_large(f"{length} bytes", largest)
