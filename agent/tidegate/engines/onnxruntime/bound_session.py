"""A session that computes one sample from an array into arrays, the same ones every time."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tidegate.engines.onnxruntime.runtime import InferenceSession

Value = npt.NDArray[np.generic]


def bound(
    session: InferenceSession, given: Mapping[str, Value], outputs: Mapping[str, Value]
) -> Callable[[], None]:
    """Computes from what the `given` arrays hold into the `outputs`; contiguous, with the shapes of one sample.

    ONNX Runtime makes an array of each output otherwise, and checks names and types of what goes in, in Python:
    warm some 5 us, and 50 where an answer finds the caches cold. For one thread at a time; others may run the same
    session through arrays of their own.
    """
    binding = session.io_binding()
    for name, value in given.items():
        binding.bind_input(name, *_place(value))
    for name, value in outputs.items():
        binding.bind_output(name, *_place(value))
    run = session._sess.run_with_iobinding  # noqa: SLF001 - what is around it is Python, for graphs on GPUs
    raw = binding._iobinding  # noqa: SLF001
    # The binding has addresses alone, and frees nothing.
    kept = (binding, *given.values(), *outputs.values())

    def invoke(_kept: tuple[object, ...] = kept) -> None:
        run(raw, None)

    return invoke


def _place(value: Value) -> tuple[str, int, np.dtype[np.generic], Sequence[int], int]:
    return "cpu", 0, value.dtype, value.shape, value.ctypes.data
