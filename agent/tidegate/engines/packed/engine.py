"""The packed engine: fused layers on oneDNN's prepacked weights, each layer in its own precision.

A point that was certified on this engine runs natively: int8 weights and uint8 activations, bf16 where the
processor has it. A point certified on eager keeps eager's arithmetic, weights rounded as eager rounds them and
computed with in fp32, because its certificate says nothing of rounded activations.
"""

from collections.abc import Callable

import torch

from tidegate.engines.background import in_background
from tidegate.engines.engine import Array, UnsupportedPoint
from tidegate.engines.int8_store import Int8Store
from tidegate.engines.interpreter import check_runs
from tidegate.engines.memory import return_freed
from tidegate.engines.network_cache import NO_CACHE, NetworkCache
from tidegate.engines.packed.builder import Builder, Routes
from tidegate.engines.packed.offer import Offer
from tidegate.engines.packed.packing import Packing
from tidegate.engines.packed.ranges import RangeFinder
from tidegate.engines.staged import StagedNetwork
from tidegate.engines.support import at_resolution, check_arithmetic, check_knobs, check_precisions
from tidegate.engines.torch_variant import TorchVariant
from tidegate.engines.ways import ways_through
from tidegate.models.knobs import Knobs
from tidegate.models.ladder import OperatingPoint, Precision
from tidegate.models.network import Network

NAME = "packed"


class PackedEngine:
    """Packs variants; layers packed alike are shared by the variants that are alive."""

    def __init__(
        self, network: Network, calibration: Callable[[], Array], offer: Offer, cache: NetworkCache = NO_CACHE
    ) -> None:
        """`calibration` gives inputs (samples, *input shape) for the ranges of uint8 activations; asked for once,
        when an int8 layer is first prepared. Raises UnsupportedPoint when the probe offers nothing."""
        if not offer.precisions:
            raise UnsupportedPoint(f"engine {NAME} is not offered here: {offer.reason}")
        # The kernels believe the shapes that a graph declares; this is where they are found to be true.
        cache.pass_once("its segments run", lambda: check_runs(network))
        self._network = network
        self._precisions = offer.precisions | ({Precision.INT4} if Precision.INT8 in offer.precisions else set())
        self._int8 = Int8Store(network, offer.weight_limit, cache.file(f"int8-{offer.weight_limit}.safetensors"))
        self._packing = Packing(network, self._int8, offer.most_non_zero)
        self._ranges = RangeFinder(calibration, cache)

    @property
    def name(self) -> str:
        """`packed`."""
        return NAME

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for knobs or precisions that it doesn't have here."""
        check_arithmetic(point, NAME)
        self._check(point, at_resolution(self._network, point.resolution), native=point.engine == NAME)

    def prepare(self, point: OperatingPoint) -> TorchVariant:
        """Raises UnsupportedPoint as `check` does."""
        check_arithmetic(point, NAME)
        variant = TorchVariant(point, in_background(lambda: self._build(point)), return_freed)
        self._int8.drop_pages()
        return_freed()
        return variant

    def _build(self, point: OperatingPoint) -> StagedNetwork:
        native = point.engine == NAME
        network = at_resolution(self._network, point.resolution)
        self._check(point, network, native)

        def builder(knobs: Knobs, threads: int) -> Builder:
            used = dict.fromkeys(
                name for way in ways_through(knobs, network) for graph in way.graphs for name in graph.weights
            )
            return Builder(network, knobs, self._packing.at(knobs, native, used, threads))

        def exact(knobs: Knobs) -> Routes:
            return builder(knobs, 1).routes({})

        torch.set_num_threads(1)
        asked = builder(point, point.threads)
        ranges = self._ranges.at(point, exact) if asked.quantizes else {}
        return asked.routes(ranges).network()

    def _check(self, knobs: Knobs, network: Network, native: bool) -> None:
        check_knobs(knobs, network)
        check_precisions(knobs, network, self._precisions if native else set(Precision), NAME)
