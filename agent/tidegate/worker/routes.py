"""The paths of the protocol and its extensions, as `tritonclient` asks for them."""

from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache
from urllib.parse import quote


class Call(IntEnum):
    """What can be asked of the server."""

    SERVER_METADATA = auto()
    LIVE = auto()
    READY = auto()
    MODEL_METADATA = auto()
    CONFIGURATION = auto()
    STATISTICS = auto()
    INFER = auto()
    REPOSITORY_INDEX = auto()
    LOAD = auto()
    UNLOAD = auto()
    REGION_STATUS = auto()
    REGION_REGISTER = auto()
    REGION_UNREGISTER = auto()
    CUDA_REGIONS = auto()
    TRACE_SETTINGS = auto()
    LOG_SETTINGS = auto()


METHODS = {
    Call.INFER: ("POST",),
    Call.REPOSITORY_INDEX: ("POST",),
    Call.LOAD: ("POST",),
    Call.UNLOAD: ("POST",),
    Call.REGION_REGISTER: ("POST",),
    Call.REGION_UNREGISTER: ("POST",),
    Call.CUDA_REGIONS: ("GET", "POST"),
    Call.TRACE_SETTINGS: ("GET", "POST"),
    Call.LOG_SETTINGS: ("GET", "POST"),
}
"""GET for all others."""


@dataclass(frozen=True, slots=True)
class Route:
    """A call, and what its path names."""

    call: Call
    model: str | None = None
    version: str | None = None
    region: str | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it is asked with."""
        return METHODS.get(self.call, ("GET",))


_PLAIN = {
    "/v2": Route(Call.SERVER_METADATA),
    "/v2/health/live": Route(Call.LIVE),
    "/v2/health/ready": Route(Call.READY),
    "/v2/models/stats": Route(Call.STATISTICS),
    "/v2/repository/index": Route(Call.REPOSITORY_INDEX),
    "/v2/systemsharedmemory/status": Route(Call.REGION_STATUS),
    "/v2/systemsharedmemory/unregister": Route(Call.REGION_UNREGISTER),
    "/v2/trace/setting": Route(Call.TRACE_SETTINGS),
    "/v2/logging": Route(Call.LOG_SETTINGS),
}
_OF_MODEL = {
    "": Call.MODEL_METADATA,
    "ready": Call.READY,
    "config": Call.CONFIGURATION,
    "stats": Call.STATISTICS,
    "infer": Call.INFER,
    "trace/setting": Call.TRACE_SETTINGS,
}
_OF_REGION = {
    "status": Call.REGION_STATUS,
    "register": Call.REGION_REGISTER,
    "unregister": Call.REGION_UNREGISTER,
}
_OF_REPOSITORY = {"load": Call.LOAD, "unload": Call.UNLOAD}


@lru_cache(maxsize=16)
def route_of(path: str) -> Route | None:
    """What a path asks for; None for nothing of the protocol's."""
    return _PLAIN.get(path.rstrip("/")) or _route_with_names(path)


def _route_with_names(path: str) -> Route | None:
    match path.strip("/").split("/"):
        case ["v2", "models", model, "versions", version, *rest] if call := _OF_MODEL.get("/".join(rest)):
            return Route(call, model=model, version=version)
        case ["v2", "models", model, *rest] if call := _OF_MODEL.get("/".join(rest)):
            return Route(call, model=model)
        case ["v2", "repository", "models", model, last] if call := _OF_REPOSITORY.get(last):
            return Route(call, model=model)
        case ["v2", "systemsharedmemory", "region", region, last] if call := _OF_REGION.get(last):
            return Route(call, region=region)
        case ["v2", "cudasharedmemory", *_]:
            return Route(Call.CUDA_REGIONS)
    return None


def model_path(model: str) -> str:
    """Where a model is."""
    return f"/v2/models/{quote(model, safe='')}"
