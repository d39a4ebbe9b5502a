"""ExecuTorch on XNNPACK, exported by torch and quantized by torchao's PT2E flow, as its documentation does it."""

from collections.abc import Callable
from pathlib import Path

from tidegate.engines.engine import Array
from tidegate_bench.engine.runtimes.peer import Peer, Run
from tidegate_bench.engine.store import open_calibration, open_network

_FP32, _INT8 = "executorch fp32.pte", "executorch int8.pte"


def _opener(program: str) -> Callable[[Path, int], Run]:
    def opened(directory: Path, threads: int) -> Run:
        import torch  # noqa: PLC0415 - each process loads its runtime alone; it hands tensors over
        from executorch.extension.pybindings import portable_lib  # noqa: PLC0415
        from executorch.runtime import Runtime  # noqa: PLC0415

        # The only way from Python to its number of threads.
        portable_lib._unsafe_reset_threadpool(threads)  # noqa: SLF001
        method = Runtime.get().load_program(directory / program).load_method("forward")

        def run(batch: Array) -> Array:
            outputs: Array = method.execute([torch.from_numpy(batch)])[0].numpy()
            return outputs

        return run

    return opened


def _convert(directory: Path) -> None:
    import torch  # noqa: PLC0415 - in the process that converts alone

    from tidegate_bench.engine.whole_module import whole_module  # noqa: PLC0415

    sample = (torch.from_numpy(open_calibration(directory)[:1]),)
    exported = torch.export.export(whole_module(open_network(directory)), sample)
    (directory / _FP32).write_bytes(_lowered(exported))


def _quantize(directory: Path) -> None:
    """Weights per channel; activations with the ranges of the calibration inputs, per tensor."""
    import torch  # noqa: PLC0415 - in the process that converts alone
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer  # noqa: PLC0415
    from torchao.quantization.pt2e import quantize_pt2e  # noqa: PLC0415

    from tidegate_bench.engine.whole_module import whole_module  # noqa: PLC0415

    inputs = torch.from_numpy(open_calibration(directory))
    sample = (inputs[:1],)
    config = xnnpack_quantizer.get_symmetric_quantization_config(is_per_channel=True)
    quantizer = xnnpack_quantizer.XNNPACKQuantizer().set_global(config)
    plain = torch.export.export(whole_module(open_network(directory)), sample).module()
    observed = quantize_pt2e.prepare_pt2e(plain, quantizer)
    with torch.no_grad():
        for each in inputs:
            observed(each[None])
    quantized = quantize_pt2e.convert_pt2e(observed)
    (directory / _INT8).write_bytes(_lowered(torch.export.export(quantized, sample)))


def _lowered(exported: object) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner  # noqa: PLC0415
    from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415

    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    program: bytes = lowered.to_executorch().buffer
    return program


_RUNS_WITH = ("executorch", "torch")

PEERS = (
    Peer("executorch fp32", _RUNS_WITH, _opener(_FP32), _convert),
    Peer("executorch int8", _RUNS_WITH, _opener(_INT8), _quantize, ("torchao",)),
)
