"""The packed engine: fused layers on oneDNN's prepacked weights, each layer in its own precision.

A point that was certified on this engine runs natively: int8 weights and uint8 activations, bf16 where the
processor has it. A point certified on eager keeps eager's arithmetic, weights rounded as eager rounds them and
computed with in fp32, because its certificate says nothing of rounded activations.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from agent.engines import eager
from agent.engines.engine import Array, UnsupportedPoint
from agent.engines.fusion import Call, Layer, fuse
from agent.engines.int8_store import Int8Store
from agent.engines.interpreter import check_runs
from agent.engines.memory import return_freed
from agent.engines.network_cache import NO_CACHE, NetworkCache
from agent.engines.packed import kernels
from agent.engines.packed.forms import Arithmetic, Form, PlannedStep, Tie, choose_forms
from agent.engines.packed.network import PackedNetwork, Stage
from agent.engines.packed.offer import Offer
from agent.engines.packed.plan import SegmentPlanner
from agent.engines.quantization import Grid, QuantizedWeight, Range
from agent.engines.support import check_knobs, check_precisions, check_turned
from agent.engines.torch_variant import TorchVariant
from agent.models.graph import INPUT, Segment
from agent.models.knobs import Knobs, precision_of
from agent.models.ladder import OperatingPoint, Precision
from agent.models.network import Network
from agent.models.precision import store

NAME = "packed"
_KNOBS = frozenset({"thresholds", "skip", "precision", "layer_precision", "threads"})

MAX_CALIBRATION_INPUTS = 32


class PackedEngine:
    """Packs variants; layers packed alike are shared by the variants that are alive."""

    def __init__(
        self, network: Network, calibration: Callable[[], Array], offer: Offer, cache: NetworkCache = NO_CACHE
    ) -> None:
        """`calibration` gives inputs (samples, *input shape) for the ranges of uint8 activations; asked for once,
        when an int8 layer is first prepared. Raises UnsupportedPoint when the probe offers nothing."""
        if not offer.precisions:
            raise UnsupportedPoint(f"engine {NAME} is not offered here: {offer.reason}")
        # The kernels believe the shapes that a graph declares; this is where they are found to be true.
        cache.pass_once("its segments run", lambda: check_runs(network))
        self._network = network
        self._calibration = calibration
        self._offer = offer
        self._steps = {segment.name: fuse(segment) for segment in network.segments}
        self._inputs: Array | None = None
        self._full_ranges: Mapping[str, Range] = {}
        self._cache = cache
        self._int8 = Int8Store(network, offer.weight_limit, cache.file(f"int8-{offer.weight_limit}.safetensors"))
        self._shared: WeakValueDictionary[object, kernels.Packed] = WeakValueDictionary()

    @property
    def name(self) -> str:
        """`packed`."""
        return NAME

    def prepare(self, point: OperatingPoint) -> TorchVariant:
        """Raises UnsupportedPoint for knobs or precisions that it doesn't have here."""
        if point.engine not in {NAME, eager.NAME}:
            raise UnsupportedPoint(
                f"{point.name}: certified on engine {point.engine!r}, whose arithmetic is its own"
            )
        variant = TorchVariant(point, self.build(point, native=point.engine == NAME), return_freed)
        self._int8.drop_pages()
        return_freed()
        return variant

    def build(self, knobs: Knobs, native: bool = True) -> PackedNetwork:
        """The network at a setting of the knobs, in this engine's own arithmetic or (not native) in eager's.

        Raises UnsupportedPoint.
        """
        check_knobs(knobs, self._network)
        check_precisions(knobs, self._network, self._offer.precisions if native else set(Precision), NAME)
        if isinstance(knobs, OperatingPoint):
            check_turned(knobs, _KNOBS, NAME)
        builder = _Builder(self, knobs, native)
        return builder.build()

    def ranges_at(self, knobs: Knobs) -> Mapping[str, Range]:
        """Range of every value over the calibration inputs, by network-wide name.

        On the paths that these knobs take: behind a skipped block values can be far larger than in the full net.
        What none of those paths computes has the full net's range.
        """
        subject = f"packed {sorted(knobs.thresholds.items())} {sorted(knobs.skip)}"
        return self._cache.ranges(subject, lambda: self._ranges_at(knobs))

    def _ranges_at(self, knobs: Knobs) -> Mapping[str, Range]:
        if self._inputs is None:
            self._inputs = self._calibration()[:MAX_CALIBRATION_INPUTS]
            self._full_ranges = self._observed(_exact(knobs, thresholds={}, skip=frozenset()))
        if not (knobs.skip or knobs.thresholds):
            return self._full_ranges
        return {**self._full_ranges, **self._observed(_exact(knobs))}

    def _observed(self, knobs: Knobs) -> Mapping[str, Range]:
        seen: dict[str, Range] = {}

        def watch(name: str, value: Tensor) -> None:
            found = Range(float(value.min()), float(value.max()))
            seen[name] = seen[name].union(found) if name in seen else found

        network = _Builder(self, knobs, native=True).build()
        assert self._inputs is not None  # noqa: S101 - set by the only caller
        for sample in self._inputs:
            network.observe(sample[None], watch)
        return seen


