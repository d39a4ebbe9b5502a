"""The chip's power from powermetrics(1): one long-lived child that prints a property list every two seconds.

It needs root. The child has a process group of its own and is killed with it: killing only the child left 624
processes behind in netdata#23730.
"""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from tidegate_drivers.apple.plist import RecordError, split
from tidegate_drivers.apple.power_sample import PARTS, PowerSample, power_sample
from tidegate_drivers.reading import POWER, THERMAL_PRESSURE, Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

_DRIVER = "powermetrics"
_INTERVAL_MS = 2000
_COMMAND = ("powermetrics", "-f", "plist", "-i", str(_INTERVAL_MS), "--samplers", "cpu_power,gpu_power,thermal")
_OLDEST_SAMPLE_S = 10.0
_RESTART_AFTER_S = 30.0
_MOST_BYTES = 4 << 20


class Powermetrics:
    """The child and its latest sample. Started by the first read, and again when it has ended."""

    def __init__(self, command: Sequence[str] = _COMMAND, clock: Callable[[], float] = time.monotonic) -> None:
        self._command = command
        self._clock = clock
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._sample: tuple[float, PowerSample] | None = None
        self._fault, self._unread = "has not printed a sample yet", ""

    def sample(self) -> PowerSample:
        """The latest sample. Raises SensorError when there is none that is new enough."""
        self._keep_running()
        latest = self._sample
        if latest is None or self._clock() - latest[0] > _OLDEST_SAMPLE_S:
            raise SensorError(f"powermetrics {self._fault}")
        return latest[1]

    def stop(self) -> None:
        """End the child and everything it started."""
        if self._child is not None and self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def _keep_running(self) -> None:
        now = self._clock()
        if self._child is not None and self._child.poll() is None:
            return
        if self._child is not None and now - self._started_at < _RESTART_AFTER_S:
            return
        self._started_at = now
        self._child = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        threading.Thread(target=self._follow, args=(self._child,), name="powermetrics", daemon=True).start()

    def _follow(self, child: subprocess.Popen[bytes]) -> None:
        if child.stdout is None:
            return
        waiting = b""
        while chunk := child.stdout.read1(65536):  # type: ignore[attr-defined]  # a BufferedReader, typed as IO
            complete, waiting = split(waiting + chunk)
            for plist in complete:
                self._take(plist)
            waiting = waiting[-_MOST_BYTES:]
        self._take(waiting)  # the last one may have neither a frame nor a NUL behind it
        child.stdout.close()
        self._fault = f"ended with code {child.wait()}{self._unread and ', and '}{self._unread}"

    def _take(self, plist: bytes) -> None:
        if not plist.strip():
            return
        try:
            self._sample = (self._clock(), power_sample(plist.strip()))
            self._fault, self._unread = "has printed no new sample", ""
        except RecordError as error:
            self._fault = self._unread = f"printed what can't be read: {error}"


def discover(meter: Powermetrics | None = None) -> Discovery:
    """`power` of the chip and `power/<part>`, when root runs this on macOS."""
    if meter is None:
        if shutil.which(_COMMAND[0]) is None:
            return Discovery(_DRIVER, unavailable=(Unavailable(POWER, _DRIVER, "powermetrics is not there"),))
        if os.geteuid() != 0:
            reason = "powermetrics needs root; energy counters without root: pip install tidegate[apple]"
            return Discovery(
                _DRIVER, unavailable=(Unavailable(POWER, _DRIVER, reason, "run the agent as a LaunchDaemon"),)
            )
        meter = Powermetrics()
    return Discovery(
        _DRIVER,
        (
            # The chip alone: display, radios and storage are not in it.
            Sensor(POWER, Unit.WATT, Provenance.MEASURED_PARTIAL, _DRIVER, partial(_power, meter)),
            Sensor(THERMAL_PRESSURE, Unit.NAME, Provenance.MEASURED, _DRIVER, partial(_pressure, meter)),
            *(
                Sensor(f"{POWER}/{part}", Unit.WATT, Provenance.MEASURED, _DRIVER, partial(_part, meter, part))
                for part in PARTS
            ),
        ),
        stop=meter.stop,
    )


def _pressure(meter: Powermetrics) -> str:
    sample = meter.sample()
    if sample.pressure is None:
        raise SensorError(sample.reasons["pressure"])
    return sample.pressure


def _part(meter: Powermetrics, part: str) -> float:
    sample = meter.sample()
    if part not in sample.parts_w:
        raise SensorError(sample.reasons[part])
    return sample.parts_w[part]


def _power(meter: Powermetrics) -> float:
    sample = meter.sample()
    if sample.power_w is None:
        raise SensorError(sample.reasons["power"])
    return sample.power_w
