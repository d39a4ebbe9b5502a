"""In which form each value of a network travels between steps: float32, bfloat16, or uint8 codes on a grid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from torch import Tensor

from tidegate.engines.fusion import Adaptation, Call, Layer, Step
from tidegate.engines.quantization import Grid, Range, range_of, union

Form = torch.dtype | Grid
Ranges = Mapping[str, Range]

_KEEP_CODES = frozenset({"aten.max_pool2d.default", "aten.flatten.using_ints", "aten.view.default"})
"""Operators that give codes on the grid they were given: they choose or rearrange values."""

VIEWS = frozenset(
    {
        "aten.flatten.using_ints",
        "aten.permute.default",
        "aten.reshape.default",
        "aten.slice.Tensor",
        "aten.transpose.int",
        "aten.view.default",
    }
)


class Arithmetic(StrEnum):
    """What a layer multiplies and adds in."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step in a network-wide graph: values are named `segment/value`, boundaries by the segment before them.

    `emits_codes` tells whether its kernel can write uint8 by itself, `adaptation` what is then done to its values,
    `reads_sparse` whether AA-ReLU has put zeros into its first source.
    """

    step: Step
    sources: tuple[str, ...]
    output: str
    arithmetic: Arithmetic = Arithmetic.FP32
    emits_codes: bool = False
    adaptation: Adaptation | None = None
    reads_sparse: bool = False

    @property
    def is_view(self) -> bool:
        """Whether it hands its source's memory on."""
        return isinstance(self.step, Call) and self.step.node.operator in VIEWS

    @property
    def makes_zeros(self) -> bool:
        """Whether AA-ReLU sets small values of its output to 0."""
        return self.adaptation is not None and self.adaptation.setting.threshold > 0


@dataclass(frozen=True, slots=True)
class Tie:
    """Two values that must have one form, as either can be passed on: what a gated block gives, and its input or
    what its stand-in gives. The first is computed before the other."""

    first: str
    other: str


def choose_forms(
    steps: tuple[PlannedStep, ...], ties: tuple[Tie, ...], network_input: str, ranges: Ranges
) -> dict[str, Form]:
    """The form of every value. uint8 where an int8 layer reads it and whoever writes it can write uint8."""
    grids = _grids(steps, ties, _coded(steps, ties), ranges)
    forms: dict[str, Form] = {network_input: torch.float32, **grids}
    tied = {tie.other: tie.first for tie in ties}
    for step in steps:
        if step.output in grids:
            continue
        before = tied.get(step.output)
        forms[step.output] = _float_form(step, forms) if before is None else forms[before]
    return forms


def convert(x: Tensor, have: Form, want: Form) -> Tensor:
    """The same values in another form; the very tensor where nothing changes."""
    if have == want:
        return x
    if isinstance(have, Grid):
        return dequantize(x, have) if want is torch.float32 else convert(dequantize(x, have), torch.float32, want)
    if isinstance(want, Grid):
        return quantize(x.float(), want)
    return x.to(want)


def quantize(x: Tensor, grid: Grid) -> Tensor:
    """float32 to uint8 codes, rounded half to even."""
    return x.mul(1 / grid.scale).round_().add_(grid.zero).clamp_(0, 255).to(torch.uint8)


def dequantize(codes: Tensor, grid: Grid) -> Tensor:
    """uint8 codes to float32."""
    x = codes.float()
    return (x.sub_(grid.zero) if grid.zero else x).mul_(grid.scale)


def _float_form(step: PlannedStep, forms: Mapping[str, Form]) -> torch.dtype:
    if isinstance(step.step, Layer):
        return torch.bfloat16 if step.arithmetic is Arithmetic.BF16 else torch.float32
    return call_dtype(step, forms)


def call_dtype(step: PlannedStep, forms: Mapping[str, Form]) -> torch.dtype:
    """What a plain operator computes in: bfloat16 when all it reads is, and it has no weights; else float32."""
    has_weights = isinstance(step.step, Call) and any(step.step.node.weights())
    narrow = step.sources and all(forms[source] is torch.bfloat16 for source in step.sources)
    return torch.bfloat16 if narrow and not has_weights else torch.float32


def keeps_codes(step: PlannedStep) -> bool:
    """Whether the step hands codes on as they are."""
    return isinstance(step.step, Call) and step.step.node.operator in _KEEP_CODES


def _coded(steps: tuple[PlannedStep, ...], ties: tuple[Tie, ...]) -> set[str]:
    """Values that travel as codes: assumed of all that are wanted so, and dropped until nothing contradicts."""
    coded = {step.output for step in steps if step.emits_codes or keeps_codes(step)} & _wanted(steps, ties)
    while True:
        kept = set(coded)
        for step in steps:
            partners = step.sources if keeps_codes(step) else step.sources[1:]
            if isinstance(step.step, Call) and not keeps_codes(step):
                continue
            if not all(partner in coded for partner in partners):
                kept.discard(step.output)
        for tie in ties:
            if not {tie.first, tie.other} <= coded:
                kept -= {tie.first, tie.other}
        if kept == coded:
            return coded
        coded = kept


def _wanted(steps: tuple[PlannedStep, ...], ties: tuple[Tie, ...]) -> set[str]:
    wanted: set[str] = set()
    while True:
        before = len(wanted)
        for step in reversed(steps):
            if step.arithmetic is Arithmetic.INT8 or (keeps_codes(step) and step.output in wanted):
                wanted.update(step.sources)
        for tie in ties:
            if wanted & {tie.first, tie.other}:
                wanted |= {tie.first, tie.other}
        if len(wanted) == before:
            return wanted


def _grids(
    steps: tuple[PlannedStep, ...], ties: tuple[Tie, ...], coded: set[str], ranges: Ranges
) -> dict[str, Grid]:
    """One grid per group of values that hand codes to each other."""
    pairs = [(step.sources[0], step.output) for step in steps if keeps_codes(step)]
    pairs += [(tie.first, tie.other) for tie in ties]
    groups = _joined([(left, right) for left, right in pairs if left in coded and right in coded])
    return {
        name: Grid.over(union(range_of(ranges, each) for each in sorted(groups.get(name, {name}))))
        for name in coded
    }


def tied_ranges(ranges: Ranges, ties: tuple[Tie, ...]) -> Ranges:
    """The ranges, where values may be passed on for one another over all of them."""
    groups = _joined([(tie.first, tie.other) for tie in ties])
    return {
        **ranges,
        **{name: union(range_of(ranges, each) for each in sorted(group)) for name, group in groups.items()},
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """By value, all that it is linked to by pairs, itself included."""
    groups: dict[str, set[str]] = {}
    for left, right in pairs:
        together = groups.get(left, {left}) | groups.get(right, {right})
        for name in together:
            groups[name] = together
    return groups


def split(layer: Layer) -> Layer:
    """The layer alone, without what was fused to it."""
    return replace(layer, residual=None, activation=None)
