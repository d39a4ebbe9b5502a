"""A network as stages: the one place that decides which samples run what with torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tidegate.engines.engine import Array
from tidegate.engines.plan.execution import Subgraph
from tidegate.engines.reference.batch_state import BatchState
from tidegate.models.gates import Gate, GateInput, GatePosition, gates_for
from tidegate.models.knobs import Knobs

Watch = Callable[[str, GateInput], None]
BeforeStage = Callable[[int, BatchState], None]


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: outputs (samples, *output shape), in how many samples each block ran, and operations.

    `flops` are counted from what ran: blocks, stand-ins, gates' scores, exit heads, and the parts without gates.
    `decisions` are those of gates that looked at a sample.
    """

    outputs: Array
    executed: Mapping[str, int]
    flops: int
    decisions: int


@dataclass(frozen=True, slots=True)
class BoundGraph:
    """A graph ready to compute, with its operations for one sample."""

    compute: Callable[[Tensor], Tensor]
    flops: int

    def run(self, x: Tensor, state: BatchState) -> Tensor:
        """Compute on some of a batch's samples."""
        state.flops += self.flops * len(x)
        return self.compute(x)


@dataclass(frozen=True, slots=True)
class Stage:
    """One segment. It may have an exit, where it is a block other gates too, and a stand-in; None is identity.

    `graph` is None for a block that never runs.
    """

    name: str
    graph: BoundGraph | None
    is_block: bool
    gates: tuple[Gate, ...] = ()
    stand_in: BoundGraph | None = None

    def advance(self, state: BatchState, remember: bool) -> None:
        """Take the samples through the stage, or out of the network.

        `remember` keeps this stage's input for the gates of the next.
        """
        is_open: Tensor | bool = True
        for gate in self.gates:
            looked = len(state.x)
            state.flops += gate.flops * looked
            decided = gate.decide(self.seen(state))
            state.decisions += 0 if isinstance(decided.open, bool) else looked
            if decided.answers is None:
                is_open = decided.open
            else:
                state.leave(decided)
            if len(state.x) == 0:
                return
        previous = state.x if remember and self.is_block else None
        state.x, ran = self._gated(is_open, state)
        if self.is_block:
            state.executed[self.name] += ran
            state.previous = previous

    @staticmethod
    def seen(state: BatchState) -> GateInput:
        """What the stage's gates may look at."""
        return GateInput(state.x, state.previous)

    def _gated(self, is_open: Tensor | bool, state: BatchState) -> tuple[Tensor, int]:
        """The output, of the block where its gate is open, else of the stand-in; and how many samples ran."""
        x = state.x
        if isinstance(is_open, bool) or len(x) == 1:
            return (self._ran(x, state), len(x)) if is_open else (self._stood_in(x, state), 0)
        active = is_open.nonzero().flatten()
        if len(active) == 0:
            return self._stood_in(x, state), 0
        if len(active) == len(x):
            return self._ran(x, state), len(x)
        out = self._ran(x[active], state)
        if self.stand_in is None:
            return x.index_put((active,), out), len(active)
        passive = (~is_open).nonzero().flatten()
        whole = torch.cat([out, self._stood_in(x[passive], state)])
        return whole[torch.cat([active, passive]).argsort()], len(active)

    def _ran(self, x: Tensor, state: BatchState) -> Tensor:
        if self.graph is None:
            raise RuntimeError(f"{self.name} never runs at this setting, and its gate opened")
        return self.graph.run(x, state)

    def _stood_in(self, x: Tensor, state: BatchState) -> Tensor:
        return x if self.stand_in is None else self.stand_in.run(x, state)


def stage(
    subgraph: Subgraph,
    knobs: Knobs,
    *,
    own: BoundGraph | None,
    stand_in: BoundGraph | None,
    head: BoundGraph | None,
) -> Stage:
    """The stage of a subgraph, with the gates that the knobs put there."""
    site = (
        GatePosition(subgraph.segment)
        if head is None
        else GatePosition(subgraph.segment, head.compute, head.flops)
    )
    return Stage(subgraph.segment.name, own, subgraph.is_block, gates_for(knobs, site), stand_in)


class StagedNetwork:
    """A network at one setting of the knobs. Its weights are its own: no other setting touches them."""

    def __init__(
        self,
        stages: tuple[Stage, ...],
        weights_resident_bytes: int,
        enter: Callable[[Tensor], Tensor],
    ) -> None:
        """`enter` brings a batch into the form in which the first stage takes it. `blocks` are named in order."""
        self._stages = stages
        self.blocks = tuple(stage.name for stage in stages if stage.is_block)
        self._weights_resident_bytes = weights_resident_bytes
        self._enter = enter
        self._looks_back = any(gate.looks_back for stage in stages for gate in stage.gates)

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of the weights held; a block that never runs holds none."""
        return self._weights_resident_bytes

    def forward(self, batch: Array, watch: Watch | None = None) -> Pass:
        """Answer a batch (samples, *input shape); `watch` is shown what the gates of every segment could see."""
        with torch.inference_mode():
            state = self.start(batch)
            self.advance(state, watch=watch, remember=watch is not None)
            return self.end(state)

    def start(self, batch: Array) -> BatchState:
        """A batch (samples, *input shape) before the first stage."""
        # np.require copies only when it must: torch warns of arrays that can't be written to.
        x = self._enter(torch.from_numpy(np.require(batch, np.float32, ["C", "W"])))
        return BatchState(x, self.blocks)

    def advance(
        self,
        state: BatchState,
        first: int = 0,
        *,
        watch: Watch | None = None,
        before_stage: BeforeStage | None = None,
        remember: bool = False,
    ) -> None:
        """Take a batch through the stages from the `first` on, or as far as there are samples left in it.

        `before_stage` is shown it at each stage that it reaches, with the stage's index. `remember` keeps
        blocks' inputs for gates that look back, even where none does here.
        """
        remember = remember or self._looks_back
        for index, stage in enumerate(self._stages[first:], first):
            if len(state.x) == 0:
                break
            if before_stage is not None:
                before_stage(index, state)
            if watch is not None:
                watch(stage.name, stage.seen(state))
            stage.advance(state, remember=remember)

    def end(self, state: BatchState) -> Pass:
        """The result of a batch that went through all stages."""
        return Pass(state.outputs().contiguous().numpy(), state.executed, state.flops, state.decisions)
