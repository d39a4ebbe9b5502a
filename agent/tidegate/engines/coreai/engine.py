"""The coreai engine: one asset of a bundle's points, built on the device when one is first prepared.

Executed on Linux by Core AI's reference executor, which is right and slow; not run on hardware yet. On a Mac it
computes in fp16, which the Neural Engine wants. What that costs in answers is not in a point's certificate: `auto`
counts it on the device before it uses the engine.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tidegate.engines.coreai.asset import WrittenAsset, write_asset
from tidegate.engines.coreai.graph_builder import Dtype
from tidegate.engines.coreai.loaded_asset import LoadedAsset
from tidegate.engines.engine import REFERENCE, UnsupportedPoint
from tidegate.engines.functions.pipeline import FunctionPipeline
from tidegate.engines.functions.ready_point import ready_stages
from tidegate.engines.runtime.apple_silicon import has_core_ai
from tidegate.engines.runtime.pipeline_variant import PipelineVariant
from tidegate.engines.runtime.placement import CPU, GPU
from tidegate.engines.support import check_built
from tidegate.models.ladder import OperatingPoint, Precision
from tidegate.models.network import Network, blocks_of

NAME = "coreai"
_ASSET = "ladder.aimodel"


def dtype_here() -> Dtype:
    """In what it computes on this device: fp16 for Apple's units; the proof on Linux has no reason to."""
    return np.float16 if has_core_ai() else np.float32


class CoreAiEngine:
    """All variants are functions of one asset and share its weights."""

    def __init__(
        self, network: Network, points: Sequence[OperatingPoint], dtype: Dtype = np.float16, unit: str = CPU
    ) -> None:
        """`points` are all that will be prepared. Of units there is a choice on macOS alone."""
        self._network = network
        self._points = {point.name: point for point in points if point.engine in {REFERENCE, NAME}}
        self._dtype = dtype
        self._unit = unit
        self._written: WrittenAsset | None = None
        self._loaded: LoadedAsset | None = None
        # For as long as this lives: what is loaded may read its weights from there.
        self._directory = tempfile.TemporaryDirectory(prefix="tidegate-coreai-")

    @property
    def name(self) -> str:
        """`coreai`, or with another unit `coreai-gpu`."""
        return f"{NAME}-gpu" if self._unit == GPU else NAME

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for another engine's point, and for knobs that don't fit the network."""
        check_built(point, self._network, frozenset(Precision), NAME)
        if self._points.get(point.name) != point:
            raise UnsupportedPoint(f"{point.name}: is not among the points that the asset was opened for")

    def prepare(self, point: OperatingPoint) -> PipelineVariant:
        """Raises UnsupportedPoint as `check` does, for operators without a form, and for what Core AI refuses."""
        self.check(point)
        written, loaded = self._opened()
        if point.name in written.refused:
            raise UnsupportedPoint(f"{point.name}: {written.refused[point.name]}")
        stages = ready_stages(self._network, point, loaded.opened)
        pipeline = FunctionPipeline(
            stages, point.activity, written.weights_bytes, is_wide=self._dtype is np.float32
        )
        return PipelineVariant(point, pipeline, len(blocks_of(self._network)))

    def _opened(self) -> tuple[WrittenAsset, LoadedAsset]:
        if self._written is None or self._loaded is None:
            path = Path(self._directory.name) / _ASSET
            self._written = write_asset(self._network, list(self._points.values()), self._dtype, path)
            self._loaded = LoadedAsset(path, self._unit)
        return self._written, self._loaded
