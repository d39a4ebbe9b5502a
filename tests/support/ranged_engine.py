"""Points in int8 need the ranges of their values, which calibration measures: here for points of no ladder."""

from collections.abc import Callable
from dataclasses import fields, replace

from tidegate.calibration.candidate import has_reduced_precision
from tidegate.calibration.fit.histogram_observer import HistogramObserver
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array, Engine, Variant
from tidegate.models.ladder import OperatingPoint
from tidegate.models.network import Network, TrainedNetwork


class RangedEngine:
    """An engine that gives points of its own arithmetic the ranges that they have over some inputs."""

    def __init__(self, engine: Engine, network: Network, inputs: Callable[[], Array]) -> None:
        self._engine = engine
        self._network = network
        self._inputs = inputs
        self._observer: HistogramObserver | None = None

    @property
    def name(self) -> str:
        return self._engine.name

    def check(self, point: OperatingPoint) -> None:
        self._engine.check(point)

    def prepare(self, point: OperatingPoint) -> Variant:
        settings = _settings(point)
        if point.engine != self.name or point.ranges or not has_reduced_precision(settings):
            return self._engine.prepare(point)
        self._engine.check(point)
        if self._observer is None:
            self._observer = HistogramObserver(_trained(self._network), self._inputs())
        return self._engine.prepare(replace(point, ranges=self._observer.ranges(settings)))


def with_ranges(point: OperatingPoint, network: Network, inputs: Array) -> OperatingPoint:
    """The point with the ranges that its values have over some inputs."""
    observer = HistogramObserver(_trained(network), inputs)
    return replace(point, ranges=observer.ranges(_settings(point)))


def _settings(point: OperatingPoint) -> KnobSettings:
    return KnobSettings(
        **{each.name: getattr(point, each.name) for each in fields(KnobSettings) if hasattr(point, each.name)}
    )


def _trained(network: Network) -> TrainedNetwork:
    if isinstance(network, TrainedNetwork):
        return network
    arrays = network.weights(network.weight_shapes)
    return TrainedNetwork(network.segments, arrays, network.stand_ins, network.exit_heads)
