"""From knobs to a packed network: what can run, in which form each value travels, which kernels compute it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from tidegate.engines.fusion import Call, Layer, adaptations, fuse
from tidegate.engines.packed import kernels
from tidegate.engines.packed.forms import (
    Arithmetic,
    Form,
    PlannedStep,
    Ranges,
    Tie,
    choose_forms,
    convert,
    tied_ranges,
)
from tidegate.engines.packed.packing import Packer
from tidegate.engines.packed.plan import Plan, Planner
from tidegate.engines.packed.scores import as_kept
from tidegate.engines.quantization import Grid, range_of
from tidegate.engines.resolution import resized
from tidegate.engines.staged import Part, Stage, StagedNetwork, stage
from tidegate.engines.ways import Way, ways_through
from tidegate.models.bounds import bounds_of
from tidegate.models.flops import segment_flops
from tidegate.models.gates.gate import Widen, unchanged
from tidegate.models.graph import INPUT, Segment
from tidegate.models.graph.bound_rules import NEVER_NEGATIVE, UNKNOWN
from tidegate.models.knobs import Knobs
from tidegate.models.ladder import Activation
from tidegate.models.network import Network

ENTRY = ""
"""The name of the network's input among its values."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way with what can run on it; `stage` runs the same plans."""

    stage: Stage
    own: Plan | None
    stand_in: Plan | None
    head: Plan | None

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Those there are."""
        return tuple(plan for plan in (self.own, self.stand_in, self.head) if plan is not None)


@dataclass(frozen=True, slots=True)
class _Sketch:
    """A way's steps, before there are forms; `before` and `after` name the values at its ends."""

    way: Way
    before: str
    own: tuple[PlannedStep, ...]
    stand_in: tuple[PlannedStep, ...]
    head: tuple[PlannedStep, ...]
    after: str


