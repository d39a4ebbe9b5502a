"""What asks a model without HTTP: its streams, and Frigate's detector; open while the model answers."""

import asyncio
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.engines.engine import UnsupportedPoint
from tidegate.messages import Serve, StreamCount
from tidegate.worker.frigate.detector import Detector
from tidegate.worker.frigate.hand_over import FileModel, HandOver
from tidegate.worker.reception import Reception
from tidegate.worker.served_model import ServedModel
from tidegate.worker.streams.opening import open_streams
from tidegate.worker.streams.stream import Stream

if TYPE_CHECKING:
    from tidegate.worker.frigate.door import FrigateDoor


@dataclass(frozen=True, slots=True)
class FrigateArguments:
    """Where Frigate asks, how long it may wait, where models are kept that it hands over, and which model answers.

    `models` is None where it hands none over, `model` where the main one answers.
    """

    listen_fd: int
    answer_within_s: float
    models: Path | None
    model: str | None = None


class Doors:
    """One event loop's. Names are those of further models, None is the main one."""

    def __init__(self, reception: Reception, frigate: FrigateArguments | None) -> None:
        self.asked = Serve()
        """What is to be read."""
        self._reception = reception
        self._frigate = frigate
        self._listening = None if frigate is None else socket.socket(fileno=frigate.listen_fd)
        self._door: FrigateDoor | None = None
        self._streams: dict[str | None, list[Stream]] = {}

    def prepare_main(self, model: ServedModel) -> None:
        """Load what Frigate's door needs, and the model it handed over last, before requests are let in."""
        if self._frigate is not None and self._listening is not None and self._frigate.model is None:
            self._door = self._frigate_door(self._frigate, self._listening, model)

    async def open_main(self, model: ServedModel) -> None:
        """Have the main model asked."""
        await self._open(None, model)

    async def open_further(self, model: ServedModel) -> None:
        """Have a further model asked; the second time does nothing."""
        await self._open(model.name, model)

    async def close_further(self, model: ServedModel) -> None:
        """Answer what a further model was asked, and have it asked no more."""
        await self._close(model.name)

    async def close(self) -> None:
        """Answer what was asked, and end."""
        await asyncio.gather(*(self._close(name) for name in [*self._streams]))

    def take_streams(self) -> tuple[StreamCount, ...]:
        """What was counted of streams since the last call."""
        return tuple(each.take() for streams in self._streams.values() for each in streams)

    def take_frigate(self) -> StreamCount | None:
        """What was counted of Frigate's pictures since the last call; None while it isn't answered."""
        return None if self._door is None else self._door.take()

    def take_turned_away(self) -> int:
        """How many of Frigate's pictures the policy's limits refused since the last call."""
        return 0 if self._door is None else self._door.take_turned_away()

    async def _open(self, name: str | None, model: ServedModel) -> None:
        if name in self._streams:
            return
        open_one = partial(
            Stream,
            queue=model.queue,
            # Further models have no drift guard.
            shadow=model.shadow,
            admission=self._reception.admission,
            state=lambda: self._reception.admission_state,
        )
        self._streams[name] = streams = open_streams(self.asked, name, model.interface, open_one)
        if self._frigate is not None and self._listening is not None and self._frigate.model == name:
            if self._door is None:
                self._door = self._frigate_door(self._frigate, self._listening, model)
            self._door.start()
        for each in streams:
            each.start()

    async def _close(self, name: str | None) -> None:
        streams = self._streams.pop(name, None)
        if streams is None:
            return
        await asyncio.gather(*(asyncio.to_thread(each.stop) for each in streams))
        if self._door is not None and self._frigate is not None and self._frigate.model == name:
            door, self._door = self._door, None
            await asyncio.to_thread(door.stop)

    def _frigate_door(
        self, asked: FrigateArguments, listening: socket.socket, model: ServedModel
    ) -> "FrigateDoor":
        from tidegate.worker.frigate.door import FrigateDoor  # noqa: PLC0415 - loads ZeroMQ, which few agents have

        hand_over = None if asked.models is None else HandOver(asked.models, _open_file)
        detector = Detector(
            model.name,
            model.interface,
            model.queue,
            model.shadow,
            self._reception.admission,
            lambda: self._reception.admission_state,
            hand_over,
        )
        return FrigateDoor(listening, detector, asked.answer_within_s, takes_models=hand_over is not None)


def _open_file(path: Path, name: str) -> FileModel:
    try:
        from tidegate.engines.onnxruntime.file_variant import FileVariant  # noqa: PLC0415 - loads ONNX Runtime
    except ModuleNotFoundError:
        raise UnsupportedPoint(f"{name}: ONNX Runtime is missing; pip install 'tidegate[onnx]'") from None
    return FileVariant(path, name)
