"""Reads sensors in the background and always has a snapshot ready: a hanging or failing one costs only itself."""

import threading
import time
from collections.abc import Callable, Sequence

from tidegate_drivers.best_reading import best, snapshot_of
from tidegate_drivers.clocks import Clock
from tidegate_drivers.driver_poller import DriverPoller
from tidegate_drivers.energy_account import EnergyAccount
from tidegate_drivers.reading import ENERGY, POWER, Snapshot
from tidegate_drivers.sensor import Discovery
from tidegate_drivers.watch import Watch


class Sampler:
    """Takes the readings of all discovered sensors, each on its interval, and at once when a device says so.

    Where several discoveries offer a name, the first listed that has a fresh value wins: real before replay.
    Where none has one, the reason is of the first that found something to read, else of one that lacks a
    permission, else of the first that has any. `energy` is added from `power` where no driver counts it.

    >>> from tidegate_drivers import discover
    >>> from tidegate_drivers.testing import device_tree
    >>> with device_tree.laid_out("laptop") as root:
    ...     sampler = Sampler(discover(root))
    ...     sampler.start()
    ...     while sampler.snapshot().number("battery") is None:
    ...         time.sleep(0.01)
    ...     sampler.stop()
    >>> sampler.snapshot().readings["battery"].source
    'power_supply/BAT0+BAT1'
    """

    def __init__(self, discoveries: Sequence[Discovery], clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._pollers = [DriverPoller(found, clock, self._read) for found in discoveries]
        self._account = EnergyAccount()
        self._accounting = threading.Lock()
        self._on_change: Callable[[str], None] = lambda _name: None
        self._watch = Watch(self._pollers)

    def start(self, on_change: Callable[[str], None] | None = None) -> None:
        """Begin to read in threads of the drivers' own; returns at once. A sampler is started once.

        `on_change` is called in these threads with the name of each reading that has another value than before.
        """
        if on_change is not None:
            self._on_change = on_change
        for poller in self._pollers:
            poller.start()
        self._watch.start()

    def read_again(self) -> None:
        """Discover and read everything anew, soon: after a suspension, readings are older than they look."""
        for poller in self._pollers:
            poller.poll_now()

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
        offered = [offer for poller in self._pollers for offer in poller.readings_at(now)]
        accounted = self._account.reading
        if accounted is not None:
            offered.append((ENERGY, accounted))
        return snapshot_of(now, offered, [each for poller in self._pollers for each in poller.found.unavailable])

    def _read(self, name: str, changed: bool) -> None:
        if name == POWER:
            # Several drivers may offer it, each in its thread.
            with self._accounting:
                now = self._clock()
                powers = [reading for poller in self._pollers for reading in poller.readings_of(POWER, now)]
                self._account.add(best(POWER, powers, now))
        if changed:
            self._on_change(name)