class Builder:
    """One build. The steps are known at once, the rest once the ranges of uint8 values are there."""

    def __init__(self, network: Network, knobs: Knobs, packer: Packer) -> None:
        self._network = network
        self._knobs = knobs
        self._packer = packer
        self._sketches: list[_Sketch] = []
        self._ties: list[Tie] = []
        self._sparse: set[str] = set()
        self._never_negative: set[str] = set()
        before = ENTRY
        for way in ways_through(knobs, network):
            sketch = self._sketched(way, before)
            self._sketches.append(sketch)
            before = sketch.after

    @property
    def quantizes(self) -> bool:
        """Whether any layer reads uint8, so that ranges are needed."""
        return any(step.arithmetic is Arithmetic.INT8 for step in self._steps)

    def routes(self, ranges: Ranges) -> "Routes":
        """The network's plans. Raises kernels.KernelRefused."""
        ties = tuple(self._ties)
        spans = tied_ranges(ranges, ties) if self.quantizes else {}
        forms = choose_forms(self._steps, ties, ENTRY, spans)
        read_as_codes = {step.sources[0] for step in self._steps if step.arithmetic is Arithmetic.INT8}
        grids = {source: Grid.over(range_of(spans, source)) for source in read_as_codes}
        planner = Planner(forms, grids, self._packer)
        routes = tuple(self._route(sketch, planner, forms) for sketch in self._sketches)
        return Routes(
            routes, partial(enter, resolution=self._knobs.resolution), _widen(forms[self._sketches[-1].after])
        )

    @property
    def _steps(self) -> tuple[PlannedStep, ...]:
        return tuple(step for sketch in self._sketches for step in (*sketch.head, *sketch.own, *sketch.stand_in))

    def _sketched(self, way: Way, before: str) -> _Sketch:
        # Only the network's own segments have stored values, stand-ins and heads may have nodes of the same names.
        own = self._planned(way.segment, before, self._knobs.activations) if way.may_run else ()
        stand_in = () if way.stand_in is None else self._planned(way.stand_in, before)
        head = () if way.exit_head is None else self._planned(way.exit_head, before)
        if own and way.may_be_skipped:
            given, passed_on = own[-1].output, stand_in[-1].output if stand_in else before
            self._ties.append(Tie(given, passed_on) if stand_in else Tie(passed_on, given))
        ends = [steps[-1].output for steps in (own, stand_in) if steps]
        if len(ends) == 0 or (way.may_be_skipped and not stand_in):
            ends.append(before)
        after = ends[0]
        if not self._never_negative.issuperset(ends):
            self._never_negative.discard(after)
        return _Sketch(way, before, own, stand_in, head, after)

    def _planned(
        self, graph: Segment, before: str, activations: Mapping[str, Activation] | None = None
    ) -> tuple[PlannedStep, ...]:
        """Its steps, with values named over the whole network."""
        adapted = adaptations(graph, activations or {})
        bounds = bounds_of(graph, NEVER_NEGATIVE if before in self._never_negative else UNKNOWN)

        def wide(value: str) -> str:
            return before if value == INPUT else f"{graph.name}/{value}"

        steps = []
        for step in fuse(graph, adapted.keys()):
            sources = tuple(wide(source) for source in step.sources)
            adaptation = adapted.get(step.output)
            if isinstance(step, Call):
                planned = PlannedStep(step, sources, wide(step.output), adaptation=adaptation)
            else:
                arithmetic = self._packer.arithmetic(step)
                emits = arithmetic is Arithmetic.INT8 and _fuses_quantized(step)
                sparse = sources[0] in self._sparse
                planned = PlannedStep(step, sources, wide(step.output), arithmetic, emits, adaptation, sparse)
            if bounds[step.output].never_negative:
                self._never_negative.add(planned.output)
            if planned.makes_zeros or (planned.is_view and sources[0] in self._sparse):
                self._sparse.add(planned.output)
            steps.append(planned)
        return tuple(steps)

    def _route(self, sketch: _Sketch, planner: Planner, forms: Mapping[str, Form]) -> Route:
        way = sketch.way

        def plan(graph: Segment | None, steps: tuple[PlannedStep, ...], owned_input: bool = True) -> Plan | None:
            return planner.plan(graph.name, sketch.before, steps, owned_input) if graph and steps else None

        def part(graph: Segment | None, found: Plan | None) -> Part | None:
            return Part(found, segment_flops(graph, self._network.weight_shapes)) if graph and found else None

        own, stand_in = plan(way.segment, sketch.own), plan(way.stand_in, sketch.stand_in)
        head = plan(way.exit_head, sketch.head, owned_input=False)
        ready_head = part(way.exit_head, head)
        if ready_head is not None:
            answer_form = forms[sketch.head[-1].output]
            ready_head = Part(_answering(ready_head.compute, answer_form), ready_head.flops)
        ready = stage(
            way,
            self._knobs,
            own=part(way.segment, own),
            stand_in=part(way.stand_in, stand_in),
            head=ready_head,
            widen=_widen(forms[sketch.before]),
        )
        never_negative = sketch.before in self._never_negative
        gates = tuple(
            as_kept(gate, self._knobs.activity, forms[sketch.before], never_negative) for gate in ready.gates
        )
        return Route(replace(ready, gates=gates), own, stand_in, head)


@dataclass(frozen=True, slots=True)
class Routes:
    """A network's routes, what brings a batch into the form that the first takes, and what widens the answers."""

    all: tuple[Route, ...]
    enter: Callable[[Tensor], Tensor]
    widen: Widen

    def network(self) -> StagedNetwork:
        """Ready to answer."""
        held = sum(plan.weights_bytes for route in self.all for plan in route.plans)
        return StagedNetwork(tuple(route.stage for route in self.all), held, self.enter, self.widen)


def enter(x: Tensor, resolution: tuple[int, int] | None) -> Tensor:
    """A batch as the first stage takes it: resized, images channels last, and nobody else's."""
    entered = resized(x, resolution)
    if entered.ndim == 4:
        entered = entered.contiguous(memory_format=torch.channels_last)
    return entered.clone() if entered.data_ptr() == x.data_ptr() else entered


def _widen(form: Form) -> Widen:
    return unchanged if form is torch.float32 else partial(convert, have=form, want=torch.float32)


def _answering(head: Callable[[Tensor], Tensor], form: Form) -> Callable[[Tensor], Tensor]:
    if form is torch.float32:
        return head
    return lambda x: convert(head(x), form, torch.float32)


def _fuses_quantized(layer: Layer) -> bool:
    try:
        kernels.check_quantized(layer)
    except kernels.KernelRefused:
        return False
    return True
