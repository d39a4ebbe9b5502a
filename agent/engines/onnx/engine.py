"""The onnx engine: ONNX Runtime sessions built from a network's segments. Imports no torch.

Points without thresholds run a plain graph with the skipped blocks left out. All gated points in fp32
share a graph whose thresholds and skips are inputs, so switching between them costs nothing. As with the packed
engine, a point certified on eager keeps eager's arithmetic.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np
import onnxruntime

from agent.engines.engine import Answer, Array, UnsupportedPoint
from agent.engines.memory import return_freed
from agent.engines.network_cache import NO_CACHE, NetworkCache
from agent.engines.onnx.graph import GATED, RAN, RUN, TAU, GraphSetting, Sources, X, Y, build_graph, quantizable
from agent.engines.onnx.protobuf import TensorValue, model_bytes
from agent.engines.onnx.weights import float_constants, weights_folder
from agent.engines.processor import weight_limit
from agent.engines.quantization import QuantizedWeight, Range, quantize_weight
from agent.engines.rounding import rounded
from agent.engines.support import check_knobs, check_precisions, check_turned
from agent.models.graph import layer_of
from agent.models.knobs import precision_of
from agent.models.ladder import OperatingPoint, Precision
from agent.models.network import Network, blocks_of

NAME = "onnx"
_KNOBS = frozenset({"thresholds", "skip", "precision", "layer_precision", "threads", "ranges"})
PRECISIONS = frozenset({Precision.FP32, Precision.INT8})
MAX_CALIBRATION_INPUTS = 32

_EAGER = "eager"
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
_ONLY_ERRORS = 3


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Session:
    """A session and the bytes of the weights that went into it."""

    runtime: onnxruntime.InferenceSession
    weights_bytes: int


@dataclass(frozen=True, slots=True)
class _Key:
    """What a session is shared by."""

    setting: GraphSetting
    rounding: tuple[tuple[str, Precision], ...]
    threads: int
    paths: object


class OnnxVariant:
    """An operating point ready to answer."""

    def __init__(
        self, point: OperatingPoint, session: _Session, network: Network, gates: Mapping[str, Array]
    ) -> None:
        self._point = point
        self._session: _Session | None = session
        self._blocks = tuple(segment.name for segment in blocks_of(network))
        self._gates = gates

    @property
    def point(self) -> OperatingPoint:
        """The operating point it answers at."""
        return self._point

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of weights in its session, shared with other variants or not; 0 after `release`."""
        return 0 if self._session is None else self._session.weights_bytes

    def run(self, batch: Array) -> Answer:
        """Answer a batch of shape (samples, *input shape). Raises RuntimeError after `release`."""
        if self._session is None:
            raise RuntimeError(f"operating point {self._point.name} was released and can't run")
        x = np.require(batch, np.float32, ["C"])
        total = len(x) * len(self._blocks)
        if not self._gates:
            (outputs,) = self._session.runtime.run([Y], {X: x})
            skipped = len(x) * len(self._point.skip)
            return Answer(outputs, total - skipped, skipped)
        # An If decides for all it is given, and gates decide per sample.
        parts = [self._session.runtime.run([Y, RAN], {X: x[i : i + 1], **self._gates}) for i in range(len(x))]
        executed = sum(int(ran.sum()) for _, ran in parts)
        return Answer(np.concatenate([y for y, _ in parts]), executed, total - executed)

    def release(self) -> None:
        """Let go of the session; one that another variant shares stays."""
        self._session = None
        return_freed()


