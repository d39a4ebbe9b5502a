"""Which counters of one package are one and the same, and must not be counted twice."""

import re
import time
from collections.abc import Sequence

from tidegate_drivers.linux.rapl_zones import Domain

# powercap registers a zone for each die that the topology has. On some processors (AMD's Zen 1) the counter is the
# socket's, and every die answers with it.
_OF_PACKAGE = re.compile(r"(package-[0-9]+)(-die-.+)?(@.+)?")
# The counter moves in steps of up to a millisecond: a fraction of a joule.
_STEP_J = 1.0
_LOOKS_IN_DOUBT = 3
_LOOK_AGAIN_AFTER_S = 0.001


class Mirrors:
    """What looks at the counters of several domains have shown; one that stood elsewhere more often is another."""

    def __init__(self, domains: Sequence[Domain]) -> None:
        self._domains = domains
        self._balance = {
            (first, second): 0
            for second, other in enumerate(domains)
            for first, domain in enumerate(domains[:second])
            if _package(domain) == _package(other) is not None
        }

    def look(self) -> None:
        """Compare the counters that may be one. Raises SensorError."""
        for pair, balance in self._balance.items():
            looks = _LOOKS_IN_DOUBT if balance >= 0 else 1
            self._balance[pair] = balance + (1 if self._stand_together(*pair, looks) else -1)

    def counted_once(self) -> list[int]:
        """The places of the domains that mirror none before them."""
        mirrors = {second for (_, second), balance in self._balance.items() if balance > 0}
        return [place for place in range(len(self._domains)) if place not in mirrors]

    def _stand_together(self, first: int, second: int, looks: int) -> bool:
        for look in range(looks):
            if look:
                time.sleep(_LOOK_AGAIN_AFTER_S)
            # Whatever holds up the reads, one counter's second read lies between its first and its third.
            before, other, after = (self._domains[place].read_j() for place in (first, second, first))
            if before - _STEP_J <= other <= after + _STEP_J:
                return True
        return False


def _package(domain: Domain) -> str | None:
    match = _OF_PACKAGE.fullmatch(domain.name)
    return match[1] if match is not None and domain.top else None
