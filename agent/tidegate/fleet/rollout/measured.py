"""What telemetry windows say of a device under what is rolled out, and of the same device before. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tidegate.quantities.dimension import Dimension
from tidegate.quantities.units import LATENCY, SHARE, TEMPERATURE
from tidegate.telemetry.payloads.window import Window

_JOULE = {"J": Decimal(1), "mJ": Decimal("0.001")}
ENERGY_PER_ANSWER = Dimension("energy", "0.5 J", _JOULE, most=1e6, usual=(0.001, 1000.0))


@dataclass(frozen=True, slots=True)
class Seen:
    """Sums over the windows of one device, each taken once.

    `p95_ms` and `energy_j` are summed over as many `requests` and `samples` as they are known of. `first_restarts`
    is the worker's count before the first of them, None where that is unknown.
    """

    windows: int = 0
    last_seq: int = -1
    requests: int = 0
    failed: int = 0
    p95_ms: float = 0.0
    p95_requests: int = 0
    energy_j: float = 0.0
    energy_samples: int = 0
    temperature_c: float | None = None
    first_restarts: int | None = None
    restarts: int | None = None

    def with_window(self, window: Window) -> "Seen":
        """After another window; one that was taken before, or is older, changes nothing."""
        seq = self.last_seq if window.seq is None else window.seq
        if window.seq is not None and window.seq <= self.last_seq:
            return self
        requests, samples = window.requests or 0, window.samples or 0
        has_p95 = window.p95_ms is not None and requests > 0
        has_energy = window.energy_j is not None and samples > 0
        celsius = window.high.get("temperature", window.readings.get("temperature"))
        known_c = [each for each in (self.temperature_c, celsius) if isinstance(each, int | float)]
        first = self.first_restarts
        if first is None or window.restarts < (self.restarts or 0):
            # The agent has started anew and counts from zero.
            first = (first or 0) - (self.restarts or 0) if self.restarts is not None else window.restarts
        return Seen(
            self.windows + 1,
            seq,
            self.requests + requests,
            self.failed + (window.failed or 0),
            self.p95_ms + (window.p95_ms or 0.0) * requests * has_p95,
            self.p95_requests + requests * has_p95,
            self.energy_j + (window.energy_j or 0.0) * has_energy,
            self.energy_samples + samples * has_energy,
            max(known_c, default=None),
            first,
            window.restarts,
        )


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that a limit may be about: how it is written, and its value of a device; None where unknown."""

    name: str
    dimension: Dimension | None
    value: Callable[[Seen], float | None]
    unit: str
    scale: float = 1.0

    def shown(self, value: float) -> str:
        """A value as people write it."""
        return f"{value * self.scale:.4g}{self.unit and ' '}{self.unit}"


def _latency_ms(seen: Seen) -> float | None:
    return seen.p95_ms / seen.p95_requests if seen.p95_requests else None


def _energy_j(seen: Seen) -> float | None:
    return seen.energy_j / seen.energy_samples if seen.energy_samples else None


def _restarts(seen: Seen) -> float | None:
    return None if seen.restarts is None or seen.first_restarts is None else seen.restarts - seen.first_restarts


def _failed(seen: Seen) -> float | None:
    asked = seen.requests + seen.failed
    return seen.failed / asked if asked else None


MEASURES: Mapping[str, Measure] = {
    each.name: each
    for each in (
        Measure("latency_p95", LATENCY, _latency_ms, "ms"),
        Measure("energy_per_answer", ENERGY_PER_ANSWER, _energy_j, "J"),
        Measure("temperature", TEMPERATURE, lambda seen: seen.temperature_c, "C"),
        Measure("failed_requests", SHARE, _failed, "%", 100.0),
        Measure("worker_restarts", None, _restarts, ""),
    )
}
"""By name: the p95 of inference (mean over windows by their requests, ms), joules per answer, the highest
temperature (C), the share of requests that failed, and how often the worker was started anew."""
