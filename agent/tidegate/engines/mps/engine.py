"""The mps engine: the reference's operators on torch's device for Apple's GPU. Not run on hardware yet.

For those who have torch on a Mac anyway and name it: `mlx` runs the same ladder with a tenth of the memory, and
`auto` never considers this one. Tests run it on torch's CPU, where all but Apple's kernels is the same.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tidegate.engines.engine import REFERENCE
from tidegate.engines.mps.library import TorchLibrary
from tidegate.engines.mps.weights import moved
from tidegate.engines.plan.execution import Subgraph, plan_execution, weights_of
from tidegate.engines.reference.interpreter import Interpreter, check_runs
from tidegate.engines.runtime.pipeline_variant import PipelineVariant
from tidegate.engines.runtime.speculative_pipeline import SpeculativePipeline, Stage
from tidegate.engines.support import at_resolution, check_arithmetic, check_knobs
from tidegate.models.graph import Segment, layer_of
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Activation, OperatingPoint, Precision
from tidegate.models.network import Network, blocks_of
from tidegate.models.precision import StoredWeight, store

NAMES: Mapping[str, torch.dtype] = {"mps": torch.float32, "mps-fp16": torch.float16}
"""And what each computes in."""


def limit_memory(limit_bytes: int | None) -> None:
    """Bound what torch may take of the GPU's memory in this process; None leaves its own limit."""
    if limit_bytes is not None:
        torch.mps.set_per_process_memory_fraction(min(1.0, limit_bytes / torch.mps.recommended_max_memory()))


class MpsEngine:
    """Variants share the weights that they have in common."""

    def __init__(self, network: Network, name: str = "mps", device: str = "mps") -> None:
        """Raises BundleError when the segments don't fit together."""
        check_runs(network)
        self._network = network
        self._name = name
        self._device = torch.device(device)
        self._weights: dict[tuple[str, Precision], StoredWeight] = {}

    @property
    def name(self) -> str:
        """`mps` or `mps-fp16`."""
        return self._name

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for another engine's point, and for blocks, layers or stand-ins unknown here."""
        check_arithmetic(point, REFERENCE)
        check_knobs(point, at_resolution(self._network, point.resolution))

    def prepare(self, point: OperatingPoint) -> PipelineVariant:
        """Raises UnsupportedPoint as `check` does."""
        self.check(point)
        network = at_resolution(self._network, point.resolution)
        plan = plan_execution(network, point)
        held = self._held({name: precision_of(point, layer_of(name)) for name in weights_of(plan)})
        stages = [self._stage(subgraph, point, held) for subgraph in plan]
        library = TorchLibrary(self._device, NAMES[self._name])
        size = sum(weight.nbytes for weight in held.values())
        pipeline = SpeculativePipeline(stages, point.activity, library, size)
        return PipelineVariant(point, pipeline, len(blocks_of(network)))

    def _held(self, wanted: Mapping[str, Precision]) -> dict[str, StoredWeight]:
        missing = [item[0] for item in wanted.items() if item not in self._weights]
        for name, array in self._network.weights(missing).items():
            stored = store(array, wanted[name])
            self._weights[name, wanted[name]] = moved(stored, self._device, NAMES[self._name])
        return {name: self._weights[name, precision] for name, precision in wanted.items()}

    @staticmethod
    def _stage(subgraph: Subgraph, point: OperatingPoint, held: Mapping[str, StoredWeight]) -> Stage[Tensor]:
        def program(
            graph: Segment | None, activations: Mapping[str, Activation] | None = None
        ) -> Callable[[Tensor], Tensor] | None:
            if graph is None:
                return None
            interpreter = Interpreter(graph, {name: held[name] for name in graph.weights}, activations)

            def run(x: Tensor) -> Tensor:
                with torch.inference_mode():
                    return interpreter(x)

            return run

        return Stage(
            program(subgraph.graph, point.activations if subgraph.may_run else None),
            program(subgraph.stand_in),
            program(subgraph.exit_head),
            point.exits.get(subgraph.name, float("inf")),
            point.thresholds[subgraph.name] if subgraph.gated else None,
            subgraph.is_block,
            subgraph.always_runs,
        )
