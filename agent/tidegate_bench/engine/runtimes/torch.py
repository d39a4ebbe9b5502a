"""torch: operator by operator, and compiled by Inductor with frozen weights."""

import shutil
from pathlib import Path

from tidegate.engines.engine import Array
from tidegate_bench.engine.runtimes.peer import Peer, Run
from tidegate_bench.engine.runtimes.tidegate import unmeasured
from tidegate_bench.engine.store import open_network


def _eager(directory: Path, threads: int) -> Run:
    from tidegate.engines.reference.eager import EagerEngine  # noqa: PLC0415 - each process loads its runtime alone

    variant = EagerEngine(open_network(directory)).prepare(unmeasured("eager", "fp32", threads))
    return lambda batch: variant.run(batch).outputs


def _compiled(directory: Path, threads: int) -> Run:
    import torch  # noqa: PLC0415 - each process loads its runtime alone

    from tidegate_bench.engine.whole_module import whole_module  # noqa: PLC0415

    torch.set_num_threads(threads)
    net = whole_module(open_network(directory))
    torch._inductor.config.freezing = True  # noqa: SLF001 - how its documentation turns freezing on
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # left out of torch's stubs
    compiled = torch.compile(net, dynamic=False)

    def run(batch: Array) -> Array:
        with torch.no_grad():
            outputs: Array = compiled(torch.from_numpy(batch)).numpy()
            return outputs

    return run


PEERS = (
    Peer("eager", ("torch",), _eager),
    # Inductor writes C++ and compiles it.
    *(
        (Peer("torch.compile", ("torch",), _compiled),)
        if any(map(shutil.which, ("g++", "clang++", "c++")))
        else ()
    ),
)
