"""The reference engine: plain torch operators, one after the other. All other engines are checked against it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.engines.engine import Array, UnsupportedPoint
from agent.engines.flight import Flight
from agent.engines.interpreter import Interpreter, check_runs
from agent.engines.resolution import resized, runs_at
from agent.engines.torch_variant import TorchVariant
from agent.models.flops import segment_flops
from agent.models.gates import Gate, Seen, Site, gates_for
from agent.models.graph import Segment, layer_of
from agent.models.knobs import Knobs, precision_of, stand_in_of
from agent.models.ladder import Activation, OperatingPoint, Precision, StandIn
from agent.models.network import Network, all_segments, blocks_of
from agent.models.precision import StoredWeight, store
from agent.models.sites import sites_of

NAME = "eager"

Watch = Callable[[str, Seen], None]
Before = Callable[[int, Flight], None]
Held = Mapping[tuple[str, Precision], StoredWeight]


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: outputs (samples, *output shape), in how many samples each block ran, and operations.

    `flops` are counted from what ran: blocks, stand-ins, gates' scores, exit heads, and the parts without gates.
    `decisions` are verdicts that looked at a sample.
    """

    outputs: Array
    executed: Mapping[str, int]
    flops: int
    decisions: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A segment ready to compute, with its operations for one sample."""

    compute: Interpreter
    flops: int

    def run(self, x: Tensor, flight: Flight) -> Tensor:
        flight.flops += self.flops * len(x)
        return self.compute(x)


@dataclass(frozen=True, slots=True)
class _Stage:
    """One segment. Where it is a block it may have gates, and what stands in for it; None is identity."""

    name: str
    part: _Part
    is_block: bool
    gates: tuple[Gate, ...] = ()
    stand_in: _Part | None = None

    def advance(self, flight: Flight) -> None:
        """Take the samples through the stage, or out of the network."""
        verdict: Tensor | bool = True
        for gate in self.gates:
            looked = len(flight.x)
            flight.flops += gate.flops * looked
            decided = gate.decide(flight.seen)
            flight.decisions += 0 if isinstance(decided.open, bool) else looked
            if decided.answers is None:
                verdict = decided.open
            else:
                flight.leave(decided)
            if len(flight.x) == 0:
                return
        x = flight.x
        flight.x, ran = self._gated(verdict, flight)
        if self.is_block:
            flight.executed[self.name] += ran
            flight.previous = x

    def _gated(self, is_open: Tensor | bool, flight: Flight) -> tuple[Tensor, int]:
        """The output, of the block where its gate is open, else of the stand-in; and how many samples ran."""
        x = flight.x
        if isinstance(is_open, bool):
            return (self.part.run(x, flight), len(x)) if is_open else (self._skipped(x, flight), 0)
        active = is_open.nonzero().flatten()
        if len(active) == 0:
            return self._skipped(x, flight), 0
        if len(active) == len(x):
            return self.part.run(x, flight), len(x)
        out = self.part.run(x.index_select(0, active), flight)
        if self.stand_in is None:
            return x.index_copy(0, active, out), len(active)
        passive = (~is_open).nonzero().flatten()
        whole = out.new_empty((len(x), *out.shape[1:]))
        whole[active] = out
        whole[passive] = self.stand_in.run(x.index_select(0, passive), flight)
        return whole, len(active)

    def _skipped(self, x: Tensor, flight: Flight) -> Tensor:
        return x if self.stand_in is None else self.stand_in.run(x, flight)


class EagerNetwork:
    """A network at one setting of the knobs. Nobody writes to its weights, `held` by name and precision."""

    def __init__(
        self,
        stages: tuple[_Stage, ...],
        held: Held,
        resolution: tuple[int, int] | None = None,
    ) -> None:
        self._stages = stages
        self._blocks = tuple(stage.name for stage in stages if stage.is_block)
        self.held = held
        self._weights_resident_bytes = sum(weight.nbytes for weight in held.values())
        self._resolution = resolution

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of the tensors held; a block that never runs holds none."""
        return self._weights_resident_bytes

    def forward(self, batch: Array, watch: Watch | None = None) -> Pass:
        """Answer a batch (samples, *input shape); `watch` is shown what the gates of every block could see."""
        flight = self.start(batch)
        self.advance(flight, watch=watch)
        return self.end(flight)

    def start(self, batch: Array) -> Flight:
        """A batch (samples, *input shape) before the first stage."""
        # np.require copies only when it must: torch warns of arrays that can't be written to.
        x = torch.from_numpy(np.require(batch, np.float32, ["C", "W"]))
        with torch.inference_mode():
            return Flight(x if self._resolution is None else resized(x, self._resolution), self._blocks)

    def advance(
        self, flight: Flight, first: int = 0, watch: Watch | None = None, before: Before | None = None
    ) -> None:
        """Take a flight through the stages from the `first` on, or as far as there are samples left in it.

        `before` is shown the flight before each stage that it reaches, with the stage's index.
        """
        with torch.inference_mode():
            for index, stage in enumerate(self._stages[first:], first):
                if len(flight.x) == 0:
                    break
                if before is not None:
                    before(index, flight)
                if stage.is_block and watch is not None:
                    watch(stage.name, flight.seen)
                stage.advance(flight)

    def end(self, flight: Flight) -> Pass:
        """The result of a flight that went through all stages."""
        with torch.inference_mode():
            return Pass(flight.outputs().numpy(), flight.executed, flight.flops, flight.decisions)


