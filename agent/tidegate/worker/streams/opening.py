"""Streams of their specifications."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from threading import Event

from tidegate.messages import Serve, StreamBroker, StreamSpec
from tidegate.telemetry.broker import Broker
from tidegate.worker.pictures import is_of_pictures, takes_pictures
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.streams.camera import Camera
from tidegate.worker.streams.folder import Folder
from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.line_sink import LineSink
from tidegate.worker.streams.line_source import LineSource
from tidegate.worker.streams.sink import Sink
from tidegate.worker.streams.source import BadFrame, Source, SourceGone
from tidegate.worker.streams.stream import Stream


def open_streams(
    asked: Serve, model: str | None, interface: Interface, open_one: Callable[..., Stream]
) -> list[Stream]:
    """One stream of each that this model answers, None being the main one; not started."""
    broker = _broker(asked.broker)
    return [
        open_one(spec, _source(spec, interface.sample_shape, broker), _sink(spec, broker), interface=interface)
        for spec in asked.streams
        if spec.model == model
    ]


def _broker(asked: StreamBroker | None) -> Broker | None:
    if asked is None:
        return None
    ca = None if asked.tls_ca is None else Path(asked.tls_ca)
    return Broker(asked.host, asked.port, asked.username, asked.password, ca)


def _sink(spec: StreamSpec, broker: Broker | None) -> Sink:
    if spec.to_topic is not None and broker is not None:
        from tidegate.worker.streams.mqtt import MqttSink  # noqa: PLC0415 - loads paho

        return MqttSink(broker, spec.to_topic)
    return LineSink(Path(str(spec.to_lines)))


class _NoSource:
    """Never gives a frame, and says why."""

    live = False

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def frames(self, stop: Event, due: Callable[[], bool]) -> Iterator[Frame | BadFrame | None]:
        """Raises SourceGone."""
        del stop, due
        raise SourceGone(self._reason)


def _source(spec: StreamSpec, sample_shape: tuple[int, ...], broker: Broker | None) -> Source:
    if spec.topic is not None and broker is not None:
        from tidegate.worker.streams.mqtt import MqttSource  # noqa: PLC0415 - loads paho

        return MqttSource(broker, spec.topic, sample_shape)
    if (reason := _lacking(spec, sample_shape)) is not None:
        return _NoSource(reason)
    if spec.folder is not None:
        return Folder(Path(spec.folder), sample_shape)
    if spec.camera is not None:
        return Camera(spec.camera, sample_shape)
    return LineSource(Path(str(spec.lines)), sample_shape)


def _lacking(spec: StreamSpec, sample_shape: tuple[int, ...]) -> str | None:
    if spec.lines is None and not is_of_pictures(sample_shape):
        return f"the network takes {list(sample_shape)}; pictures have 1 or 3 channels, height and width"
    if spec.folder is not None and not takes_pictures(sample_shape):
        return f"the package Pillow is missing; {_install('pictures')}"
    if spec.camera is not None and find_spec("av") is None:
        return f"the package av is missing; {_install('video')}"
    return None


def _install(extra: str) -> str:
    for_a_service = f"for a service with `./install.sh service --extras {extra}`"
    return f"install it with `pip install 'tidegate[{extra}]'`, {for_a_service}"