class OnnxEngine:
    """Builds sessions; variants that differ in gates alone share one."""

    def __init__(self, network: Network, calibration: Callable[[], Array], cache: NetworkCache = NO_CACHE) -> None:
        """`calibration` gives inputs (samples, *input shape) for the ranges of uint8 activations; asked for once,
        when an int8 layer is first prepared. Raises UnsupportedPoint for an operator without ONNX form."""
        self._network = network
        self._calibration = calibration
        self._cache = cache
        self._inputs: Array | None = None
        self._full_ranges: Mapping[str, Range] | None = None
        self._sessions: WeakValueDictionary[_Key, _Session] = WeakValueDictionary()
        self._layers = quantizable(network)
        build_graph(network, GraphSetting(), _Reader(network, None).sources({}))

    @property
    def name(self) -> str:
        """`onnx`."""
        return NAME

    def prepare(self, point: OperatingPoint) -> OnnxVariant:
        """Raises UnsupportedPoint for knobs or precisions that it doesn't have."""
        if point.engine not in {NAME, _EAGER}:
            raise UnsupportedPoint(
                f"{point.name}: certified on engine {point.engine!r}, whose arithmetic is its own"
            )
        native = point.engine == NAME
        check_knobs(point, self._network)
        check_precisions(point, self._network, PRECISIONS if native else set(Precision), NAME)
        check_turned(point, _KNOBS, NAME)
        session = self._session(self._key(point, native), point)
        return OnnxVariant(point, session, self._network, _gates(point, self._network))

    def _key(self, point: OperatingPoint, native: bool) -> _Key:
        gated = bool(point.thresholds)
        precisions = {layer: precision_of(point, layer) for layer in sorted(self._layers)}
        int8 = {layer for layer, precision in precisions.items() if native and precision is Precision.INT8}
        rounding = (
            () if native else tuple((layer, each) for layer, each in precisions.items() if each != Precision.FP32)
        )
        setting = GraphSetting(frozenset() if gated else point.skip, frozenset(int8), gated)
        # Grids are built into a graph, and they follow from the paths that its gates allow.
        paths = (tuple(sorted(point.thresholds.items())), point.skip) if int8 and gated else None
        return _Key(setting, rounding, point.threads, paths)

    def _session(self, key: _Key, point: OperatingPoint) -> _Session:
        session = self._sessions.get(key)
        if session is None:
            session = self._built(key, point)
            self._sessions[key] = session
            return_freed()
        return session

    def _built(self, key: _Key, point: OperatingPoint) -> _Session:
        held = self._held_bytes(key)
        if not key.setting.int8:
            reader = _Reader(self._network, dict(key.rounding))
            model = model_bytes(build_graph(self._network, key.setting, reader.sources({})))
            return _Session(_open(model, self._network, key.threads), held)

        def make() -> bytes:
            reader = _Reader(self._network, dict(key.rounding))
            return model_bytes(build_graph(self._network, key.setting, reader.sources(self._ranges_at(point))))

        subject = f"{sorted(key.setting.int8)} {sorted(key.setting.skip)} {key.paths} {weight_limit()}"
        return _Session(_open(self._cache.model(subject, make), self._network, key.threads), held)

    def _held_bytes(self, key: _Key) -> int:
        """Bytes of the weights that a session's graph uses."""
        used = {
            name
            for segment in self._network.segments
            if segment.name not in key.setting.skip
            for name in segment.weights
        }
        shapes = self._network.weight_shapes
        wide = {name for name in used if len(shapes[name]) < 2 or layer_of(name) not in key.setting.int8}
        codes = sum(int(np.prod(shapes[name])) + 4 * shapes[name][0] for name in used - wide)
        return codes + sum(4 * int(np.prod(shapes[name])) for name in wide)

    def _ranges_at(self, point: OperatingPoint) -> Mapping[str, Range]:
        """Range of every value by `segment/node` (the network's input is ""), over the calibration inputs.

        Those that calibration found, if the point brings them. Else on the paths that the point takes: behind a
        skipped block values can be far larger than in the full net.
        What none of those paths computes has the full net's range.
        """
        if point.ranges:
            return {name: Range(*span) for name, span in point.ranges.items()}
        if self._inputs is None:
            self._inputs = self._calibration()[:MAX_CALIBRATION_INPUTS]
        paths: dict[frozenset[str], list[Array]] = {}
        gates = _gates(point, self._network)
        if gates:
            session = self._session(_Key(GraphSetting(gated=True), (), 1, None), point)
            blocks = [segment.name for segment in blocks_of(self._network)]
            for sample in self._inputs:
                (ran,) = session.runtime.run([RAN], {X: sample[None], **gates})
                shut = frozenset(block for block, open_ in zip(blocks, ran, strict=True) if not open_)
                paths.setdefault(shut, []).append(sample)
        else:
            paths[point.skip] = [*self._inputs]
        on_path: dict[str, Range] = {}
        for skip, samples in paths.items():
            for name, span in self._observed(skip, samples).items():
                on_path[name] = span.union(on_path.get(name, span))
        return {**self._observed(frozenset(), self._inputs), **on_path}

    def _observed(self, skip: frozenset[str], samples: Iterable[Array]) -> Mapping[str, Range]:
        if skip or self._full_ranges is None:
            graph = build_graph(
                self._network, GraphSetting(skip), _Reader(self._network, None).sources({}), show_all=True
            )
            session = _open(model_bytes(graph), self._network, threads=1)
            names = [output.name for output in graph.outputs if output.name != Y]
            seen: dict[str, Range] = {}
            for sample in samples:
                values = session.run(names, {X: sample[None]})
                for name, value in zip(["", *names], [sample, *values], strict=True):
                    found = Range.of(value)
                    seen[name] = seen[name].union(found) if name in seen else found
            if skip:
                return seen
            self._full_ranges = seen
        return self._full_ranges


def _gates(point: OperatingPoint, network: Network) -> dict[str, Array]:
    """The gated graph's inputs for a point; none for a point without thresholds."""
    if not point.thresholds:
        return {}
    names = [segment.name for segment in blocks_of(network)]
    return {
        TAU: np.array([point.thresholds.get(name, 0.0) for name in names], np.float32),
        GATED: np.array([name in point.thresholds for name in names]),
        RUN: np.array([name not in point.skip for name in names]),
    }


class _Reader:
    """Reads a network's weights for one graph, rounded as asked."""

    def __init__(self, network: Network, rounding: Mapping[str, Precision] | None) -> None:
        self._network = network
        self._rounding = rounding or {}
        self._arrays: Mapping[str, Array] | None = None

    def sources(self, ranges: Mapping[str, Range]) -> Sources:
        return Sources(self._floats, self._quantized, self._array, ranges)

    def _floats(self, names: Iterable[str]) -> Sequence[TensorValue]:
        names = list(names)
        plain = [name for name in names if layer_of(name) not in self._rounding]
        constants = list(float_constants(self._network, plain))
        for name in names:
            precision = self._rounding.get(layer_of(name))
            if precision is not None:
                array = rounded(self._array(name), precision)
                constants.append(TensorValue(name, array.shape, array))
        return constants

    def _quantized(self, name: str) -> QuantizedWeight:
        return quantize_weight(self._array(name), weight_limit())

    def _array(self, name: str) -> Array:
        if self._arrays is None:
            self._arrays = self._network.weights(self._network.weight_shapes)
        return self._arrays[name]


def _open(model: bytes, network: Network, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_ERRORS
    # The arena keeps what the largest request took; without it ResNet-18 holds 10 MiB less and is as fast.
    options.enable_cpu_mem_arena = False
    # Spinning threads burn the battery between requests, and beside torch's pool they slow both tenfold.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    folder = weights_folder(network)
    if folder is not None:
        options.add_session_config_entry(_WEIGHTS_FOLDER, str(folder))
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime raises classes of its own C extension, all of them plain Exceptions.
        raise UnsupportedPoint(f"ONNX Runtime refuses the graph: {str(error).partition(chr(10))[0]}") from error