def _exact(knobs: Knobs, **others: object) -> Knobs:
    """The same gates in fp32, with `others` changed."""
    # Knobs are dataclasses, a point's or a search's; the protocol can't say so.
    exact: Knobs = replace(knobs, precision=Precision.FP32, layer_precision={}, **others)  # type: ignore[type-var]
    return exact


class _Builder:
    """One build: from knobs to stages."""

    def __init__(self, engine: PackedEngine, knobs: Knobs, native: bool) -> None:
        self._engine = engine
        self._network = engine._network  # noqa: SLF001 - one class in two parts
        self._knobs = knobs
        self._native = native
        used = [segment for segment in self._network.segments if segment.name not in knobs.skip]
        self._used = [name for segment in used for name in segment.weights]
        self._read: Mapping[str, Array] | None = None

    def build(self) -> PackedNetwork:
        running = [segment for segment in self._network.segments if segment.name not in self._knobs.skip]
        planned: dict[str, tuple[PlannedStep, ...]] = {}
        inputs: dict[str, str] = {}
        ties = []
        before = ""
        for segment in running:
            inputs[segment.name] = before
            planned[segment.name] = self._planned(segment, before)
            output = planned[segment.name][-1].output
            if segment.name in self._knobs.thresholds:
                ties.append(Tie(before, output))
            before = output
        steps = tuple(step for segment in running for step in planned[segment.name])
        quantized = any(step.arithmetic is Arithmetic.INT8 for step in steps)
        ranges = self._engine.ranges_at(self._knobs) if quantized else {}
        forms = choose_forms(steps, tuple(ties), "", ranges)
        plans = {}
        for index, segment in enumerate(running):
            own = planned[segment.name]
            grids = {
                step.sources[0]: Grid.over(ranges[step.sources[0]])
                for step in own
                if step.arithmetic is Arithmetic.INT8
            }
            planner = SegmentPlanner(forms, grids, self._weight, self._pack, owned_input=index > 0)
            output_form = (
                forms[inputs[segment.name]] if segment.name in self._knobs.thresholds else forms[own[-1].output]
            )
            plans[segment.name] = planner.plan(segment.name, inputs[segment.name], own, output_form)
        stages = []
        form: Form = torch.float32
        for segment in self._network.segments:
            tau = self._knobs.thresholds.get(segment.name)
            stages.append(Stage(segment.name, segment.skippable, plans.get(segment.name), tau, form))
            if segment.name in plans:
                form = forms[planned[segment.name][-1].output]
        return PackedNetwork(tuple(stages), form)

    def _planned(self, segment: Segment, before: str) -> tuple[PlannedStep, ...]:
        def wide(value: str) -> str:
            return before if value == INPUT else f"{segment.name}/{value}"

        steps = []
        for step in self._engine._steps[segment.name]:  # noqa: SLF001 - one class in two parts
            sources = tuple(wide(source) for source in step.sources)
            if isinstance(step, Call):
                steps.append(PlannedStep(step, sources, wide(step.output)))
                continue
            arithmetic = self._arithmetic(step)
            emits = arithmetic is Arithmetic.INT8 and _fuses_quantized(step)
            steps.append(PlannedStep(step, sources, wide(step.output), arithmetic, emits))
        return tuple(steps)

    def _arithmetic(self, layer: Layer) -> Arithmetic:
        precision = precision_of(self._knobs, layer.name)
        if not self._native:
            return Arithmetic.FP32
        return Arithmetic(precision)

    def _weight(self, name: str) -> Tensor:
        return torch.tensor(self._array(name))

    def _array(self, name: str) -> Array:
        """A weight in fp32. Vectors come with the first: layers in int8 want no more than their bias."""
        if self._read is None or name not in self._read:
            shapes = self._network.weight_shapes
            wanted = (
                self._used if len(shapes[name]) > 1 else [each for each in self._used if len(shapes[each]) < 2]
            )
            self._read = self._network.weights({*wanted, name})
        return self._read[name]

    def _pack(self, layer: Layer, arithmetic: Arithmetic, form: kernels.QuantizedForm | None) -> kernels.Packed:
        precision = precision_of(self._knobs, layer.name)
        key = (layer, arithmetic, precision, form)
        shared = self._engine._shared  # noqa: SLF001 - one class in two parts
        packed = shared.get(key)
        if packed is None:
            packed = self._packed(layer, arithmetic, precision, form)
            shared[key] = packed
        return packed

    def _packed(
        self, layer: Layer, arithmetic: Arithmetic, precision: Precision, form: kernels.QuantizedForm | None
    ) -> kernels.Packed:
        bias = None if layer.bias is None else self._weight(layer.bias)
        if form is not None:
            return kernels.pack_quantized(layer, self._quantized(layer), bias, form)
        if arithmetic is Arithmetic.BF16:
            return kernels.pack_float(layer, self._weight(layer.weight), bias, torch.bfloat16)
        kept = Precision.FP32 if self._native else precision
        weight = store(self._array(layer.weight), kept).widened()
        return kernels.pack_float(layer, weight, bias, torch.float32)

    def _quantized(self, layer: Layer) -> QuantizedWeight:
        return self._engine._int8.weight(layer.weight)  # noqa: SLF001 - one class in two parts


def _fuses_quantized(layer: Layer) -> bool:
    try:
        kernels.check_quantized(layer)
    except kernels.KernelRefused:
        return False
    return True
