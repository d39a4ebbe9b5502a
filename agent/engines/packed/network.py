"""A network packed at one setting of the knobs, with its gates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.engines.engine import Array
from agent.engines.packed.forms import Form
from agent.engines.packed.plan import SegmentPlan
from agent.engines.quantization import Grid

Watch = Callable[[str, Tensor], None]


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: outputs (samples, *output shape) and in how many samples each block ran."""

    outputs: Array
    executed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """A segment's plan, or None where the block is skipped; `tau` is its gate's threshold, None without a gate."""

    name: str
    block: bool
    plan: SegmentPlan | None
    tau: float | None
    input_form: Form


class PackedNetwork:
    """Answers like agent.engines.eager.EagerNetwork; its weights are packed copies that nothing writes to."""

    def __init__(self, stages: tuple[Stage, ...], output_form: Form) -> None:
        self._stages = stages
        self._output_form = output_form

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of the packed weights, without the blocks' padding that oneDNN may add."""
        return sum(stage.plan.weights_bytes for stage in self._stages if stage.plan is not None)

    def forward(self, batch: Array, watch: Watch | None = None) -> Pass:
        """Answer a batch (samples, *input shape); `watch` is shown the input of every block, skipped or not."""
        executed: dict[str, int] = {}
        with torch.inference_mode():
            x = entrance(batch)
            for stage in self._stages:
                if watch is not None and stage.block:
                    watch(stage.name, as_float(x, stage.input_form))
                if stage.plan is None:
                    executed[stage.name] = 0
                    continue
                if stage.tau is None:
                    x = stage.plan(x)
                    ran = len(x)
                else:
                    x, ran = _gated(stage.plan, stage.tau, stage.input_form, x)
                if stage.block:
                    executed[stage.name] = ran
            return Pass(as_float(x, self._output_form).contiguous().numpy(), executed)

    def observe(self, sample: Array, watch: Watch) -> None:
        """Answer one sample and show `watch` every value on its path by its network-wide name. For fp32."""
        with torch.inference_mode():
            x = entrance(sample)
            watch("", x)
            for stage in self._stages:
                shut = stage.tau is not None and activity(x, stage.input_form).item() <= stage.tau
                if stage.plan is not None and not shut:
                    x = stage.plan.watched(x, watch)


def entrance(batch: Array) -> Tensor:
    """A batch as a tensor, images channels last; np.require copies only when it must."""
    x = torch.from_numpy(np.require(batch, np.float32, ["C", "W"]))
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def as_float(x: Tensor, form: Form) -> Tensor:
    """The values in float32."""
    if isinstance(form, Grid):
        return (x.float() - form.zero) * form.scale
    return x.float()


def activity(x: Tensor, form: Form) -> Tensor:
    """A(x), the mean of absolute values per sample, (samples,) float32, whatever form x is in."""
    dims = tuple(range(1, x.ndim))
    if not isinstance(form, Grid):
        return x.abs().mean(dims, dtype=torch.float32)
    if form.zero == 0:
        return x.mean(dims, dtype=torch.float32) * form.scale
    return (x.to(torch.int16) - form.zero).abs_().mean(dims, dtype=torch.float32) * form.scale


def _gated(plan: SegmentPlan, tau: float, form: Form, x: Tensor) -> tuple[Tensor, int]:
    """The block's output, with the input passed on in samples whose gate is shut; and how many samples ran."""
    if len(x) == 1:
        return (plan(x), 1) if activity(x, form).item() > tau else (x, 0)
    active = (activity(x, form) > tau).nonzero().flatten()
    if len(active) == 0:
        return x, 0
    if len(active) == len(x):
        return plan(x), len(x)
    return _scatter(x, active, plan(_gather(x, active))), len(active)


def _gather(x: Tensor, active: Tensor) -> Tensor:
    """Some samples, in the layout they had: index_select on channels last alone gives channels first."""
    if x.ndim != 4:
        return x.index_select(0, active)
    return x.permute(0, 2, 3, 1).index_select(0, active).permute(0, 3, 1, 2)


def _scatter(x: Tensor, active: Tensor, computed: Tensor) -> Tensor:
    if x.ndim != 4:
        return x.index_copy(0, active, computed)
    rows = x.permute(0, 2, 3, 1).index_copy(0, active, computed.permute(0, 2, 3, 1))
    return rows.permute(0, 3, 1, 2)
