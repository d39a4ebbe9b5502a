"""Which values of a network travel as uint8 codes when layers run in int8, and with which parameters."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from tidegate.engines.onnxruntime.adapted import Adapted
from tidegate.engines.onnxruntime.converters import CONVERTERS
from tidegate.engines.onnxruntime.partitions import Step, last_value
from tidegate.engines.plan.quantization import QuantParams, Range, range_of, union
from tidegate.models.graph import Node, Ref, Segment
from tidegate.models.graph.operator import Quantization
from tidegate.models.graph.operators import OPERATORS


def has_integer_kernel(node: Node) -> bool:
    """Whether the node is a layer that runs on int8 weights, where its precision is so."""
    return OPERATORS[node.operator].quantization is Quantization.WEIGHTS_AND_INPUTS


def plan_quantization(
    steps: Sequence[Step],
    int8: frozenset[str],
    adapted: Mapping[str, Adapted],
    ranges: Mapping[str, Range],
    on_integers: Callable[[str], bool] | None = None,
) -> Mapping[str, QuantParams]:
    """The parameters of every value that travels as codes, by name; `ranges` by name, `adapted` by name too.

    Raises MissingRange for a value that needs a params and has no range.
    """
    return _Planner(steps, int8, adapted, ranges, on_integers or _onnx).params_of()


class _Planner:
    def __init__(
        self,
        steps: Sequence[Step],
        int8: frozenset[str],
        adapted: Mapping[str, Adapted],
        ranges: Mapping[str, Range],
        on_integers: Callable[[str], bool],
    ) -> None:
        self._on_integers = on_integers
        self._steps = steps
        self._int8 = int8
        self._adapted = adapted
        self._ranges = ranges
        # An exit may lead to the network's own head: then one graph reads values of several sets of parameters.
        uses = Counter(graph.name for step in steps for graph in step.graphs)
        self._used_twice = {name for name, count in uses.items() if count > 1}
        self._stand_ins = {step.out: last_value(step.stand_in) for step in steps if step.stand_in is not None}

    def params_of(self) -> Mapping[str, QuantParams]:
        coded = self._coded()
        tied = self._tied_ranges(coded)
        params_of: dict[str, QuantParams] = {}
        for name, owner in coded.items():
            shared = name in tied or name in self._stand_ins
            own = self._adapted[name].params if name in self._adapted and not shared else None
            if own is not None:
                params_of[name] = own
            elif name in tied:
                params_of[name] = QuantParams.over(tied[name])
            elif owner is not None and owner in params_of:
                params_of[name] = params_of[owner]
            else:
                params_of[name] = QuantParams.over(self._range(name))
        return params_of

    def _range(self, name: str) -> Range:
        span = range_of(self._ranges, name)
        if name in self._adapted:
            clip = self._adapted[name].setting.clip
            span = Range(max(span.low, -clip), min(span.high, clip))
        other = self._stand_ins.get(name)
        return span if other is None else span.union(range_of(self._ranges, other))

    def _coded(self) -> dict[str, str | None]:
        """Values that travel as codes; the value whose parameters they take over, None for one of their own."""
        coded: dict[str, str | None] = {}
        for step in self._steps:
            for graph in step.graphs:
                found = self._coded_in(step, graph, coded)
                if graph is step.head:
                    # Logits are compared, not computed on: they stay as exact as the last layer makes them.
                    found.pop(last_value(graph), None)
                elif graph is step.stand_in:
                    # What comes out takes the form that the block's output has.
                    found.pop(step.out, None)
                coded |= found
        coded.pop(self._steps[-1].out, None)
        for run in self._runs():
            if any(name in coded for name in run):
                # Any of them can come out of the Ifs, so all have one form.
                coded |= {name: coded.get(name) for name in run}
        return coded

    def _coded_in(self, step: Step, graph: Segment, known: Mapping[str, str | None]) -> dict[str, str | None]:
        readers = Counter(ref for node in graph.nodes for ref in _refs(node))
        only_reader = {ref: node for node in graph.nodes for ref in _refs(node) if readers[ref] == 1}
        coded: dict[str, str | None] = {}
        on_codes: set[str] = set()
        for node in graph.nodes:
            name = step.value(graph, node.name)
            sources = [step.value(graph, ref) for ref in _refs(node)]
            is_layer = has_integer_kernel(node) and node.layer in self._int8
            if is_layer:
                coded.setdefault(sources[0], None)
            follows = self._on_integers(node.operator) and all(
                source in coded or source in known or source in on_codes for source in sources
            )
            if not (is_layer or follows) or (node.layer is not None and not is_layer):
                continue
            on_codes.add(name)
            after = only_reader.get(node.name)
            keeps_grid = OPERATORS[node.operator].quantization is Quantization.AGNOSTIC
            if after is not None and _is_clamp(after) and not keeps_grid:
                continue
            keeps_grid &= name not in self._adapted and graph.name not in self._used_twice
            coded[name] = sources[0] if keeps_grid else None
        return {name: owner for name, owner in coded.items() if name not in known}

    def _tied_ranges(self, coded: Mapping[str, str | None]) -> dict[str, Range]:
        """Ranges of values that a gate lets through either way: one set of parameters for a run of blocks."""
        tied: dict[str, Range] = {}
        for run in self._runs():
            if run[0] not in coded:
                continue
            # What goes in may have come through a pool, which works on codes where both sides share parameters.
            owner = coded[run[0]]
            names = run if owner is None or owner in tied else [owner, *run]
            tied |= dict.fromkeys(names, union(self._range(name) for name in names))
        return tied

    def _runs(self) -> list[list[str]]:
        """Values around runs of gated blocks that pass their input on: what goes in, what comes out of each."""
        runs: list[list[str]] = []
        inside = False
        for step in self._steps:
            passes = step.gated and step.stand_in is None
            if passes and not inside:
                runs.append([step.into])
            if passes:
                runs[-1].append(step.out)
            inside = passes or (inside and step.graph is None)
        return runs


def _onnx(operator: str) -> bool:
    return CONVERTERS[operator].on_integers


def _is_clamp(node: Node) -> bool:
    """Whether it only cuts values off: quantizing to uint8 does the same, so ONNX Runtime drops it before one."""
    return OPERATORS[node.operator].quantization is Quantization.CLAMP


def _refs(node: Node) -> Iterator[str]:
    return (leaf.ref for leaf in node.leaves if isinstance(leaf, Ref))
