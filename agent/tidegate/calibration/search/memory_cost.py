"""What a candidate of the search holds in memory against the full model, counted on a few inputs."""

from tidegate.calibration.fit.activation_statistics import sampled
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.knobs import Knobs
from tidegate.models.network import Network

INPUTS = 16
"""Of part S: how many zeros a value has differs little from input to input, and each candidate is traced."""


class MemoryCost:
    """Weights resident and encoded live activations of one network's settings."""

    def __init__(self, network: Network, inputs: Array) -> None:
        """`inputs` are (n, *input shape); some of them are used."""
        self._tracer = Tracer(network)
        self._inputs = sampled(inputs, INPUTS)
        self._full_bytes = self._tracer.held(KnobSettings(), self._inputs).model_bytes

    def ratio(self, knobs: Knobs) -> float:
        """Share of the full model's bytes, in the worst case over the inputs."""
        return self._tracer.held(knobs, self._inputs).model_bytes / self._full_bytes
