"""Power and energy from the rise of counters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tidegate_drivers.clocks import Clocks, read_clocks
from tidegate_drivers.energy import CounterMeter
from tidegate_drivers.linux.rapl_mirror import Mirrors
from tidegate_drivers.linux.rapl_zones import Domain
from tidegate_drivers.sensor import NotRisenError, SensorError

# The counter moves about every millisecond; reads that are closer together than this measure its steps.
_LEAST_SPAN_S = 0.1
# The platform and its packages are read within microseconds of each other.
_LEAST_SHARE_OF_PACKAGES = 0.95


class Meter:
    """Power and energy of one domain or of several together, each counter once, since the first read."""

    def __init__(self, domains: Sequence[Domain], now: Callable[[], Clocks] = read_clocks) -> None:
        self._domains = domains
        self._now = now
        self._meters = [CounterMeter(domain.range_j()) for domain in domains]
        self._mirrors = Mirrors(domains)
        self._read_at: Clocks | None = None
        self._power_w: float | None = None

    def power_w(self) -> float:
        """The mean power since the read before. Raises SensorError."""
        self.refresh()
        if self._power_w is None:
            raise SensorError("power is the rise of a counter between two reads, and this was the first")
        if self._power_w == 0:
            raise SensorError("the energy counter does not move")
        return self._power_w

    def energy_j(self) -> float:
        """The energy since the first read. Raises SensorError."""
        self.refresh()
        energy_j = sum(self._meters[place].energy_j for place in self._mirrors.counted_once())
        if energy_j == 0:
            raise NotRisenError("energy is the rise of a counter since the first read, and it has not risen yet")
        return energy_j

    def refresh(self) -> float | None:
        """Read the counters, unless just done; the power since the read before, None where unknown."""
        now = self._now()
        # The power and the energy sensor share one look at the counters.
        if self._read_at is not None and 0 <= now.awake_s - self._read_at.awake_s < _LEAST_SPAN_S:
            return self._power_w
        counted = [domain.read_j() for domain in self._domains]
        self._mirrors.look()
        every = [meter.add(joules, now) for meter, joules in zip(self._meters, counted, strict=True)]
        powers = [every[place] for place in self._mirrors.counted_once()]
        known = [power for power in powers if power is not None]
        self._read_at = now
        self._power_w = sum(known) if len(known) == len(powers) else None
        return self._power_w


@dataclass(slots=True)
class Books:
    """What was counted and learnt so far, carried from one discovery to the next."""

    meters: dict[str, Meter] = field(default_factory=dict)
    psys_is_wrong: bool = False

    def meter(self, use: str, of: Sequence[Domain]) -> Meter:
        """The one meter of these domains for this use: meters that are compared must be read together."""
        key = f"{use} {'+'.join(str(domain.path) for domain in of)}"
        return self.meters.setdefault(key, Meter(of))


class PlatformMeter:
    """The platform's counter, held against the packages that it must contain.

    Its unit differs by processor, and firmware exists in which it counts next to nothing: it is given up for good
    when it rises by less than they do.
    """

    def __init__(self, platform: Meter, packages: Meter, books: Books) -> None:
        self._platform, self._packages, self._books = platform, packages, books

    def power_w(self) -> float:
        """The mean power since the read before. Raises SensorError."""
        self._compare()
        return self._platform.power_w()

    def energy_j(self) -> float:
        """The energy since the first read. Raises SensorError."""
        self._compare()
        return self._platform.energy_j()

    def _compare(self) -> None:
        watts, within_w = self._platform.refresh(), self._packages.refresh()
        if watts is not None and within_w is not None and watts < _LEAST_SHARE_OF_PACKAGES * within_w:
            self._books.psys_is_wrong = True
        if self._books.psys_is_wrong:
            raise SensorError("psys counts less than the packages that it should include")
