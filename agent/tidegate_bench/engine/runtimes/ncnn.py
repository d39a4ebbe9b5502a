"""ncnn in fp32, converted by pnnx from torch: what its documentation does (from ONNX it gets axes wrong).

In 8 bits it needs `ncnn2table` and `ncnn2int8`, which are in no package of a registry.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from tidegate.engines.engine import Array
from tidegate_bench.engine.runtimes.peer import Peer, Run
from tidegate_bench.engine.store import open_calibration, open_network

_PARAM, _BIN = "ncnn fp32.param", "ncnn fp32.bin"


def _open(directory: Path, threads: int) -> Run:
    import ncnn  # noqa: PLC0415 - each process loads its runtime alone

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.load_param(str(directory / _PARAM))
    net.load_model(str(directory / _BIN))
    (entry,), (end,) = net.input_names(), net.output_names()

    def run(batch: Array) -> Array:
        # Without a batch axis; the extractor lives as long as one inference, as its documentation has it.
        extractor = net.create_extractor()
        extractor.input(entry, ncnn.Mat(np.ascontiguousarray(batch[0])))
        _, outputs = extractor.extract(end)
        return np.array(outputs)[None]

    return run


def _convert(directory: Path) -> None:
    import pnnx  # noqa: PLC0415 - in the process that converts alone
    import torch  # noqa: PLC0415

    from tidegate_bench.engine.whole_module import whole_module  # noqa: PLC0415

    sample = (torch.from_numpy(open_calibration(directory)[:1]),)
    # It writes a dozen files beside its input.
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as kept:
        # Its default keeps weights in fp16.
        traced = str(Path(kept) / "net.pt")
        pnnx.export(whole_module(open_network(directory)), traced, sample, fp16=False, check_trace=False)
        for written, kept_as in (("net.ncnn.param", _PARAM), ("net.ncnn.bin", _BIN)):
            shutil.move(Path(kept) / written, directory / kept_as)


PEERS = (Peer("ncnn fp32", ("ncnn",), _open, _convert, ("pnnx", "torch")),)
