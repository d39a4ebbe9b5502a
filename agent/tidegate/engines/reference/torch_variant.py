"""A variant that computes with torch: one network at one operating point, with its thread count."""

from collections.abc import Mapping
from typing import Protocol

import torch

from tidegate.engines.engine import Answer, Array
from tidegate.models.ladder import OperatingPoint


class ForwardPass(Protocol):
    """What a forward pass gives: outputs (samples, *output shape) and in how many samples each block ran."""

    @property
    def outputs(self) -> Array: ...

    @property
    def executed(self) -> Mapping[str, int]: ...


class TorchNetwork(Protocol):
    """A network at one setting of the knobs."""

    @property
    def weights_resident_bytes(self) -> int: ...

    def forward(self, batch: Array) -> ForwardPass: ...


class TorchVariant:
    """An operating point ready to answer."""

    def __init__(self, point: OperatingPoint, network: TorchNetwork) -> None:
        self._point = point
        self._network: TorchNetwork | None = network

    @property
    def point(self) -> OperatingPoint:
        """The operating point it answers at."""
        return self._point

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of weights held; 0 after `release`."""
        return 0 if self._network is None else self._network.weights_resident_bytes

    def run(self, batch: Array) -> Answer:
        """Answer a batch of shape (samples, *input shape). Raises RuntimeError after `release`."""
        if self._network is None:
            raise RuntimeError(f"operating point {self._point.name} was released and can't run")
        # The count is kept per calling thread by OpenMP, so it is set where the work is done (7 us).
        if torch.get_num_threads() != self._point.threads:
            torch.set_num_threads(self._point.threads)
        done = self._network.forward(batch)
        executed = sum(done.executed.values())
        return Answer(done.outputs, executed, len(batch) * len(done.executed) - executed)

    def release(self) -> None:
        """Let go of the weights."""
        self._network = None
