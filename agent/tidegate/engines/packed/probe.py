"""Which private kernels work on this machine: each kind is run in a child process before it is offered.

`python -m tidegate.engines.packed.probe PRECISION...` prints a line of JSON per precision; a crash ends the line.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from tidegate import child as child_process
from tidegate.engines.fusion import Activation, Layer, Window
from tidegate.engines.packed.offer import Offer
from tidegate.engines.packed.timing import fastest_s
from tidegate.engines.quantization import WEIGHT_LIMIT, WEIGHT_LIMIT_WITHOUT_VNNI, Grid, Range, quantize_weight
from tidegate.models.ladder import Precision

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = {Precision.FP32: 1e-5, Precision.BF16: 2e-2, Precision.INT8: 3e-2}
"""Largest difference from eager, as a share of the output's largest value: what each rounding can do."""

SLOWEST = 1.5
"""Times eager fp32: a precision that the processor has no instructions for is slower than this or near it."""

DEADLINE_S = 60
TOO_LONG = f"the self-test took longer than {DEADLINE_S} s"
_PRECISIONS = (Precision.FP32, Precision.BF16, Precision.INT8)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What is wrong with a precision's kernels, empty for nothing, and the int8 limit it was found with.

    With fp32, whether sparse fully connected layers pay; see `Offer`.
    """

    fault: str
    weight_limit: int
    most_non_zero: float = 0.0


def probe() -> Offer:
    """Run the self-test in children of this process until each precision has passed, failed or crashed one."""
    passed, reasons, limit, most_non_zero, late = set(), [], WEIGHT_LIMIT, 0.0, False
    waiting = list(_PRECISIONS)
    while waiting:
        verdicts, ending = _in_child(waiting)
        for precision, verdict in verdicts.items():
            if verdict.fault:
                reasons.append(f"{precision}: {verdict.fault}")
            else:
                passed.add(precision)
                limit = min(limit, verdict.weight_limit)
                most_non_zero = max(most_non_zero, verdict.most_non_zero)
            waiting.remove(precision)
        if waiting and (ending or not verdicts):
            reasons.append(f"{waiting.pop(0)}: {ending or 'the self-test said nothing'}")
            late = late or ending == TOO_LONG
    return Offer(frozenset(passed), limit, "; ".join(reasons), most_non_zero, late)


def _in_child(precisions: Sequence[Precision]) -> tuple[dict[Precision, _Verdict], str]:
    """Verdicts in order, and how the child ended if it did not end well."""
    command = child_process.command("tidegate.engines.packed.probe", *precisions)
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env=child_process.environment(),
        )
    except subprocess.TimeoutExpired:
        return {}, TOO_LONG
    lines = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
    verdicts = {Precision(line.pop("precision")): _Verdict(**line) for line in lines}
    if child.returncode < 0:
        return verdicts, f"the self-test was killed by signal {-child.returncode}"
    return verdicts, child.stderr.strip().splitlines()[-1] if child.returncode else ""


@dataclass(frozen=True, slots=True)
class _Case:
    """One layer to run, on a random batch."""

    layer: Layer
    kernel: tuple[int, ...]
    samples: int = 1
    writes_over: bool = False


def _cases() -> list[_Case]:
    def conv(channels: int, kernel: int, stride: int, groups: int = 1, **fused: object) -> _Case:
        padding = kernel // 2
        window = Window((stride, stride), (padding, padding), (1, 1), groups)
        out = (channels, 14 // stride, 14 // stride)
        layer = Layer("y", "x", (channels, 14, 14), out, "c.w", "c.b", window, **fused)  # type: ignore[arg-type]
        return _Case(layer, (channels, channels // groups, kernel, kernel))

    relu = Activation("relu")
    cases = [
        conv(16, 3, 1),
        conv(16, 3, 2, activation=relu),
        conv(16, 1, 1, activation=Activation("hardtanh", (0.0, 6.0))),
        conv(16, 3, 1, 16, activation=Activation("swish")),
        conv(16, 3, 1, residual="r", activation=relu),
        conv(16, 3, 1, residual="r"),
    ]
    cases += [replace(case, writes_over=True) for case in cases if case.layer.residual is not None]
    for activation in (None, relu, Activation("gelu", (), "none")):
        cases.append(_Case(Layer("y", "x", (32,), (48,), "l.w", "l.b", None, None, activation), (48, 32), 3))
        cases.append(_Case(Layer("y", "x", (5, 32), (5, 48), "l.w", "l.b", None, None, activation), (48, 32)))
    # Large enough for int8 to be packed as a convolution, and more samples than one picture has rows.
    cases.append(_Case(Layer("y", "x", (512,), (512,), "l.w", "l.b", None, None, relu), (512, 512), 20))
    return cases


def _judged(precision: Precision) -> _Verdict:
    """int8 gets a second try with 7-bit weights: without VNNI larger products saturate, and it shows."""
    fault = _check(precision, WEIGHT_LIMIT)
    if fault and precision is Precision.INT8 and not _check(precision, WEIGHT_LIMIT_WITHOUT_VNNI):
        return _Verdict("", WEIGHT_LIMIT_WITHOUT_VNNI)
    if fault or precision is not Precision.FP32:
        return _Verdict(fault, WEIGHT_LIMIT)
    from tidegate.engines.packed.sparse_linear import most_non_zero  # noqa: PLC0415 - the parent stays free of torch

    return _Verdict(fault, WEIGHT_LIMIT, most_non_zero())


def _check(precision: Precision, limit: int) -> str:
    """What is wrong with a precision's kernels; nothing: empty."""
    import torch  # noqa: PLC0415 - the parent that starts the child stays free of it

    from tidegate.engines.packed import kernels  # noqa: PLC0415
    from tidegate.engines.packed.vectors import pack_vectors, takes_vectors  # noqa: PLC0415

    torch.manual_seed(0)
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if precision is Precision.BF16 else torch.float32

    def pair(case: _Case) -> tuple[Callable[[], torch.Tensor], Callable[[], torch.Tensor]]:
        """The kernel and eager on the same numbers."""
        layer = case.layer
        weight = (
            torch.randn(case.kernel) / case.kernel[1] ** 0.5 / (case.kernel[-1] if len(case.kernel) > 2 else 1)
        )
        bias = torch.randn(case.kernel[0])
        x = torch.rand(case.samples, *layer.source_shape)
        residual = None if layer.residual is None else torch.rand(case.samples, *layer.shape)
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
            residual = None if residual is None else residual.contiguous(memory_format=torch.channels_last)

        def eager() -> torch.Tensor:
            return _by_eager(layer, x, weight, bias, residual)

        if precision is not Precision.INT8:
            packed = kernels.pack_float(layer, weight, bias, dtype, case.writes_over)
            narrow = x.to(dtype)
            return (lambda: packed.run(narrow, None if residual is None else residual.clone().to(dtype))), eager
        grid = Grid.over(Range(0.0, 1.0))
        form = kernels.QuantizedForm(grid, None)
        quantized = quantize_weight(weight.numpy(), limit)
        pack = pack_vectors if takes_vectors(layer, weight.numel()) else kernels.pack_quantized
        packed = pack(layer, quantized, bias, form)
        codes = x.div(grid.scale).round_().to(torch.uint8)
        return (lambda: packed.run(codes, None if residual is None else residual.clone())), eager

    with torch.inference_mode():
        for case in _cases():
            try:
                kernel, eager = pair(case)
            except kernels.KernelRefused:
                continue
            expected = eager()
            difference = float((kernel().float() - expected).abs().max() / expected.abs().max())
            if not difference <= TOLERANCE[precision]:
                return (
                    f"{case.layer} is off by {difference:.1e} of its range; allowed is {TOLERANCE[precision]:.0e}"
                )
        window = Window((1, 1), (1, 1), (1, 1), 1)
        large = _Case(Layer("y", "x", (64, 28, 28), (64, 28, 28), "c.w", "c.b", window), (64, 64, 3, 3))
        kernel, eager = pair(large)
        ratio = fastest_s(kernel) / fastest_s(eager)
        if ratio > SLOWEST:
            return f"takes {ratio:.1f} times as long as eager fp32; this processor has no instructions for it"
    return ""


def _by_eager(layer: Layer, x: "Tensor", weight: "Tensor", bias: "Tensor", residual: "Tensor | None") -> "Tensor":
    import torch.nn.functional as F  # noqa: N812, PLC0415 - the parent stays free of torch

    if layer.window is None:
        y = F.linear(x, weight, bias)
    else:
        window = layer.window
        y = F.conv2d(x, weight, bias, window.stride, window.padding, window.dilation, window.groups)
    if residual is not None:
        y = y + residual
    match layer.activation:
        case Activation("relu"):
            return F.relu(y)
        case Activation("hardtanh", (low, high)):
            return F.hardtanh(y, low, high)
        case Activation("swish"):
            return F.silu(y)
        case Activation("gelu"):
            return F.gelu(y)
        case _:
            return y


def main() -> None:
    """The child: a verdict per precision, each printed before the next is tried."""
    for name in sys.argv[1:]:
        verdict = asdict(_judged(Precision(name)))
        sys.stdout.write(json.dumps({"precision": name, **verdict}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
