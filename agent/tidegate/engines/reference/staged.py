"""A network as stages: the one place that decides which samples run what with torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tidegate.engines.engine import Array
from tidegate.engines.plan.ways import Way
from tidegate.engines.reference.flight import Flight
from tidegate.models.gates import Gate, GateInput, GatePosition, gates_for
from tidegate.models.knobs import Knobs

Watch = Callable[[str, GateInput], None]
BeforeStage = Callable[[int, Flight], None]


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
class Part:
    """A graph ready to compute, with its operations for one sample."""

    compute: Callable[[Tensor], Tensor]
    flops: int

    def run(self, x: Tensor, flight: Flight) -> Tensor:
        """Compute on some of a flight's samples."""
        flight.flops += self.flops * len(x)
        return self.compute(x)


@dataclass(frozen=True, slots=True)
class Stage:
    """One segment. Where it is a block it may have gates, and what stands in for it; None is identity.

    `part` is None for a block that never runs.
    """

    name: str
    part: Part | None
    is_block: bool
    gates: tuple[Gate, ...] = ()
    stand_in: Part | None = None

    def advance(self, flight: Flight, remember: bool) -> None:
        """Take the samples through the stage, or out of the network.

        `remember` keeps this stage's input for the gates of the next.
        """
        verdict: Tensor | bool = True
        for gate in self.gates:
            looked = len(flight.x)
            flight.flops += gate.flops * looked
            decided = gate.decide(self.seen(flight))
            flight.decisions += 0 if isinstance(decided.open, bool) else looked
            if decided.answers is None:
                verdict = decided.open
            else:
                flight.leave(decided)
            if len(flight.x) == 0:
                return
        previous = flight.x if remember and self.is_block else None
        flight.x, ran = self._gated(verdict, flight)
        if self.is_block:
            flight.executed[self.name] += ran
            flight.previous = previous

    @staticmethod
    def seen(flight: Flight) -> GateInput:
        """What the stage's gates may look at."""
        return GateInput(flight.x, flight.previous)

    def _gated(self, is_open: Tensor | bool, flight: Flight) -> tuple[Tensor, int]:
        """The output, of the block where its gate is open, else of the stand-in; and how many samples ran."""
        x = flight.x
        if isinstance(is_open, bool) or len(x) == 1:
            return (self._ran(x, flight), len(x)) if is_open else (self._stood_in(x, flight), 0)
        active = is_open.nonzero().flatten()
        if len(active) == 0:
            return self._stood_in(x, flight), 0
        if len(active) == len(x):
            return self._ran(x, flight), len(x)
        out = self._ran(x[active], flight)
        if self.stand_in is None:
            return x.index_put((active,), out), len(active)
        passive = (~is_open).nonzero().flatten()
        whole = torch.cat([out, self._stood_in(x[passive], flight)])
        return whole[torch.cat([active, passive]).argsort()], len(active)

    def _ran(self, x: Tensor, flight: Flight) -> Tensor:
        if self.part is None:
            raise RuntimeError(f"{self.name} never runs at this setting, and its gate opened")
        return self.part.run(x, flight)

    def _stood_in(self, x: Tensor, flight: Flight) -> Tensor:
        return x if self.stand_in is None else self.stand_in.run(x, flight)


def stage(
    way: Way,
    knobs: Knobs,
    *,
    own: Part | None,
    stand_in: Part | None,
    head: Part | None,
) -> Stage:
    """The stage of a way, with the gates that the knobs put there."""
    position = GatePosition(way.segment) if head is None else GatePosition(way.segment, head.compute, head.flops)
    gates = gates_for(knobs, position) if way.is_block else ()
    return Stage(way.segment.name, own, way.is_block, gates, stand_in)


class StagedNetwork:
    """A network at one setting of the knobs. Its weights are its own: no other setting touches them."""

    def __init__(
        self,
        stages: tuple[Stage, ...],
        weights_resident_bytes: int,
        enter: Callable[[Tensor], Tensor],
    ) -> None:
        """`enter` brings a batch into the form in which the first stage takes it."""
        self._stages = stages
        self._blocks = tuple(stage.name for stage in stages if stage.is_block)
        self._weights_resident_bytes = weights_resident_bytes
        self._enter = enter
        self._looks_back = any(gate.looks_back for stage in stages for gate in stage.gates)

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of the weights held; a block that never runs holds none."""
        return self._weights_resident_bytes

    def forward(self, batch: Array, watch: Watch | None = None) -> Pass:
        """Answer a batch (samples, *input shape); `watch` is shown what the gates of every block could see."""
        with torch.inference_mode():
            flight = self.start(batch)
            self.advance(flight, watch=watch, remember=watch is not None)
            return self.end(flight)

    def start(self, batch: Array) -> Flight:
        """A batch (samples, *input shape) before the first stage."""
        # np.require copies only when it must: torch warns of arrays that can't be written to.
        x = self._enter(torch.from_numpy(np.require(batch, np.float32, ["C", "W"])))
        return Flight(x, self._blocks)

    def advance(
        self,
        flight: Flight,
        first: int = 0,
        *,
        watch: Watch | None = None,
        before_stage: BeforeStage | None = None,
        remember: bool = False,
    ) -> None:
        """Take a flight through the stages from the `first` on, or as far as there are samples left in it.

        `before_stage` is shown the flight at each stage that it reaches, with the stage's index. `remember` keeps
        blocks' inputs for gates that look back, even where none does here.
        """
        remember = remember or self._looks_back
        for index, stage in enumerate(self._stages[first:], first):
            if len(flight.x) == 0:
                break
            if before_stage is not None:
                before_stage(index, flight)
            if stage.is_block and watch is not None:
                watch(stage.name, stage.seen(flight))
            stage.advance(flight, remember=remember)

    def end(self, flight: Flight) -> Pass:
        """The result of a flight that went through all stages."""
        return Pass(flight.outputs().contiguous().numpy(), flight.executed, flight.flops, flight.decisions)
