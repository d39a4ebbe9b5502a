"""Which keys of agent.yaml have to do with other machines: where they may ask, and what is asked of them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from tidegate.config import AgentConfig
from tidegate.listening.loopback import is_loopback
from tidegate_drivers.meters import address as meters


@dataclass(frozen=True, slots=True)
class OtherMachines:
    """A key, and the address there that is not this machine's alone."""

    key: str
    address: str


def other_machines(config: AgentConfig) -> tuple[OtherMachines, ...]:
    """All of them, in the order of agent.yaml; what a pushed bundle is fetched from is not known before."""
    return tuple(each for each in _addresses(config) if not is_loopback(each.address))


def _addresses(config: AgentConfig) -> Iterator[OtherMachines]:
    for name, part in (("listen", config.listen), ("web", config.web), ("frigate", config.frigate)):
        if part is not None and part.tcp is not None:
            yield OtherMachines(f"{name}.address", part.address)
    if config.broker is not None:
        yield OtherMachines("broker.host", config.broker.host)
    if config.meter is not None:
        meter = meters.parse(config.meter)
        if isinstance(meter, meters.TopicMeter | meters.UpsMeter):
            yield OtherMachines("meter", meter.host)
    for index, stream in enumerate(config.streams):
        if (host := _camera_host(stream.source.camera)) is not None:
            yield OtherMachines(f"streams[{index}].from.camera", host)


def _camera_host(camera: str | None) -> str | None:
    """Of rtsp://, http:// and the like; None for a device or a file."""
    if camera is None or "://" not in camera:
        return None
    try:
        return urlsplit(camera).hostname
    except ValueError:  # brackets that hold no IPv6 address; the camera says so when it is opened
        return None
