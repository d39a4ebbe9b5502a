"""Reads sensors in the background and always has a snapshot ready: a hanging or failing one costs only itself."""

import time
from collections.abc import Sequence

from tidegate_drivers.clocks import Clock
from tidegate_drivers.driver_poller import DriverPoller
from tidegate_drivers.energy_account import EnergyAccount
from tidegate_drivers.reading import ENERGY, POWER, UNITS, Freshness, Provenance, Reading, Snapshot, Unit
from tidegate_drivers.sensor import Discovery, Unavailable
from tidegate_drivers.watch import Watch


class Sampler:
    """Takes the readings of all discovered sensors, each on its interval, and at once when a device says so.

    Where several discoveries offer a name, the first listed that has a fresh value wins: real before replay.
    Where none has one, the reason is of the first that found something to read, else of one that lacks a
    permission, else of the first that has any. `energy` is added from `power` where no driver counts it.
    """

    def __init__(self, discoveries: Sequence[Discovery], clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._pollers = [DriverPoller(found, clock) for found in discoveries]
        self._account = EnergyAccount()
        self._watch = Watch(self._pollers, self._account_energy)

    def start(self) -> None:
        """Begin reading; returns at once."""
        for poller in self._pollers:
            poller.start()
        self._watch.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End reading; a thread that hangs in a read is left behind when the timeout has passed."""
        self._watch.request_stop()
        for poller in self._pollers:
            poller.request_stop()
        deadline = time.monotonic() + timeout_s
        self._watch.join(timeout_s)
        for poller in self._pollers:
            poller.join(max(0.0, deadline - time.monotonic()))

    def snapshot(self) -> Snapshot:
        """The latest reading of every name. Never blocks, never raises."""
        now = self._clock()
        candidates: dict[str, list[Reading]] = {}
        for poller in self._pollers:
            for name, reading in poller.readings_at(now):
                candidates.setdefault(name, []).append(reading)
        for missing in _most_telling_first(self._pollers):
            unit = UNITS.get(missing.name, Unit.NAME)
            refused = Reading.unavailable(unit, now, missing.source, missing.words)
            candidates.setdefault(missing.name, []).append(refused)
        accounted = self._account.reading
        if accounted is not None:
            candidates.setdefault(ENERGY, []).append(accounted)
        return Snapshot(now, {name: _best(name, readings, now) for name, readings in candidates.items()})

    def _account_energy(self) -> None:
        now = self._clock()
        powers = [reading for poller in self._pollers for reading in poller.readings_of(POWER, now)]
        if powers:
            self._account.add(_best(POWER, powers, now))


def _most_telling_first(pollers: Sequence[DriverPoller]) -> list[Unavailable]:
    """What the drivers can't give: what a permission would give before what isn't there at all."""
    every = [missing for poller in pollers for missing in poller.found.unavailable]
    return sorted(every, key=lambda missing: not missing.grant)


def _best(name: str, readings: Sequence[Reading], now: float) -> Reading:
    fresh = (reading for reading in readings if Snapshot(now, {name: reading}).freshness(name) is Freshness.FRESH)
    valued = (reading for reading in readings if reading.provenance is not Provenance.UNAVAILABLE)
    return next(fresh, None) or next(valued, None) or readings[0]
