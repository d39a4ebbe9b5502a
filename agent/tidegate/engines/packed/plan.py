"""A graph at one setting of the knobs, as closures over packed weights; each is called once per pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from tidegate.engines.fusion import Layer
from tidegate.engines.packed import kernels
from tidegate.engines.packed.adapting import Adapt, adapter
from tidegate.engines.packed.call_run import bind_call
from tidegate.engines.packed.forms import Form, PlannedStep
from tidegate.engines.packed.layer_run import LayerBinder
from tidegate.engines.packed.packing import Packer
from tidegate.engines.packed.slots import Run, Values
from tidegate.engines.quantization import Grid

Watch = Callable[[str, Tensor], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph ready to run. `computed` names the value each run writes, None for housekeeping; `empty` are the
    slots after the input's; `packed` keeps the weights alive."""

    name: str
    runs: tuple[Run, ...]
    computed: tuple[str | None, ...]
    slots: Mapping[str, int]
    output_slot: int
    empty: tuple[None, ...]
    packed: tuple[kernels.Packed, ...]
    plain_weights_bytes: int

    @property
    def weights_bytes(self) -> int:
        """Bytes of its weights, without the padding that oneDNN may add to packed ones."""
        return self.plain_weights_bytes + sum(packed.weights_bytes for packed in self.packed)

    def __call__(self, x: Tensor) -> Tensor:
        """(samples, ...) to (samples, ...). The input may be written over, unless the plan was made not to."""
        values: Values = [x, *self.empty]
        values.append(x.size(0))
        for run in self.runs:
            run(values)
        output: Tensor = values[self.output_slot]
        return output

    def watched(self, x: Tensor, watch: Watch) -> Tensor:
        """The same, showing every value once it can be read."""
        values: Values = [x, *self.empty]
        values.append(len(x))
        for run, computed in zip(self.runs, self.computed, strict=True):
            run(values)
            if computed is not None:
                watch(computed, values[self.slots[computed]])
        output: Tensor = values[self.output_slot]
        return output


class Planner:
    """Binds the steps of one graph after the other to slots and kernels."""

    def __init__(self, forms: Mapping[str, Form], source_grids: Mapping[str, Grid], packer: Packer) -> None:
        """`source_grids` are those on which float values are put before an int8 layer reads them."""
        self._forms = forms
        self._packer = packer
        self._layers = LayerBinder(forms, source_grids, packer)

    def plan(self, name: str, input_name: str, steps: Sequence[PlannedStep], owned_input: bool) -> Plan:
        """A graph's plan; one that owns its input may write over it."""
        slots = {input_name: 0} | {step.output: index + 1 for index, step in enumerate(steps)}
        last_reader = {source: index for index, step in enumerate(steps) for source in step.sources}
        viewed = {source for step in steps if step.is_view for source in (*step.sources, step.output)}
        runs: list[Run] = []
        computed: list[str | None] = []
        layers: list[kernels.Packed] = []
        plain_bytes = 0
        for index, step in enumerate(steps):
            if isinstance(step.step, Layer):
                residual = step.sources[1] if len(step.sources) > 1 else None
                own = (
                    residual is not None
                    and last_reader[residual] == index
                    and residual not in viewed
                    and residual != step.sources[0]
                    and (residual != input_name or owned_input)
                )
                run, packed = self._layers.bind(step, slots, own)
                layers.append(packed)
            else:
                weights = {each.weight: self._packer.weight(each.weight) for each in step.step.node.weights()}
                plain_bytes += sum(weight.nbytes for weight in weights.values())
                run = bind_call(step, slots, self._forms, weights)
            runs.append(run)
            computed.append(None if step.adaptation else step.output)
            if step.adaptation is not None:
                adapt = adapter(step.adaptation, self._forms[step.output])
                runs.append(_adapting(slots[step.output], adapt, shared=step.is_view))
                computed.append(step.output)
            dead = [slots[source] for source in dict.fromkeys(step.sources) if last_reader[source] == index]
            if dead:
                runs.append(_dropping(dead))
                computed.append(None)
        empty = (None,) * (len(slots) - 1)
        output = slots[steps[-1].output]
        return Plan(name, tuple(runs), tuple(computed), slots, output, empty, tuple(layers), plain_bytes)


def _adapting(slot: int, adapt: Adapt, shared: bool) -> Run:
    def change(values: Values) -> None:
        x = values[slot]
        values[slot] = adapt(x.clone() if shared else x)

    return change


def _dropping(slots: Sequence[int]) -> Run:
    def drop(values: Values) -> None:
        for slot in slots:
            values[slot] = None

    return drop
