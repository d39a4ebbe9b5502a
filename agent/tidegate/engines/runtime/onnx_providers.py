"""ONNX Runtime's execution providers beside the CPU's, by what lies in the installed wheel. Loads none of them.

None of them has run on hardware here. Names and options: onnxruntime.ai/docs/execution-providers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import PurePosixPath

WHEELS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-qnn", "onnxruntime-openvino", "onnxruntime-migraphx")
"""The packages that bring the module `onnxruntime`: the CPU's, and each with other providers beside it."""


@dataclass(frozen=True, slots=True)
class Provider:
    """`name` as ONNX Runtime has it, on the compute unit `unit`; `library` is the file of a wheel that has it.

    `options` are the provider's own. What it leaves goes to the providers `behind` it, never to the CPU.
    """

    name: str
    unit: str
    library: str
    options: Mapping[str, str] = field(default_factory=dict)
    behind: tuple[str, ...] = ()


PROVIDERS: Mapping[str, Provider] = {
    # TF32 rounds what is multiplied to 10 bits; a point's answers are its certificate's.
    "onnx-cuda": Provider("CUDAExecutionProvider", "gpu", "libonnxruntime_providers_cuda.so", {"use_tf32": "0"}),
    "onnx-tensorrt": Provider(
        "TensorrtExecutionProvider",
        "gpu",
        "libonnxruntime_providers_tensorrt.so",
        behind=("CUDAExecutionProvider",),
    ),
    "onnx-migraphx": Provider("MIGraphXExecutionProvider", "gpu", "libonnxruntime_providers_migraphx.so"),
    "onnx-openvino": Provider(
        "OpenVINOExecutionProvider", "npu", "libonnxruntime_providers_openvino.so", {"device_type": "NPU"}
    ),
    "onnx-qnn": Provider("QNNExecutionProvider", "npu", "libQnnHtp.so", {"backend_path": "libQnnHtp.so"}),
}
"""By the engine that is `onnx` on them."""


def providers_here() -> tuple[str, ...]:
    """The engines whose provider lies in an installed wheel; whether its driver is there, a trial says."""
    names = {PurePosixPath(str(file)).name for wheel in _installed() for file in wheel.files or ()}
    return tuple(engine for engine, provider in PROVIDERS.items() if provider.library in names)


def _installed() -> Iterator[Distribution]:
    for name in WHEELS:
        try:
            yield distribution(name)
        except PackageNotFoundError:
            continue