class EagerEngine:
    """Prepares variants from a network's master weights, which are read anew each time and never kept."""

    def __init__(self, network: Network) -> None:
        """Raises BundleError when the segments don't fit together."""
        check_runs(network)
        self._model = network
        self._blocks = {segment.name: segment for segment in blocks_of(network)}
        self._layers = frozenset(layer for segment in all_segments(network) for layer in segment.layers)
        self._sites = frozenset(site.name for segment in network.segments for site in sites_of(segment))

    @property
    def name(self) -> str:
        """`eager`."""
        return NAME

    def prepare(self, point: OperatingPoint) -> TorchVariant:
        """Raises UnsupportedPoint for another engine's point, and for blocks, layers or stand-ins unknown here."""
        if point.engine != NAME:
            raise UnsupportedPoint(f"{point.name}: made for engine {point.engine!r}, this one is {NAME!r}")
        return TorchVariant(point, self.build(point))

    def build(self, knobs: Knobs, sharing: EagerNetwork | None = None) -> EagerNetwork:
        """The network at a setting; weights that `sharing` holds in the same precision are not made again.

        Raises UnsupportedPoint for blocks, layers or stand-ins unknown here.
        """
        self._check(knobs)
        used = dict.fromkeys(name for segment in self._used(knobs) for name in segment.weights)
        wanted = {name: precision_of(knobs, layer_of(name)) for name in used}
        shared = {} if sharing is None else sharing.held
        missing = self._model.weights([key[0] for key in wanted.items() if key not in shared])
        held = {key: shared[key] if key in shared else store(missing[key[0]], key[1]) for key in wanted.items()}
        stored = {name: weight for (name, _), weight in held.items()}
        stages = tuple(self._stage(segment, knobs, stored) for segment in self._model.segments)
        return EagerNetwork(stages, held, knobs.resolution)

    def _check(self, knobs: Knobs) -> None:
        unknown = (knobs.skip | knobs.thresholds.keys() | knobs.stand_ins.keys()) - self._blocks.keys()
        if unknown:
            raise UnsupportedPoint(f"{sorted(unknown)} are no blocks; blocks are {sorted(self._blocks)}")
        strange = knobs.layer_precision.keys() - self._layers
        if strange:
            raise UnsupportedPoint(f"{sorted(strange)} are no layers; layers are {sorted(self._layers)}")
        lost = knobs.activations.keys() - self._sites
        if lost:
            raise UnsupportedPoint(f"{sorted(lost)} are no stored values; those are {sorted(self._sites)}")
        if knobs.resolution is not None:
            reason = runs_at(self._model, knobs.resolution)
            if reason is not None:
                raise UnsupportedPoint(f"resolution {knobs.resolution}: {reason}")
        headless = knobs.exits.keys() - self._model.exit_heads.keys()
        if headless:
            raise UnsupportedPoint(f"{sorted(headless)} have no exit; {sorted(self._model.exit_heads)} have one")
        for block in knobs.skip | knobs.thresholds.keys():
            kind = stand_in_of(knobs, block)
            if kind is StandIn.IDENTITY:
                if not self._blocks[block].skippable:
                    raise UnsupportedPoint(f"{block}: changes shape, so that its input can't stand in for it")
            elif kind not in self._model.stand_ins.get(block, {}):
                raise UnsupportedPoint(f"{block}: the network holds no stand-in {kind}")

    def _used(self, knobs: Knobs) -> list[Segment]:
        """The graphs that can run at a setting."""
        used = [segment for segment in self._model.segments if segment.name not in knobs.skip]
        stand_ins = [self._stand_in(block, knobs) for block in self._blocks]
        return [*used, *filter(None, stand_ins), *(self._model.exit_heads[block] for block in knobs.exits)]

    def _stand_in(self, block: str, knobs: Knobs) -> Segment | None:
        kind = stand_in_of(knobs, block)
        if kind is StandIn.IDENTITY or not (block in knobs.skip or block in knobs.thresholds):
            return None
        return self._model.stand_ins[block][kind]

    def _stage(self, segment: Segment, knobs: Knobs, stored: Mapping[str, StoredWeight]) -> _Stage:
        part = self._part(segment, stored, knobs.activations)
        if segment.name not in self._blocks:
            return _Stage(segment.name, part, is_block=False)
        exit_head = self._model.exit_heads.get(segment.name)
        site = Site(segment)
        if exit_head is not None and segment.name in knobs.exits:
            head = self._part(exit_head, stored)
            site = Site(segment, head.compute, head.flops)
        stand_in = self._stand_in(segment.name, knobs)
        return _Stage(
            segment.name,
            part,
            is_block=True,
            gates=gates_for(knobs, site),
            stand_in=None if stand_in is None else self._part(stand_in, stored),
        )

    def _part(
        self,
        segment: Segment,
        stored: Mapping[str, StoredWeight],
        activations: Mapping[str, Activation] | None = None,
    ) -> _Part:
        weights = {name: stored[name] for name in segment.weights if name in stored}
        compute = Interpreter(segment, weights, activations)
        return _Part(compute, segment_flops(segment, self._model.weight_shapes))
