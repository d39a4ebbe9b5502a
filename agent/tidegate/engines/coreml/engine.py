"""The coreml engine: packages of a bundle's points, built and compiled on the device. Not run on hardware yet.

It runs points of the reference's arithmetic, in fp16 on weights as a point rounds them. What that costs in answers
is not in their certificates: `auto` counts it on the device before it uses the engine.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tidegate.engines.coreml.compiled_package import CompiledPackage
from tidegate.engines.coreml.package import write_package
from tidegate.engines.coreml.point_functions import formats_of
from tidegate.engines.coreml.runtime import ComputeUnit, compile_model
from tidegate.engines.coreml.weight_format import WeightFormat
from tidegate.engines.engine import REFERENCE, UnsupportedPoint
from tidegate.engines.functions.pipeline import FunctionPipeline
from tidegate.engines.functions.ready_point import ready_stages
from tidegate.engines.functions.staged import staged
from tidegate.engines.runtime.cache import Lease
from tidegate.engines.runtime.network_cache import NO_CACHE, NetworkCache
from tidegate.engines.runtime.pipeline_variant import PipelineVariant
from tidegate.engines.support import check_built
from tidegate.models.ladder import OperatingPoint, Precision
from tidegate.models.network import Network, blocks_of

NAME = "coreml"
UNITS = {
    NAME: ComputeUnit.CPU_AND_NE,
    f"{NAME}-gpu": ComputeUnit.CPU_AND_GPU,
    f"{NAME}-cpu": ComputeUnit.CPU_ONLY,
}
"""By the engine's name; each is held against the CPU of its own."""
COMPILED = "ladder.mlmodelc"
"""A compiled package in its directory of the cache."""
_NARROWEST_FIRST = (WeightFormat.INT4, WeightFormat.INT8, WeightFormat.FP16)


class CoreMlEngine:
    """One package per weight format, of all points that have it; variants share its loaded functions."""

    def __init__(
        self,
        network: Network,
        points: Sequence[OperatingPoint],
        cache: NetworkCache = NO_CACHE,
        name: str = NAME,
    ) -> None:
        """`points` are all that will be prepared; what is compiled is kept in `cache`; `name` is one of UNITS."""
        self._network = network
        self._points = {point.name: point for point in points if point.engine in {REFERENCE, NAME}}
        self._cache = cache
        self._name = name
        self._packages: dict[WeightFormat, CompiledPackage] = {}
        self._held: list[Lease | tempfile.TemporaryDirectory[str]] = []

    @property
    def name(self) -> str:
        """`coreml`, or with another compute unit `coreml-gpu` or `coreml-cpu`."""
        return self._name

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for another engine's point, and for knobs that don't fit the network."""
        check_built(point, self._network, frozenset(Precision), NAME)
        if self._points.get(point.name) != point:
            raise UnsupportedPoint(f"{point.name}: is not among the points that the package was opened for")

    def prepare(self, point: OperatingPoint) -> PipelineVariant:
        """Raises UnsupportedPoint as `check` does, for operators without a form, and for what Core ML refuses."""
        self.check(point)
        package = self._package(self._format(point))
        for name, _ in staged(self._network, point):
            package.load(name)
        stages = ready_stages(self._network, point, package.opened)
        return PipelineVariant(
            point, FunctionPipeline(stages, point.activity, package.nbytes), len(blocks_of(self._network))
        )

    def _format(self, point: OperatingPoint) -> WeightFormat:
        possible = formats_of(point, self._network)
        return next(each for each in _NARROWEST_FIRST if each in possible)

    def _package(self, weight_format: WeightFormat) -> CompiledPackage:
        if weight_format not in self._packages:
            points = [point for point in self._points.values() if self._format(point) is weight_format]

            def fill(draft: Path) -> None:
                with tempfile.TemporaryDirectory(prefix="tidegate-coreml-") as directory:
                    written = write_package(self._network, points, weight_format, Path(directory) / "l.mlpackage")
                    try:
                        compile_model(str(written.path), str(draft / COMPILED))
                    # coremltools raises bare exceptions.
                    except Exception as error:
                        raise UnsupportedPoint(f"Core ML can't compile {weight_format}: {error}") from error

            self._packages[weight_format] = CompiledPackage(
                self._made(weight_format, fill) / COMPILED, UNITS[self._name]
            )
        return self._packages[weight_format]

    def _made(self, weight_format: WeightFormat, fill: Callable[[Path], object]) -> Path:
        """The directory of a compiled package, held while the engine lives.

        The cache's key names the build of the system, whose compiler it is.
        """
        kept = self._cache.model_directory(f"{NAME} {weight_format} {sorted(self._points)}")
        cache = self._cache.cache
        lease = None if kept is None else cache.hold(kept) or cache.make(kept, fill)
        if kept is not None and lease is not None:
            self._held.append(lease)
            return kept
        own = tempfile.TemporaryDirectory(prefix="tidegate-coreml-")
        self._held.append(own)
        fill(Path(own.name))
        return Path(own.name)
